"""Who names what: units whose code may notice that a definition came, went or changed, by naming it or by looking around."""
import ast
import re
import sys
from collections import Counter
from functools import lru_cache

from . import traps
from .compare import version
from .definitions import bindings, inert
from .traps import MODULE, nested, units_of

# Names that let code find out what a module holds, or change it, without naming it.
LOOKS_AROUND = {
    "globals", "vars", "dir", "locals", "__dict__", "exec", "eval", "getmembers", "getattr", "hasattr", "setattr", "delattr",
    "__setattr__", "__delattr__", "__getattribute__", "import_module", "__import__", "resolve_name", "attrgetter", "methodcaller", "*",
    "f_globals", "__globals__", "__builtins__", "modules", "getmodule", "runpy", "patch", "monkeypatch", "pickle", "shelve",
    "copyreg", "Protocol", "runtime_checkable", "__subclasshook__", "dictConfig", "fileConfig", "entry_points",
}
# The only ones that do so from within a text: any other is a word like others until code that looks around gets it.
LOOKS_AROUND_IN_TEXT = {"__dict__", "__globals__", "f_globals"}
# Through these a text that is no part of the program reaches into objects.
LOOKS_INTO = {"format", "format_map", "Template", "substitute", "safe_substitute", "vformat", "get_field"}
# Through these the order of a module's names shows, and names that come later stand last.
SHOWS_ORDER = {"globals", "vars", "locals", "__dict__", "f_globals", "__globals__"}
# Where none of these is named, docstrings are for people.
READS_DOCUMENTATION = {"__doc__", "getdoc", "cleandoc", "docopt", "doctest", "pydoc", "help", "getmembers", "getsource"}
# With a constant in second place they name what they reach.
ACCESS = {"getattr", "hasattr", "setattr", "delattr"}
# Without arguments, in a function, they tell of its own variables.
OF_FUNCTION = {"locals", "vars", "dir"}
# As attributes they are something else, where nobody has the module that holds the interpreter's own.
BUILTIN = {"globals", "vars", "dir", "locals", "exec", "eval"}
# Of the library's modules, those whose members look around.
REACHING = {"builtins", "sys", "importlib", "inspect", "operator", "gc", "pkgutil", "runpy", "pickle", "types"}
# In the place of names: more text than is worth looking through.
EVERYTHING = "\0"
TEXT_LIMIT = 1 << 16
WORD = re.compile(r"[^\W\d]\w*")


def mentioned(names, files, edited, deep, cache):
    """{"units": [[file, unit], …], "ordered"}: units that name one of `names`, or look around; and whether any code, run or
    not, may see in which order a module's names were bound. `files`, `edited`: [[file, hash], …] before and after the edit;
    `deep`: more than top-level functions changed."""
    wanted = {name.rpartition(".")[2] for name in names} | LOOKS_AROUND | {EVERYTHING} | (LOOKS_INTO if deep else set())
    every = [*files, *edited]
    documented = any(_reads_documentation(*one, cache) for one in every)
    units, ordered = [], False
    for place, (file, digest) in enumerate(every):
        for unit, found in _named(file, digest, cache, documented).items():
            ordered = ordered or bool(found & SHOWS_ORDER)
            if place < len(files) and found & wanted:
                units.append([file, unit])
    return {"units": units, "ordered": ordered}


@lru_cache(maxsize=512)
def _reads_documentation(file, digest, cache):
    for node in ast.walk(ast.parse(version(file, digest, cache)[0])):
        name = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "value", None)
        if isinstance(node, ast.alias):
            name = node.name
        if isinstance(name, str) and name in READS_DOCUMENTATION:
            return True
    return False


@lru_cache(maxsize=512)
def _named(file, digest, cache, documented):
    """{unit: names and words in its code}; module code without the names its inert definitions bind. `documented`: docstrings
    are texts like others."""
    source, module = version(file, digest, cache)
    tree = ast.parse(source)
    quiet = set() if documented else _docstrings(tree)
    scopes, library = _scopes(tree), _library_modules(tree)
    out = {}
    for unit, code in units_of(module).items():
        scope = scopes.get((code.co_name, code.co_firstlineno))
        out[unit] = _names(code, quiet)
        if scope is not None:
            out[unit] = (out[unit] - _harmless(scope, True, library)) | _reached(scope)
    bound, used = set(), set()
    for number, statement in enumerate(tree.body):
        if inert(statement, number == 0):
            bound.update(entry["name"] for entry in bindings(statement))
        else:
            _spoken(statement, used, quiet)
            if isinstance(statement, ast.ClassDef):
                bound.update(e["name"] for member in statement.body if inert(member) for e in bindings(member))
    harmless = _harmless(tree, False, library)
    used = (used - harmless) | _reached(tree)
    out[MODULE] = (out[MODULE] - bound - harmless) | (bound & used) | (used & (LOOKS_AROUND | LOOKS_INTO | {EVERYTHING}))
    return out


