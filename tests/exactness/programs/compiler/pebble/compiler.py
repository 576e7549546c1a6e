"""From tree to code of a stack machine."""

from .code import Code
from .natives import NATIVES
from .scopes import Scope

SIGNS = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
SIGNS |= {"==": "eq", "!=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"}


class Compiler:
    def __init__(self, scope, code):
        self.scope = scope
        self.code = code

    def compile(self, node):
        getattr(self, type(node).__name__.lower())(node)

    def body(self, nodes):
        for node in nodes:
            self.compile(node)

    def emit(self, name, argument=None, line=0):
        return self.code.emit(name, argument, line)

    def literal(self, node):
        self.emit("const", node.value, node.line)

    def name(self, node):
        self.emit("load", self.scope.find(node.name, node.line), node.line)

    def listof(self, node):
        self.body(node.items)
        self.emit("list", len(node.items), node.line)

    def unary(self, node):
        self.compile(node.value)
        self.emit("neg" if node.sign == "-" else "not", None, node.line)

    def binary(self, node):
        self.compile(node.left)
        self.compile(node.right)
        self.emit(SIGNS[node.sign], None, node.line)

    def logical(self, node):
        self.compile(node.left)
        place = self.emit(f"jump_{node.sign}", None, node.line)
        self.compile(node.right)
        self.code.patch(place)

    def index(self, node):
        self.compile(node.owner)
        self.compile(node.index)
        self.emit("index", None, node.line)

    def call(self, node):
        self.compile(node.function)
        self.body(node.arguments)
        self.emit("call", len(node.arguments), node.line)

    def function(self, node):
        scope = Scope(self.scope, node.parameters)
        code = Code(node.name or "fn", len(node.parameters))
        inner = Compiler(scope, code)
        inner.body(node.body)
        inner.emit("const")
        inner.emit("return")
        code.size = len(scope)
        self.emit("function", code, node.line)

    def let(self, node):
        place = self.scope.define(node.name)
        self.compile(node.value)
        self.emit("store", (0, place), node.line)

    def assign(self, node):
        if hasattr(node.target, "owner"):
            self.compile(node.target.owner)
            self.compile(node.target.index)
            self.compile(node.value)
            self.emit("put", None, node.line)
        else:
            self.compile(node.value)
            self.emit("store", self.scope.find(node.target.name, node.line), node.line)

    def expression(self, node):
        self.compile(node.value)
        self.emit("pop", None, node.line)

    def __getattr__(self, name):
        # `if`, `while` and `return` cannot be names of methods.
        try:
            return object.__getattribute__(self, f"do_{name}")
        except AttributeError:
            raise AttributeError(f"nothing compiles a {name}") from None

    def do_if(self, node):
        self.compile(node.condition)
        to_else = self.emit("unless", None, node.line)
        self.body(node.then)
        to_end = self.emit("jump", None, node.line)
        self.code.patch(to_else)
        self.body(node.otherwise)
        self.code.patch(to_end)

    def do_while(self, node):
        start = len(self.code.instructions)
        self.compile(node.condition)
        out = self.emit("unless", None, node.line)
        self.body(node.body)
        self.emit("jump", start, node.line)
        self.code.patch(out)

    def do_return(self, node):
        self.compile(node.value)
        self.emit("return", None, node.line)


def compile_program(name, body):
    scope = Scope(known=NATIVES)
    code = Code(name)
    compiler = Compiler(scope, code)
    compiler.body(body)
    compiler.emit("const")
    compiler.emit("return")
    code.size = len(scope)
    return code
