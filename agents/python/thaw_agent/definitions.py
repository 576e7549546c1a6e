"""Names that an edit may bind, unbind or bind anew in module code that has run already.

Some top-level statements do nothing but bind a name: a plain `def` or class, a value that is the same whenever it is computed
(`values`), an import from the standard library, the docstring. As long as no executed code names it and nothing looks through
the module's names, whether and to what it was bound cannot have been noticed.
"""
import ast
import base64
import importlib
import marshal
import sys
from functools import lru_cache

from . import plain_classes, values
from .compare import version
from .traps import ANNOTATE
from .values import TYPES, Names, folded, literal

# Importing these does something, or warns.
SPEAKING = set(
    "this antigravity idlelib turtle turtledemo lib2to3 site sitecustomize usercustomize aifc asynchat asyncore audioop cgi cgitb chunk crypt "
    "distutils imghdr imp mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib readline rlcompleter".split()
)


def inert(statement, first=False, names=None):
    """Whether a top-level statement only binds names. `first`: it is the first of its module. `names`: what the names of its
    file stand for; without them, only what needs none."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return _plain_function(statement, names)
    if isinstance(statement, ast.ClassDef):
        return names is not None and plain_classes.plain(statement, names)
    if isinstance(statement, ast.Assign):
        return len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name) and _value(statement.value, names)
    if isinstance(statement, ast.Import):
        return all("." not in a.name and _library(a.name, None) for a in statement.names)
    if isinstance(statement, ast.ImportFrom):
        return statement.level == 0 and all(_library(statement.module, a.name) for a in statement.names)
    return first and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _value(node, names):
    return _constant(node) is not None or names is not None and values.value(node, names)


def _constant(node):
    """A constant or a display of constants, packed; or None."""
    try:
        return _pack(ast.literal_eval(node) if literal(node) else folded(node))
    except ValueError:
        return None


def mutable(node):
    """Whether what an expression gives may change."""
    return isinstance(node, ast.AST) and not isinstance(node, ast.Constant) and any(
        isinstance(n, (ast.List, ast.Dict, ast.Set, ast.Call, ast.ListComp)) for n in ast.walk(node)
    )


@lru_cache(maxsize=1024)
def _library(module, member):
    """Whether an import can only succeed: the host is the same interpreter, so it tries."""
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names or top in SPEAKING or top == "__future__" or member == "*":
        return False
    try:
        found = importlib.import_module(module)
        # A member that the module makes when it is asked may come with a warning.
        return member is None or member in vars(found)
    except ImportError:
        return False


def _plain_function(statement, names):
    if statement.decorator_list or getattr(statement, "type_params", None) or statement.name == ANNOTATE:
        return False
    arguments = statement.args
    if not all(d is None or literal(d) for d in arguments.defaults + arguments.kw_defaults):
        return False
    notes = [a.annotation for a in _parameters(arguments)] + [statement.returns]
    if names is None:
        return all(_simple(note) for note in notes)
    return names.texts or all(values.annotation(note, names) for note in notes)


def _parameters(arguments):
    first = arguments.posonlyargs + arguments.args + [a for a in (arguments.vararg,) if a]
    return first + arguments.kwonlyargs + [a for a in (arguments.kwarg,) if a]


def _simple(node):
    return node is None or isinstance(node, ast.Constant) and node.value is None or isinstance(node, ast.Name) and node.id in TYPES


def annotated(statement):
    """Whether a statement is a function with annotations."""
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    return statement.returns is not None or any(isinstance(n, ast.arg) and n.annotation is not None for n in ast.walk(statement.args))


def _yields(statement):
    todo = list(statement.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)
    return False


def bound_names(statement):
    """Names that an inert statement binds."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [statement.targets[0].id]
    if isinstance(statement, ast.Expr):
        return ["__doc__"]
    return [a.asname or a.name for a in statement.names]


