"""Expressions of module code that have the same value whenever they are evaluated, and do nothing else.

Constants and displays of them; names of types; and what a closed list of the standard library's callables makes of such,
like `re.compile("…")`. The host evaluates the latter once, because a call that raises or warns is no mere value.
"""
import ast
import importlib
import sys
import warnings
from functools import lru_cache

from .bytecode import CONSTANTS, RESUME, RETURN, decode

TYPES = {"int", "str", "float", "bool", "bytes", "list", "dict", "tuple", "set", "object", "complex", "frozenset"}
# Types that are made from nothing or from values, and have no side.
MAKERS = {"set", "frozenset", "dict", "list", "tuple"}
# What these make depends on their arguments only.
PURE = {
    "re.compile", "logging.getLogger", "pathlib.Path", "pathlib.PurePath", "pathlib.PurePosixPath", "decimal.Decimal",
    "fractions.Fraction", "collections.namedtuple", "collections.OrderedDict", "collections.defaultdict", "collections.deque",
    "collections.Counter", "datetime.timedelta", "datetime.date", "datetime.datetime", "datetime.time", "string.Template",
    "struct.Struct", "typing.TypeVar", "operator.itemgetter", "operator.attrgetter", "operator.methodcaller", "math.sqrt", "math.log",
    "math.exp", "math.radians", "math.degrees", "os.path.join", "os.path.dirname", "os.path.basename", "random.Random",
    "dataclasses.field", "enum.auto", "types.SimpleNamespace", "uuid.UUID",
}
# Parts of paths, which are computed from their text.
PARTS = {"parent", "name", "stem", "suffix"}
# What a module knows of itself before its first statement.
OWN = {"__name__", "__file__"}
OPERATORS = (ast.Div, ast.BitOr)


class Names:
    """What the top-level names of a file stand for, of those that are bound once."""

    def __init__(self, tree):
        self.bound = times_bound(tree)
        # {name: (line from which on it is there, dotted name in the standard library)}
        self.library = {}
        # {name: its definition}
        self.classes = {}
        for statement in tree.body:
            if isinstance(statement, ast.Import):
                for one in statement.names:
                    if "." not in one.name or one.asname:
                        self._add(self.library, one.asname or one.name, (statement.lineno, one.name))
            elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
                for one in statement.names:
                    self._add(self.library, one.asname or one.name, (statement.lineno, "%s.%s" % (statement.module, one.name)))
            elif isinstance(statement, ast.ClassDef):
                self._add(self.classes, statement.name, statement)
        # Annotations are kept as text.
        self.texts = any(
            isinstance(s, ast.ImportFrom) and s.module == "__future__" and any(a.name == "annotations" for a in s.names) for s in tree.body
        )

    def _add(self, kind, name, value):
        if self.bound.get(name) == 1:
            kind[name] = value

    def builtin(self, name):
        return name in TYPES and name not in self.bound

    def defined_class(self, node):
        """The definition, further up, of the class that a name stands for, or None."""
        found = self.classes.get(node.id) if isinstance(node, ast.Name) else None
        return found if found is not None and found.end_lineno < node.lineno else None

    def dotted(self, node):
        """Where in the standard library something is that a name or attribute reaches, or None."""
        if isinstance(node, ast.Name):
            line, found = self.library.get(node.id, (None, None))
            if line is None or line >= node.lineno or found.partition(".")[0] not in sys.stdlib_module_names:
                return None
            return found
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return base and "%s.%s" % (base, node.attr)
        return None


def times_bound(tree):
    """How often each name is bound below a node, by whatever kind of statement."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names = () if isinstance(node.ctx, ast.Load) else (node.id,)
        elif isinstance(node, ast.alias):
            names = ((node.asname or node.name).split(".")[0],)
        elif isinstance(node, ast.MatchMapping):
            names = (node.rest,)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            names = (node.name,)
        else:
            continue
        for name in names:
            if name is not None:
                bound[name] = bound.get(name, 0) + 1
    return bound


def literal(node):
    """Whether an expression is a constant, or a display of such."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def folded(node):
    """The constant that the compiler makes of an expression like `60 * 60`; raises ValueError where it makes none."""
    if isinstance(node, (ast.BinOp, ast.UnaryOp)) and not any(isinstance(n, (ast.Name, ast.Call, ast.Attribute)) for n in ast.walk(node)):
        code = compile(ast.Expression(node), "", "eval")
        if code.co_names == () and not any(isinstance(n, (ast.List, ast.Dict, ast.Set)) for n in ast.walk(node)):
            steps = [(op, arg) for _, _, _, op, arg in decode(code.co_code) if op not in (RESUME, RETURN)]
            if len(steps) == 1 and steps[0][0] in CONSTANTS:
                return code.co_consts[steps[0][1]]
    raise ValueError


