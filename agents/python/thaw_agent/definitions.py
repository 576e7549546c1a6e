"""Functions that an edit may add, remove or re-head in module code that has run already.

A plain `def` at top level, without decorators and with constant defaults, does nothing but bind its name. As long as no
executed code names it and nothing looks through the module's names, whether it is there cannot have been noticed.
"""
import ast
import base64
import builtins
import marshal
from functools import lru_cache

from . import traps
from .compare import version
from .traps import MODULE, nested, units_of

# Names that let code find out what a module holds without naming it.
LOOKS_AROUND = {
    "globals", "vars", "dir", "locals", "__dict__", "exec", "eval", "getmembers", "getattr", "hasattr", "import_module", "__import__",
    "attrgetter", "methodcaller", "*", "f_globals", "__globals__", "modules", "getmodule", "runpy",
}
TYPES = {"int", "str", "float", "bool", "bytes", "list", "dict", "tuple", "set", "object", "complex", "frozenset"}


def inert(statement):
    """Whether a top-level statement is a definition that only binds its name."""
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) or statement.decorator_list:
        return False
    arguments = statement.args
    every = arguments.posonlyargs + arguments.args + arguments.kwonlyargs + [a for a in (arguments.vararg, arguments.kwarg) if a]
    return (
        all(_annotation(a.annotation) for a in every)
        and _annotation(statement.returns)
        and all(d is None or _constant(d) for d in arguments.defaults + arguments.kw_defaults)
    )


def _annotation(node):
    return node is None or isinstance(node, ast.Constant) and node.value is None or isinstance(node, ast.Name) and node.id in TYPES


def _constant(node):
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    # A list or dictionary is a new object at each definition, but it is one object for all calls: only constants will do.
    return not any(isinstance(n, (ast.List, ast.Dict, ast.Set)) for n in ast.walk(node))


def binding(statement):
    """What a program needs to make the function: its unit, its defaults and annotations."""
    arguments = statement.args
    defaults = tuple(ast.literal_eval(d) for d in arguments.defaults)
    keywords = {a.arg: ast.literal_eval(d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults) if d is not None}
    every = arguments.posonlyargs + arguments.args + [a for a in (arguments.vararg,) if a] + arguments.kwonlyargs + [a for a in (arguments.kwarg,) if a]
    notes = {a.arg: getattr(a.annotation, "id", None) for a in every if a.annotation is not None}
    if statement.returns is not None:
        notes["return"] = getattr(statement.returns, "id", None)
    packed = base64.b64encode(marshal.dumps((defaults or None, keywords or None, notes))).decode()
    return {"name": statement.name, "unit": statement.name + "#0", "values": packed}


def unpack(entry):
    """Defaults, keyword defaults and annotations of a binding."""
    defaults, keywords, notes = marshal.loads(base64.b64decode(entry["values"]))
    return defaults, keywords, {name: getattr(builtins, kind) if kind else None for name, kind in notes.items()}


def _strings(value, found):
    if isinstance(value, str) and len(value) < 100:
        found.add(value)
    elif isinstance(value, (tuple, frozenset)):
        for one in value:
            _strings(one, found)


def _names(code):
    found = set(code.co_names)
    for const in code.co_consts:
        _strings(const, found)
    for child in nested(code):
        if not traps.is_unit(child):
            found |= _names(child)
    return found


@lru_cache(maxsize=512)
def _named(file, digest, cache):
    """{unit: names and strings in its code}; module code without the names its inert definitions bind."""
    source, module = version(file, digest, cache)
    out = {unit: _names(code) for unit, code in units_of(module).items()}
    tree = ast.parse(source)
    bound = {s.name for s in tree.body if inert(s)}
    used = set()
    for statement in tree.body:
        if inert(statement):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                used.add(node.id)
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.alias):
                used.update((node.name, node.asname))
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                used.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
    out[MODULE] = (out[MODULE] - bound) | (bound & used) | (used & LOOKS_AROUND)
    return out


def mentioned(names, files, cache):
    """{"units": [[file, unit], …]}: units that name one of `names`, or look around. `files`: [[file, hash], …]"""
    wanted = set(names) | LOOKS_AROUND
    units = []
    for file, digest in files:
        for unit, found in _named(file, digest, cache).items():
            if found & wanted:
                units.append([file, unit])
    return {"units": units}