def bindings(statement, names=None):
    """What a program needs to bind the names of an inert statement; equal where nothing but a function's body differs."""
    if isinstance(statement, ast.Assign):
        name, packed = statement.targets[0].id, _constant(statement.value)
        if packed is not None:
            return [{"name": name, "kind": "constant", "values": packed}]
        return [{"name": name, "kind": "value", "values": ast.unparse(statement.value), "reached": values.reached(statement.value, names)}]
    if isinstance(statement, ast.ClassDef):
        return [plain_classes.binding(statement, names)]
    if isinstance(statement, ast.Expr):
        return [{"name": "__doc__", "kind": "constant", "values": _pack(statement.value.value)}]
    if isinstance(statement, ast.Import):
        return [{"name": a.asname or a.name, "kind": "import", "values": [a.name, None]} for a in statement.names]
    if isinstance(statement, ast.ImportFrom):
        return [
            {"name": a.asname or a.name, "kind": "import", "values": [statement.module, a.name], "also": a.name}
            for a in statement.names
        ]
    arguments = statement.args
    defaults = tuple(ast.literal_eval(d) for d in arguments.defaults)
    keywords = {a.arg: ast.literal_eval(d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults) if d is not None}
    # The shape of the parameters and the docstring belong to the definition although the code carries them.
    shape = ast.dump(arguments) + repr(ast.get_docstring(statement, False))
    flow = type(statement).__name__ + str(_yields(statement))
    packed = _pack((defaults or None, keywords or None, _notes(statement, names)))
    return [{"name": statement.name, "kind": "function", "unit": statement.name + "#0", "shape": shape, "flow": flow, "values": packed}]


def _notes(statement, names):
    """{parameter: text of its annotation, to be evaluated} of a function."""
    if names is not None and names.texts:
        stub = ast.FunctionDef(statement.name, _without_defaults(statement.args), [ast.Pass()], [], statement.returns, type_params=[])
        future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
        known = {}
        exec(compile(ast.fix_missing_locations(ast.Module([future, stub], [])), "", "exec"), known)
        return {name: repr(text) for name, text in known[statement.name].__annotations__.items()}
    notes = {a.arg: ast.unparse(a.annotation) for a in _parameters(statement.args) if a.annotation is not None}
    if statement.returns is not None:
        notes["return"] = ast.unparse(statement.returns)
    return notes


def _without_defaults(arguments):
    nothing = [None] * len(arguments.kwonlyargs)
    return ast.arguments(arguments.posonlyargs, arguments.args, arguments.vararg, arguments.kwonlyargs, nothing, arguments.kwarg, [])


def anew(file, old, new, cache):
    """What an edit binds that was not bound so before, for processes that keep their state: {"bind", "was"}. Imports count
    whatever they import: they are code from here on."""
    had, has = (_all_bindings(ast.parse(version(file, digest, cache)[0])) for digest in (old, new))
    changed = [key for key, entry in has.items() if had.get(key) != entry]
    return {"bind": [has[key] for key in changed], "was": [had[key] for key in changed if key in had]}


def _all_bindings(tree):
    """{(class or None, name): entry} of the plain definitions of a module and of its classes."""
    found = {}
    for number, statement in enumerate(tree.body):
        if inert(statement, number == 0) and not _holds_state(statement) or _absolute_import(statement):
            found.update(((None, entry["name"]), entry) for entry in bindings(statement))
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign)) and inert(member) and not _holds_state(member):
                    for entry in bindings(member):
                        entry["owner"] = statement.name
                        if "unit" in entry:
                            entry["unit"] = "%s.%s" % (statement.name, entry["unit"])
                        found[statement.name, entry["name"]] = entry
    return found


def _holds_state(statement):
    """Whether a definition makes what a process that goes on may have changed since."""
    if isinstance(statement, ast.Assign):
        return mutable(statement.value)
    return isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and mutable(statement.args)


def _absolute_import(statement):
    if isinstance(statement, ast.Import):
        return all("." not in a.name for a in statement.names)
    return isinstance(statement, ast.ImportFrom) and statement.level == 0 and statement.names[0].name != "*"


def _pack(value):
    return base64.b64encode(marshal.dumps(value)).decode()
