from functools import singledispatch, singledispatchmethod

from models import Book, Model, Store


@singledispatch
def describe(value):
    return f"something {value!r}"


@describe.register
def _(value: int):
    return f"number {value}"


@describe.register(str)
def _(value):
    return f"text {value}"


@describe.register(list)
@describe.register(tuple)
def _(values):
    return [describe(value) for value in values]


@describe.register
def _(value: Model):
    return value.label


describe.register(type(None), lambda value: "nothing")


class Visitor:
    depth = 0

    @singledispatchmethod
    def visit(self, node):
        return f"?{node}"

    @visit.register
    def _(self, node: Store):
        self.depth += 1
        return [self.visit(item) for item in node]

    @visit.register
    def _(self, node: Book):
        return f"{self.depth}{node.title}"
