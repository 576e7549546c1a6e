import abc
import weakref
from functools import cached_property, partialmethod, reduce, singledispatch, total_ordering
from typing import Generic, NamedTuple, TypedDict, TypeVar

from deco import retry, spin, traced, validated

T = TypeVar("T")


class Point(NamedTuple):
    x: int
    y: int = 0

    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)


@validated
class Account:
    limit = 100

    def __init__(self, owner: str, amount: int = 5):
        self.owner, self.amount = owner, amount

    @traced(label="pay")
    def pay(self, n):
        self.amount -= n
        return self

    half = partialmethod(pay, 2)

    @property
    def rich(self):
        return self.amount > self.limit

    @rich.setter
    def rich(self, value):
        self.amount = self.limit + 1 if value else 0

    @staticmethod
    def static(x=[]):
        x.append(len(x))
        return list(x)

    @classmethod
    def parse(cls, text):
        owner, _, amount = text.partition(":")
        return cls(owner, int(amount or 1))


class Stack(Generic[T]):
    def __init__(self):
        self._items: list[T] = []

    def __iter__(self):
        yield from reversed(self._items)

    def __lshift__(self, item):
        self._items.append(item)
        return self

    def __class_getitem__(cls, item):
        return super().__class_getitem__(item)

    def __getattr__(self, name):
        if name.startswith("top"):
            return self._items[-int(name[3:] or 1)]
        raise AttributeError(name)


@singledispatch
def show(value):
    return repr(value)


@show.register(int)
@show.register(float)
def show_number(value):
    return f"{value:+.1f}"


@show.register
def _(value: Point):
    return f"({value.x}|{value.y})"


class Temp:
    alive = weakref.WeakSet()

    def __init__(self, name):
        self.name = name
        self.alive.add(self)

    def __del__(self):
        print("bye", self.name)


def counter(start=0, *, step=1):
    count = start

    def increase(by=step):
        nonlocal count
        count += by
        return count

    def reset():
        nonlocal count
        count = start
    increase.reset = reset
    return increase


@retry(times=3)
def flaky(text, attempt):
    if attempt < len(text):
        raise ValueError(text)
    return text * attempt


@traced
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def flatten(nested):
    for item in nested:
        if isinstance(item, (list, tuple)) and not isinstance(item, Point):
            yield from flatten(item)
        else:
            yield item