def _words(value, found):
    """All words in a constant that may be names: they stand in format strings, dotted paths and lists too."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        if len(value) >= TEXT_LIMIT:
            found.add(EVERYTHING)
            return
        words = set(WORD.findall(value))
        found |= words - LOOKS_AROUND - LOOKS_INTO | words & LOOKS_AROUND_IN_TEXT
    elif isinstance(value, (tuple, frozenset)):
        for one in value:
            _words(one, found)
    elif isinstance(value, slice):
        _words((value.start, value.stop, value.step), found)


def _docstrings(tree):
    """Texts that are docstrings and nothing else."""
    found, others = set(), set()
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node, False) is not None:
            found.add(node.body[0].value.value)
            own.add(node.body[0].value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in own:
            others.add(node.value)
    return found - others


def _names(code, quiet):
    """`quiet`: texts that nobody reads."""
    found = set(code.co_names)
    for const in code.co_consts:
        if not isinstance(const, str) or const not in quiet:
            _words(const, found)
    for child in nested(code):
        if not traps.is_unit(child):
            found |= _names(child, quiet)
    return found


def _spoken(node, used, quiet):
    """Names that running a statement may use; bodies of functions are units of their own."""
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load):
            used.add(node.id)
    elif isinstance(node, ast.Attribute):
        used.add(node.attr)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module.partition(".")[0] in sys.stdlib_module_names:
        # A star takes what the library has, not the program.
        used.update(name for a in node.names for name in (a.name, a.asname) if name != "*")
        return
    elif isinstance(node, ast.alias):
        used.update((node.name, node.asname))
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, str) or node.value not in quiet:
            _words(node.value, used)
    for child in _within(node):
        _spoken(child, used, quiet)


def _within(node):
    """What runs with a node: of a function, what its definition evaluates."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]
    return ast.iter_child_nodes(node)


def _scopes(tree):
    """{(name, first line): node} of functions; those that share both are left out."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            key = node.name, node.decorator_list[0].lineno if node.decorator_list else node.lineno
            found[key] = None if key in found else node
    return found


def _walk(scope):
    todo = list(scope.body)
    while todo:
        node = todo.pop()
        yield node
        todo += _within(node)


def _library_modules(tree):
    """Names by which a file knows modules of the standard library, and nothing else; without those that reach everywhere. None
    where it has the interpreter's own names at hand."""
    found, bound = set(), Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if node.id in ("builtins", "__builtins__"):
                return None
            if not isinstance(node.ctx, ast.Load):
                bound[node.id] += 1
        elif isinstance(node, ast.arg):
            bound[node.arg] += 1
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            bound[node.name] += 1
        elif isinstance(node, ast.MatchMapping):
            bound[node.rest] += 1
        elif isinstance(node, ast.alias):
            bound[(node.asname or node.name).partition(".")[0]] += 1
            if "builtins" in node.name:
                return None
        if isinstance(node, ast.Import):
            found.update(a.asname or a.name for a in node.names if a.name in sys.stdlib_module_names - REACHING)
    return {name for name in found if bound[name] == 1}


def _looks_at_library(call, library):
    """Whether what looks around here looks at a module of the standard library only."""
    return (
        isinstance(call.func, ast.Name) and call.func.id in ACCESS | {"dir", "vars"} and call.args
        and isinstance(call.args[0], ast.Name) and call.args[0].id in (library or ())
    )


def _names_what_it_reaches(call):
    return (
        isinstance(call.func, ast.Name) and call.func.id in ACCESS and len(call.args) >= 2
        and isinstance(call.args[1], ast.Constant) and not isinstance(call.args[0], ast.Starred)
    )


def _harmless(scope, function, library):
    """Names that look around elsewhere, and here in no place. `function`: the scope is one; `library`: see _library_modules."""
    loads, fine, attributes = Counter(), Counter(), set()
    # In the body of a class they tell of the class.
    function = function and not any(isinstance(node, ast.ClassDef) for node in _walk(scope))
    for node in _walk(scope):
        if isinstance(node, ast.Name):
            loads[node.id] += isinstance(node.ctx, ast.Load)
        elif isinstance(node, ast.Attribute):
            attributes.add(node.attr)
        elif isinstance(node, ast.Call):
            own = function and isinstance(node.func, ast.Name) and node.func.id in OF_FUNCTION and not node.args and not node.keywords
            if own or _names_what_it_reaches(node) or _looks_at_library(node, library):
                fine[node.func.id] += 1
    others = BUILTIN if library is not None else set()
    return {name for name in attributes & others | fine.keys() if fine[name] == loads[name]} - (attributes - others)


def _reached(scope):
    """Constants by which attributes are reached, where they look around themselves."""
    reached = (node.args[1].value for node in _walk(scope) if isinstance(node, ast.Call) and _names_what_it_reaches(node))
    return {name for name in reached if isinstance(name, str) and name in LOOKS_AROUND}
