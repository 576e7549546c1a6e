import atexit
import gc
import sys
import weakref
from contextlib import ExitStack, redirect_stdout
from io import StringIO

import models
from fields import Field, Integer, Text, Validated
from models import Book, Model, Person, Store
from dispatch import Visitor, describe

LOG = []


def unused(value):
    return value


@atexit.register
def goodbye():
    print("goodbye", len(LOG), LOG[-1:])


@atexit.register
def first():
    LOG.append("exit")


class Node:
    def __init__(self, name, parent=None):
        self.name = name
        self.parent = weakref.ref(parent) if parent else None
        self.children = []
        if parent:
            parent.children.append(self)

    def __del__(self):
        LOG.append(f"{self.name} gone")


def tree():
    root = Node("root")
    for index in range(3):
        Node(f"leaf{index}", root)
    finalizer = weakref.finalize(root, LOG.append, "finalized")
    loop = [root]
    loop.append(loop)
    return finalizer


def collect(generation, info):
    if generation == "stop":
        LOG.append("collected")


def crunch(n):
    total = 0
    for value in range(n):
        total = (total * 31 + value) % 1000003
    return total


def main():
    finalizer = tree()
    gc.collect()
    print(finalizer.alive, LOG)
    store = Store[Book]("shelf")
    ann = Person(name="Ann", age="41")
    for number, title in enumerate(["One", "Two", "Three"]):
        store.add(Book(title=title, pages=100 * number + 7, author=ann))
    print(store, store.total, store.total, Store.computed)
    print(crunch(200_000))
    for bad in ({"name": 3}, {"name": "x" * 40}, {"age": -1}, {"colour": "red"}):
        try:
            Person(**bad)
        except (TypeError, ValueError) as error:
            print(type(error).__name__, error)
    print([describe(item) for item in (1, "a", [1, "b"], ann, None, {1: 2})])
    print(Visitor().visit(store))
    print(Book.fields(), list(Person.__order__), Model.kinds)
    with ExitStack() as stack:
        out = stack.enter_context(redirect_stdout(StringIO()))
        for word in ("a", "b"):
            stack.callback(LOG.append, word)
        print("hidden")
        print(crunch(100_000))
    print(out.getvalue().split(), LOG)
    proxy = weakref.proxy(ann)
    print(proxy.name, proxy.label)
    proxy.age += 1
    print(vars(ann), isinstance(Book.pages, Validated), Text.count)
    try:
        sys.exit(models.status(store))
    finally:
        print("leaving")


if __name__ == "__main__":
    main()
