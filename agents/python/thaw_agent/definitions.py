"""Names that an edit may bind, unbind or bind anew in module code that has run already.

Some top-level statements do nothing but bind a name: a plain `def` with constant defaults, a constant, an import from the
standard library, the docstring. As long as no executed code names it and nothing looks through the module's names, whether
and to what it was bound cannot have been noticed.
"""
import ast
import base64
import builtins
import collections.abc
import importlib
import io
import marshal
import os
import re
import sys
from functools import lru_cache

from .compare import version
from .traps import ANNOTATE

TYPES = {"int", "str", "float", "bool", "bytes", "list", "dict", "tuple", "set", "object", "complex", "frozenset"}


# Importing these does something, or warns.
SPEAKING = set(
    "this antigravity idlelib turtle turtledemo lib2to3 site sitecustomize usercustomize aifc asynchat asyncore audioop cgi cgitb chunk crypt "
    "distutils imghdr imp mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib readline rlcompleter".split()
)


def inert(statement, first=False):
    """Whether a top-level statement only binds names. `first`: it is the first of its module."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return _plain_function(statement)
    if isinstance(statement, ast.Assign):
        return len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name) and _constant(statement.value)
    if isinstance(statement, ast.Import):
        return all("." not in a.name and _library(a.name, None) for a in statement.names)
    if isinstance(statement, ast.ImportFrom):
        return statement.level == 0 and all(_library(statement.module, a.name) for a in statement.names)
    return first and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


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


def _plain_function(statement):
    if statement.decorator_list or getattr(statement, "type_params", None) or statement.name == ANNOTATE:
        return False
    arguments = statement.args
    every = arguments.posonlyargs + arguments.args + arguments.kwonlyargs + [a for a in (arguments.vararg, arguments.kwarg) if a]
    return (
        all(_annotation(a.annotation) for a in every)
        and _annotation(statement.returns)
        and all(d is None or _constant(d) for d in arguments.defaults + arguments.kw_defaults)
    )


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


def _annotation(node):
    return node is None or isinstance(node, ast.Constant) and node.value is None or isinstance(node, ast.Name) and node.id in TYPES


def _constant(node):
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    # A list or dictionary is a new object at each definition, but it is one object for all calls: only constants will do.
    return not any(isinstance(n, (ast.List, ast.Dict, ast.Set)) for n in ast.walk(node))


def bindings(statement):
    """What a program needs to bind the names of an inert statement; equal where nothing but a function's body differs."""
    if isinstance(statement, ast.Assign):
        return [{"name": statement.targets[0].id, "kind": "constant", "values": _pack(ast.literal_eval(statement.value))}]
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
    parameters = arguments.posonlyargs + arguments.args + [a for a in (arguments.vararg,) if a]
    parameters += arguments.kwonlyargs + [a for a in (arguments.kwarg,) if a]
    notes = {a.arg: getattr(a.annotation, "id", None) for a in parameters if a.annotation is not None}
    if statement.returns is not None:
        notes["return"] = getattr(statement.returns, "id", None)
    # The shape of the parameters and the docstring belong to the definition although the code carries them.
    shape = ast.dump(arguments) + repr(ast.get_docstring(statement, False))
    flow = type(statement).__name__ + str(_yields(statement))
    packed = _pack((defaults or None, keywords or None, notes))
    return [{"name": statement.name, "kind": "function", "unit": statement.name + "#0", "shape": shape, "flow": flow, "values": packed}]


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
        if inert(statement, number == 0) or _absolute_import(statement):
            found.update(((None, entry["name"]), entry) for entry in bindings(statement))
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign)) and inert(member):
                    for entry in bindings(member):
                        entry["owner"] = statement.name
                        if "unit" in entry:
                            entry["unit"] = "%s.%s" % (statement.name, entry["unit"])
                        found[statement.name, entry["name"]] = entry
    return found


def _absolute_import(statement):
    if isinstance(statement, ast.Import):
        return all("." not in a.name for a in statement.names)
    return isinstance(statement, ast.ImportFrom) and statement.level == 0 and statement.names[0].name != "*"


@lru_cache(maxsize=1)
def asked(cache):
    """Names of attributes that the standard library or the interpreter asks any object for: a member of such a name can be
    noticed without any code of the program naming it. Gathered from the library's source once, and kept."""
    kept = "%s/asked-%s" % (cache, sys.version.split()[0])
    try:
        with open(kept, encoding="ascii") as file:
            return frozenset(file.read().split())
    except OSError:
        pass
    found = set()
    library = os.path.dirname(os.__file__)
    for directory, below, files in os.walk(library):
        below[:] = [d for d in below if d not in ("site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__")]
        for name in files:
            if name.endswith(".py"):
                try:
                    with open(os.path.join(directory, name), "rb") as file:
                        found.update(ASKED.findall(file.read()))
                except FileNotFoundError:
                    # A link to a distribution's settings that are not installed.
                    pass
    names = {name.decode() for pair in found for name in pair if name}
    for value in [*vars(builtins).values(), *vars(io).values(), *vars(collections.abc).values()]:
        names.update(dir(value))
    text = "\n".join(sorted(n for n in names if n.isascii()))
    temporary = "%s.%d" % (kept, os.getpid())
    try:
        with open(temporary, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(temporary, kept)
    except OSError:
        pass
    return frozenset(text.split())


# `x.name`, and names in quotes as getattr takes them.
ASKED = re.compile(rb"""\.([A-Za-z_]\w*)|['"]([A-Za-z_]\w*)['"]""")


def _pack(value):
    return base64.b64encode(marshal.dumps(value)).decode()
