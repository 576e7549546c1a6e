"""Looks at itself in many ways."""
import ast
import inspect
import linecache
import pickle
import pkgutil
import pydoc
import string
import sys
import traceback
import warnings
from operator import attrgetter, methodcaller
from typing import ForwardRef, get_type_hints

import parts
from parts import Thing, helper

STAGES = []


def stage(function):
    STAGES.append(function.__name__)
    return function


def never():
    return Thing.secret


def burn(n=60_000):
    total = 0
    for i in range(n):
        total = (total * 7 + i) % 65521
    return total


@stage
def by_name():
    with open("names.txt") as stream:
        for name in stream.read().split():
            print(name, type(getattr(parts, name, None)).__name__, attrgetter(name)(parts) is vars(parts)[name])
    print(pkgutil.resolve_name("parts:Thing.size"), pkgutil.resolve_name("parts.helper")(2))
    return burn()


@stage
def formatted():
    thing = Thing("x")
    print("{0.size} {0.tag!r} {0.name}".format(thing))
    print(string.Formatter().vformat("{t.area}", (), {"t": thing}))
    print("%(name)s" % vars(thing), f"{thing.size=}", "{name}".format_map(vars(thing)))
    print(methodcaller("grow", 2)(thing).size)
    return burn()


@stage
def pickled():
    data = pickle.dumps([helper, Thing, Thing("p")])
    found = pickle.loads(data)
    print(found[0](3), found[1].__name__, found[2].name, data.count(b"parts"))
    try:
        pickle.loads(b"cparts\nnothing_here\n.")
    except AttributeError as error:
        print(error)
    return burn()


@stage
def lines():
    print(sys._getframe().f_lineno, sys._getframe(1).f_code.co_name, sys._getframe(1).f_lineno)
    print([(f.name, f.lineno) for f in traceback.extract_stack()][-2:])
    generator = parts.numbers(3)
    next(generator)
    print(generator.gi_frame.f_lineno, generator.gi_code.co_name, generator.gi_frame.f_locals)
    warnings.warn("look out")
    print(linecache.getline(parts.__file__, 3).strip())
    return burn()


@stage
def sources():
    tree = ast.parse(inspect.getsource(helper))
    print(type(tree.body[0]).__name__, len(inspect.getsourcelines(Thing)[0]))
    print(pydoc.plain(pydoc.render_doc(Thing.grow)).splitlines()[-1])
    print(inspect.getdoc(sys.modules[__name__]), inspect.signature(Thing))
    return burn()


@stage
def hints():
    print(get_type_hints(parts.Thing.grow), sorted(parts.Thing.__annotations__))
    print(ForwardRef("Thing").__forward_arg__, parts.late.__defaults__)
    print([name for name, value in vars(parts).items() if inspect.isfunction(value)])
    print(sorted(name for name in dir(Thing) if not name.startswith("__")))
    return burn()


@stage
def failing():
    try:
        parts.broken(0)
    except ZeroDivisionError as error:
        print("".join(traceback.format_exception(error)).replace(sys.path[0], "."))
    return burn()


def main():
    total = 0
    for name in STAGES:
        total += globals()[name]()
        print("--", name)
    print(total, len(STAGES))
    print(helper.__code__.co_firstlineno > 0, parts.numbers.__code__.co_varnames)


if __name__ == "__main__":
    main()
