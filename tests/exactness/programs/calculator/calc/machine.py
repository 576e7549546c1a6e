import operator
from collections import ChainMap, Counter

from .syntax import Binary, Call, Choice, Define, Let, Many, Name, Number, Print, Text, Unary


class Fault(Exception):
    def __init__(self, message, *, hint=None):
        super().__init__(message)
        if hint:
            self.add_note(hint)


OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "^": operator.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    "==": operator.eq,
}


class Machine:
    depth = 0

    def __init__(self, limit=100):
        self.names = ChainMap({"pi": 3.14159})
        self.functions = {}
        self.profile = Counter()
        self.limit = limit

    def __repr__(self):
        return f"<Machine {sorted(self.functions)} {len(self.names)} names, limit {self.limit}>"

    def execute(self, tree):
        match tree:
            case Let(name, value):
                self.names[name] = self.evaluate(value)
            case Define(name=name):
                self.functions[name] = tree
            case Print(items):
                print(" ", *[self.show(self.evaluate(item)) for item in items])

    @staticmethod
    def show(value):
        if isinstance(value, float):
            return f"{value:.3f}"
        return str(value)

    def evaluate(self, tree):
        self.profile[type(tree).__name__] += 1
        match tree:
            case Number(value) | Text(value):
                return value
            case Name(name):
                try:
                    return self.names[name]
                except KeyError:
                    raise Fault(f"no name {name}", hint=f"known: {sorted(self.names)}") from None
            case Unary("-", operand):
                return -self.evaluate(operand)
            case Binary(symbol, left, right):
                try:
                    return OPERATORS[symbol](self.evaluate(left), self.evaluate(right))
                except ZeroDivisionError as error:
                    raise Fault(f"cannot {symbol}: {error}") from error
            case Choice(test, yes, no):
                return self.evaluate(yes if self.evaluate(test) else no)
            case Many(items):
                return [self.evaluate(item) for item in items]
            case Call(name, arguments):
                return self.call(name, [self.evaluate(argument) for argument in arguments])
        raise Fault(f"cannot evaluate {tree}")

    def call(self, name, values):
        if name not in self.functions:
            raise Fault(f"no function {name}")
        if self.depth >= self.limit:
            raise Fault("too deep")
        function = self.functions[name]
        outer = self.names
        self.names = outer.new_child(dict(zip(function.parameters, values, strict=True)))
        self.depth += 1
        try:
            return self.evaluate(function.body)
        finally:
            self.depth -= 1
            self.names = outer
