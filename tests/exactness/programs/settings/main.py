import contextlib
import copy
import json
import sys
import warnings

import defaults
from framework import Config, Lines, Order, careful, fill, inject, reach, work

LEVEL = 2
COLOUR = "red"


def settings():
    config = Config()
    for name in open("modules.txt").read().split():
        print(name, config.from_object(name))
        work()
    print(config.shown())


def templates(order):
    with open("letter.txt") as file:
        first, second, third = (file.readline().rstrip() for _ in range(3))
    print(fill(first, order))
    work()
    print(reach(second, order))
    print([getattr(defaults, name, None) for name in third.split()])


def injected():
    inject(sys.modules[__name__], {"LEVEL": 5, "EXTRA": "injected"})
    print(LEVEL, globals().get("EXTRA"), COLOUR)


def patched():
    original = json.dumps
    json.dumps = lambda value: "patched " + original(value)
    work()
    from json import dumps

    print(dumps([1, 2]))
    json.dumps = original


def ducks():
    lines = Lines()
    with contextlib.redirect_stdout(lines):
        print("one", "two")
        print("three")
    print(dict(lines), len(copy.copy(lines).kept))


def recorded():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        careful("first")
        work()
        careful("second")
    print([(str(one.message), one.lineno) for one in seen])


def last(order):
    print("last", order.total(), COLOUR, defaults.REGION)


def main():
    order = Order("Ada", 3)
    for stage in (settings, injected, patched, ducks, recorded):
        work()
        stage()
    work()
    templates(order)
    work()
    last(order)


if __name__ == "__main__":
    main()
