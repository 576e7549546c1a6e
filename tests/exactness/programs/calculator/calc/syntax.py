from dataclasses import dataclass, fields, is_dataclass, replace

from .values import PRECEDENCE, TokenKind


class SyntaxFault(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Node:
    pass


@dataclass(frozen=True, slots=True)
class Number(Node):
    value: float


@dataclass(frozen=True, slots=True)
class Text(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Choice(Node):
    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    name: str
    arguments: tuple


@dataclass(frozen=True, slots=True)
class Many(Node):
    items: tuple = ()


@dataclass(frozen=True, slots=True)
class Let(Node):
    name: str
    value: Node


@dataclass(frozen=True, slots=True)
class Define(Node):
    name: str
    parameters: tuple
    body: Node


@dataclass(frozen=True, slots=True)
class Print(Node):
    items: tuple


def unused_node(node):
    return replace(node, value=0)


def dump(node):
    if is_dataclass(node):
        inner = ", ".join(f"{one.name}={dump(getattr(node, one.name))}" for one in fields(node))
        return f"{type(node).__name__}({inner})"
    if isinstance(node, tuple):
        return "[" + " ".join(dump(item) for item in node) + "]"
    return repr(node)


class Parser:
    def __init__(self, tokens):
        self.tokens = tokens
        self.current = next(tokens)

    def take(self, text=None):
        token = self.current
        if text is not None and token.text != text:
            raise SyntaxFault(f"{text!r} expected, not {token} at {token.column}")
        if token.kind is not TokenKind.END:
            self.current = next(self.tokens)
        return token

    def statement(self):
        match self.current.text:
            case "let":
                self.take()
                name = self.take().text
                self.take("=")
                tree = Let(name, self.expression())
            case "def":
                self.take()
                name = self.take().text
                parameters = tuple(one.name for one in self.series("(", ")"))
                self.take("=")
                tree = Define(name, parameters, self.expression())
            case "print":
                self.take()
                items = [self.expression()]
                while self.current.text == ",":
                    self.take()
                    items.append(self.expression())
                tree = Print(tuple(items))
            case other:
                raise SyntaxFault(f"no statement begins with {other}")
        if self.current.kind is not TokenKind.END:
            raise SyntaxFault(f"unexpected {self.current}")
        return tree

    def series(self, first, last):
        self.take(first)
        items = []
        while self.current.text != last:
            items.append(self.expression())
            if self.current.text == ",":
                self.take()
        self.take(last)
        return tuple(items)

    def expression(self, least=0):
        left = self.primary()
        while (strength := PRECEDENCE.get(self.current.text, 0)) > least:
            operator = self.take().text
            if operator == "?":
                yes = self.expression()
                self.take(":")
                left = Choice(left, yes, self.expression())
            else:
                left = Binary(operator, left, self.expression(strength))
        return left

    def primary(self):
        token = self.current
        match token:
            case (TokenKind.NUMBER, text, _):
                self.take()
                return Number(float(text) if "." in text else int(text))
            case (TokenKind.TEXT, text, _):
                self.take()
                return Text(text.strip('"'))
            case (TokenKind.NAME, text, _):
                self.take()
                return Call(text, self.series("(", ")")) if self.current.text == "(" else Name(text)
            case (_, "(", _):
                return self.series("(", ")")[0]
            case (_, "[", _):
                return Many(self.series("[", "]"))
            case (_, "-", _):
                self.take()
                return Unary("-", self.expression(5))
        raise SyntaxFault(f"unexpected {token}")
