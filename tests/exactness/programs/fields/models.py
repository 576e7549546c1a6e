from functools import cached_property, partialmethod
from typing import Generic, TypeVar

from fields import Field, Integer, Text

Item = TypeVar("Item")


class Ordered(dict):
    def __init__(self):
        self.order = []

    def __setitem__(self, name, value):
        if not name.startswith("_") and name not in self.order:
            self.order.append(name)
        super().__setitem__(name, value)


class Meta(type):
    @classmethod
    def __prepare__(metacls, name, bases, **keywords):
        return Ordered()

    def __new__(metacls, name, bases, namespace, *, abstract=False):
        cls = super().__new__(metacls, name, bases, dict(namespace))
        cls.__order__ = tuple(namespace.order)
        if not abstract:
            cls.kinds.append(name)
        return cls

    def fields(cls):
        return {name: value for name in cls.__order__ if isinstance(value := cls.__dict__[name], Field)}


class Model(metaclass=Meta, abstract=True):
    kinds = []

    def __init__(self, **values):
        for name, value in values.items():
            if name not in type(self).fields():
                raise TypeError(f"{type(self).__name__} has no {name}")
            setattr(self, name, value)

    def tell(self, prefix, end="!"):
        return f"{prefix} {self.label}{end}"

    hello = partialmethod(tell, "hello")

    @property
    def label(self):
        return f"{type(self).__name__}:{self.name}"


class Person(Model):
    name = Text()
    age = Integer(18)


class Book(Model):
    title = Text(longest=30)
    pages = Integer()
    author = Field()

    @property
    def label(self):
        return f"{self.title} by {self.author.name}"


class Store(Generic[Item]):
    computed = 0

    def __init__(self, name):
        self.name = name
        self.items: list[Item] = []

    def add(self, item):
        self.items.append(item)
        self.__dict__.pop("total", None)

    @cached_property
    def total(self):
        Store.computed += 1
        return sum(item.pages for item in self.items)

    def __iter__(self):
        return iter(self.items)

    def __repr__(self):
        return f"Store({self.name}, {[item.hello() for item in self.items]})"


def status(store):
    return store.total % 5