def annotation(node, names):
    """Whether an annotation's value is settled, whoever computes it when."""
    if node is None or isinstance(node, (ast.Constant, ast.Name)):
        return _annotation(node, names)
    return _annotation(node, names) and evaluates(node, names)


def _annotation(node, names):
    if node is None or isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str)):
        return True
    if isinstance(node, ast.Name):
        return names.builtin(node.id) or names.defined_class(node) is not None or _typing(node, names)
    if isinstance(node, ast.Attribute):
        return _typing(node, names)
    if isinstance(node, ast.Subscript):
        of = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        base = isinstance(node.value, ast.Name) and names.builtin(node.value.id) or _typing(node.value, names)
        return base and all(_within(each, names) for each in of)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        # A class of the program may have a metaclass that says what `|` means.
        return all(_plain(side, names) and _annotation(side, names) for side in (node.left, node.right))
    return False


def _within(node, names):
    """Whether what stands in brackets behind a type is settled."""
    if isinstance(node, ast.List):
        return all(_within(each, names) for each in node.elts)
    return isinstance(node, ast.Constant) and node.value in (..., None) or _annotation(node, names)


def _plain(node, names):
    return not isinstance(node, ast.Name) or node.id not in names.classes


def _typing(node, names):
    """Whether something is a member of `typing` or a type of the standard library."""
    found = names.dotted(node)
    if found is None:
        return False
    module, _, member = found.rpartition(".")
    value = library(module, member) if module else None
    return module in ("typing", "collections.abc") and value is not None or isinstance(value, type)


@lru_cache(maxsize=1024)
def library(module, member):
    """A member of a module of the standard library, or None."""
    try:
        return vars(importlib.import_module(module)).get(member)
    except ImportError:
        return None


def value(node, names):
    """Whether an expression has the same value whenever it is evaluated, and does nothing else."""
    if literal(node):
        return True
    return not isinstance(node, ast.Name) and _settled(node, names) and evaluates(node, names)


def _settled(node, names):
    if literal(node):
        return True
    if isinstance(node, ast.Name):
        return names.builtin(node.id) or node.id in OWN and node.id not in names.bound
    if isinstance(node, ast.Attribute):
        found = names.dotted(node)
        if found is not None:
            module, _, member = found.rpartition(".")
            return isinstance(library(module, member), (int, float, str, bytes))
        return node.attr in PARTS and isinstance(node.value, (ast.Call, ast.Attribute)) and _settled(node.value, names)
    if isinstance(node, ast.Call):
        made = names.dotted(node.func) in PURE or isinstance(node.func, ast.Name) and node.func.id in MAKERS and names.builtin(node.func.id)
        return made and all(_settled(a, names) for a in node.args) and all(k.arg is not None and _settled(k.value, names) for k in node.keywords)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, OPERATORS) and _settled(node.left, names) and _settled(node.right, names)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return all(_settled(each, names) for each in node.elts)
    if isinstance(node, ast.Dict):
        return all(key is not None and _settled(key, names) for key in node.keys) and all(_settled(each, names) for each in node.values)
    return False


def reached(node, names):
    """[module, member or None] of what an expression or a definition takes from the standard library."""
    found = sorted({names.library[n.id][1] for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in names.library})
    return [[dotted, None] if _module(dotted) is not None else [dotted.rpartition(".")[0], dotted.rpartition(".")[2]] for dotted in found]


def evaluates(node, names):
    """Whether an expression, or a plain class, can be evaluated without an error or a warning: the host is the same interpreter
    as the program's, so it tries."""
    used, classes = set(), {}
    _use(node, names, used, classes)
    library_names = tuple(sorted((name, names.library[name][1]) for name in used & names.library.keys()))
    return _runs("\n".join([*(classes[line] for line in sorted(classes)), ast.unparse(node)]), library_names)


def _use(node, names, used, classes):
    """Gather the names that a node uses, and {line: text} of the classes: those that others are derived from as they are."""
    ids = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    used |= ids
    bases = {b.id for b in getattr(node, "bases", ()) if isinstance(b, ast.Name)}
    for name in ids & names.classes.keys():
        definition = names.classes[name]
        if name in bases:
            classes[definition.lineno] = ast.unparse(definition)
            _use(definition, names, used, classes)
        elif definition is not node:
            classes.setdefault(definition.lineno, "class %s: pass" % name)


@lru_cache(maxsize=1024)
def _runs(text, library_names):
    known = {"__name__": "module", "__file__": "/directory/module.py"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for name, dotted in library_names:
                found = _module(dotted)
                known[name] = library(*dotted.rpartition(".")[::2]) if found is None else found
            exec(text, known)
    except Exception:
        return False
    return True


@lru_cache(maxsize=256)
def _module(dotted):
    try:
        return importlib.import_module(dotted)
    except ImportError:
        return None
