"""Works out what is known before anything runs."""

import operator
from functools import singledispatch

from . import nodes

SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "<": operator.lt, ">": operator.gt}


@singledispatch
def fold(node):
    return node


def fold_all(body):
    return [fold(node) for node in body]


@fold.register
def _(node: nodes.Binary):
    left, right = fold(node.left), fold(node.right)
    if number(left) and number(right) and node.sign in SIGNS:
        return nodes.Literal(node.line, SIGNS[node.sign](left.value, right.value))
    return nodes.Binary(node.line, node.sign, left, right)


@fold.register
def _(node: nodes.Unary):
    value = fold(node.value)
    if node.sign == "-" and number(value):
        return nodes.Literal(node.line, -value.value)
    return nodes.Unary(node.line, node.sign, value)


@fold.register
def _(node: nodes.Let):
    return nodes.Let(node.line, node.name, fold(node.value))


@fold.register
def _(node: nodes.Function):
    return nodes.Function(node.line, node.name, node.parameters, fold_all(node.body))


@fold.register
def _(node: nodes.While):
    return nodes.While(node.line, fold(node.condition), fold_all(node.body))


@fold.register
def _(node: nodes.If):
    return nodes.If(node.line, fold(node.condition), fold_all(node.then), fold_all(node.otherwise))


def number(node):
    return isinstance(node, nodes.Literal) and type(node.value) is int
