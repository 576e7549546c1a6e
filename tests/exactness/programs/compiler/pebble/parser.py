"""Recursive descent; expressions by binding power."""

from . import nodes
from .errors import SyntaxFault
from .lexer import tokens

POWERS = {"or": 1, "and": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
CONSTANTS = {"true": True, "false": False, "nil": None}


class Parser:
    def __init__(self, source):
        self.tokens = list(tokens(source))
        self.place = 0

    @property
    def token(self):
        return self.tokens[self.place]

    def take(self, kind=None):
        token = self.token
        if kind is not None and token.kind != kind:
            raise SyntaxFault(f"{kind} expected, not {token.text or 'the end'!r}", token.line)
        self.place += 1
        return token

    def skip(self, kind):
        if self.token.kind == kind:
            self.place += 1
            return True
        return False

    def program(self):
        body = []
        while self.token.kind != "end":
            body.append(self.statement())
        return body

    def block(self):
        self.take("{")
        body = []
        while not self.skip("}"):
            body.append(self.statement())
        return body

    def statement(self):
        token = self.token
        method = getattr(self, f"statement_{token.kind}", None)
        if method is None or (token.kind == "fn" and self.tokens[self.place + 1].kind != "name"):
            return self.simple()
        self.take()
        return method(token.line)

    def statement_fn(self, line):
        name = self.take("name").text
        return nodes.Let(line, name, self.function(name, line))

    def statement_let(self, line):
        name = self.take("name").text
        self.take("=")
        value = self.expression()
        self.take(";")
        return nodes.Let(line, name, value)

    statement_const = statement_let

    def statement_if(self, line):
        condition, then, otherwise = self.expression(), self.block(), []
        if self.skip("else"):
            otherwise = [self.statement()] if self.token.kind == "if" else self.block()
        return nodes.If(line, condition, then, otherwise)

    def statement_while(self, line):
        return nodes.While(line, self.expression(), self.block())

    def statement_return(self, line):
        value = nodes.Literal(line, None) if self.token.kind == ";" else self.expression()
        self.take(";")
        return nodes.Return(line, value)

    def statement_use(self, line):
        name = self.take("name").text
        self.take(";")
        return nodes.Use(line, name)

    def simple(self):
        line = self.token.line
        value = self.expression()
        if self.skip("="):
            if not isinstance(value, (nodes.Name, nodes.Index)):
                raise SyntaxFault("this cannot be assigned to", line)
            value = nodes.Assign(line, value, self.expression())
        else:
            value = nodes.Expression(line, value)
        self.take(";")
        return value

    def expression(self, power=0):
        left = self.unary()
        while POWERS.get(self.token.kind, 0) > power:
            token = self.take()
            right = self.expression(POWERS[token.kind])
            kind = nodes.Logical if token.kind in ("and", "or") else nodes.Binary
            left = kind(token.line, token.kind, left, right)
        return left

    def unary(self):
        if self.token.kind in ("-", "not"):
            token = self.take()
            return nodes.Unary(token.line, token.kind, self.unary())
        return self.postfix(self.primary())

    def postfix(self, value):
        while True:
            line = self.token.line
            if self.skip("("):
                value = nodes.Call(line, value, self.sequence(")"))
            elif self.skip("["):
                value = nodes.Index(line, value, self.expression())
                self.take("]")
            else:
                return value

    def sequence(self, end):
        items = []
        while not self.skip(end):
            items.append(self.expression())
            if self.token.kind != end:
                self.take(",")
        return items

    def primary(self):
        token = self.take()
        if token.kind == "number":
            return nodes.Literal(token.line, int(token.text))
        if token.kind == "text":
            return nodes.Literal(token.line, token.text[1:-1])
        if token.kind in CONSTANTS:
            return nodes.Literal(token.line, CONSTANTS[token.kind])
        if token.kind == "name":
            return nodes.Name(token.line, token.text)
        if token.kind == "[":
            return nodes.ListOf(token.line, self.sequence("]"))
        if token.kind == "fn":
            return self.function(None, token.line)
        if token.kind == "(":
            value = self.expression()
            self.take(")")
            return value
        raise SyntaxFault(f"unexpected {token.text or 'end'!r}", token.line)

    def function(self, name, line):
        self.take("(")
        parameters = []
        while not self.skip(")"):
            parameters.append(self.take("name").text)
            if self.token.kind != ")":
                self.take(",")
        return nodes.Function(line, name, parameters, self.block())


def parse(source):
    return Parser(source).program()
