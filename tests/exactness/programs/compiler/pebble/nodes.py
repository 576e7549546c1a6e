"""The tree that the parser makes."""

from dataclasses import dataclass, fields


@dataclass
class Node:
    line: int

    def children(self):
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, list):
                yield from (item for item in value if isinstance(item, Node))


@dataclass
class Literal(Node):
    value: object


@dataclass
class Name(Node):
    name: str


@dataclass
class ListOf(Node):
    items: list


@dataclass
class Unary(Node):
    sign: str
    value: Node


@dataclass
class Binary(Node):
    sign: str
    left: Node
    right: Node


@dataclass
class Logical(Node):
    sign: str
    left: Node
    right: Node


@dataclass
class Index(Node):
    owner: Node
    index: Node


@dataclass
class Call(Node):
    function: Node
    arguments: list


@dataclass
class Function(Node):
    name: str
    parameters: list
    body: list


@dataclass
class Let(Node):
    name: str
    value: Node


@dataclass
class Assign(Node):
    target: Node
    value: Node


@dataclass
class If(Node):
    condition: Node
    then: list
    otherwise: list


@dataclass
class While(Node):
    condition: Node
    body: list


@dataclass
class Return(Node):
    value: Node


@dataclass
class Use(Node):
    module: str


@dataclass
class Expression(Node):
    value: Node


def count(nodes):
    return sum(1 + count(node.children()) for node in nodes)
