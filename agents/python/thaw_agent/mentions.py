"""Who names what: units whose code may notice that a definition came, went or changed, by naming it or by looking around."""
import ast
import marshal
import re
import sys
from collections import Counter
from functools import lru_cache
from opcode import hasconst, hasname

from . import loader, remap, traps
from .bytecode import NAME_SHIFT
from .compare import version
from .definitions import bound_names, inert
from .traps import MODULE, nested, units_of
from .values import Names

# Names that let code find out what a module holds, or change it, without naming it.
LOOKS_AROUND = {
    "globals", "vars", "dir", "locals", "__dict__", "exec", "eval", "getmembers", "getattr", "hasattr", "setattr", "delattr",
    "__setattr__", "__delattr__", "__getattribute__", "import_module", "__import__", "resolve_name", "attrgetter", "methodcaller", "*",
    "f_globals", "__globals__", "__builtins__", "modules", "getmodule", "runpy", "patch", "monkeypatch", "pickle", "shelve",
    "copyreg", "__subclasses__", "Protocol", "runtime_checkable", "__subclasshook__", "dictConfig", "fileConfig", "entry_points",
}
# The only ones that do so from within a text: any other is a word like others until code that looks around gets it.
LOOKS_AROUND_IN_TEXT = {"__dict__", "__globals__", "f_globals"}
# Through these a text that is no part of the program reaches into objects.
LOOKS_INTO = {"format", "format_map", "Template", "substitute", "safe_substitute", "vformat", "get_field"}
# Through these the order of a module's names shows, and names that come later stand last.
SHOWS_ORDER = {"globals", "vars", "locals", "__dict__", "f_globals", "__globals__", "__subclasses__"}
# Where none of these is named, docstrings are for people.
READS_DOCUMENTATION = {"__doc__", "getdoc", "cleandoc", "docopt", "doctest", "pydoc", "help", "getmembers", "getsource"}
IN_SOURCE = re.compile("|".join(sorted(READS_DOCUMENTATION)).encode())
# With a constant in second place they name what they reach.
ACCESS = {"getattr", "hasattr", "setattr", "delattr"}
# Without arguments, in a function, they tell of its own variables.
OF_FUNCTION = {"locals", "vars", "dir"}
# As attributes they are something else, where nobody has the module that holds the interpreter's own.
BUILTIN = {"globals", "vars", "dir", "locals", "exec", "eval"}
# Of the library's modules, those whose members look around.
REACHING = {"builtins", "sys", "importlib", "inspect", "operator", "gc", "pkgutil", "runpy", "pickle", "types"}
# Raised when other things are found out.
KEPT = "2"
# In the place of names: more text than is worth looking through.
EVERYTHING = "\0"
TEXT_LIMIT = 1 << 16
WORD = re.compile(r"[^\W\d]\w*")


def mentioned(names, files, edited, deep, running, cache):
    """{"units": [[file, unit], …], "ordered"}: units that name one of `names`, or look around; and whether any code, run or
    not, may see in which order a module's names were bound. `files`, `edited`: [[file, hash], …] before and after the edit;
    `deep`: more than top-level functions changed; `running`: [[file, unit, lasti], …] of units whose only call so far stands
    there, and has executed nothing behind it."""
    wanted = {name.rpartition(".")[2] for name in names} | LOOKS_AROUND | {EVERYTHING} | (LOOKS_INTO if deep else set())
    every = [*files, *edited]
    documented = any(_reads_documentation(*one, cache) for one in every)
    stands = {(file, unit): lasti for file, unit, lasti in running}
    units, ordered = [], False
    for place, (file, digest) in enumerate(every):
        # Most files name nothing of it: only the others are worth a closer look.
        if _all_names(file, digest, cache).isdisjoint(wanted):
            continue
        for unit, found in _named(file, digest, cache, documented).items():
            ordered = ordered or bool(found & SHOWS_ORDER)
            if place < len(files) and found & wanted:
                lasti = stands.get((file, unit))
                if lasti is None or found & wanted & _executed(file, digest, unit, lasti, cache):
                    units.append([file, unit])
    return {"units": units, "ordered": ordered}


class Everything:
    """What may be any name."""

    def __rand__(self, names):
        return names


def _executed(file, digest, unit, lasti, cache):
    """Every name and word in what a unit has executed whose first call stands at `lasti`."""
    try:
        done = remap.executed(file, digest, unit, lasti, cache)
    except remap.Impossible:
        return Everything()
    code, found = done[0], set()
    for instruction in done[1]:
        if instruction.op in hasname:
            found.add(code.co_names[instruction.arg >> NAME_SHIFT.get(instruction.op, 0)])
        elif instruction.op in hasconst:
            const = code.co_consts[instruction.arg]
            if isinstance(const, traps.CodeType):
                found |= _names(const, ()) | LOOKS_AROUND | LOOKS_INTO
            else:
                _every_word(const, found)
    return found


def _every_word(value, found):
    """Like `_words`, with those that look around."""
    _words(value, found)
    if isinstance(value, (str, bytes)):
        found.update(WORD.findall(value if isinstance(value, str) else value.decode("latin-1")))
    elif isinstance(value, (tuple, frozenset)):
        for one in value:
            _every_word(one, found)


def _kept(make):
    """What is found out about a version of a source stays found out, also for later hosts."""

    @lru_cache(maxsize=4096)
    def found(file, digest, cache, *rest):
        name = "%s/mentions/%s-%s-%s" % (cache, digest, sys.implementation.cache_tag, "-".join([KEPT, make.__name__, *map(str, rest)]))
        try:
            return marshal.loads(loader.read(name))
        except (OSError, ValueError, EOFError, TypeError):
            value = make(file, digest, cache, *rest)
            loader._write(name, marshal.dumps(value))
            return value

    return found


@_kept
def _all_names(file, digest, cache):
    """Every name and word in the code of a file; `*` where all of another module's names are taken."""
    found = set()
    todo = [version(file, digest, cache)[1]]
    while todo:
        code = todo.pop()
        found |= _names(code, ())
        todo += nested(code)
        if any(isinstance(const, tuple) and "*" in const for const in code.co_consts):
            found.add("*")
    return found


@_kept
def _reads_documentation(file, digest, cache):
    source = version(file, digest, cache)[0]
    if IN_SOURCE.search(source if isinstance(source, bytes) else source.encode()) is None:
        return False
    for node in ast.walk(ast.parse(source)):
        name = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "value", None)
        if isinstance(node, ast.alias):
            name = node.name
        if isinstance(name, str) and name in READS_DOCUMENTATION:
            return True
    return False


@_kept
def _named(file, digest, cache, documented):
    """{unit: names and words in its code}; module code without the names its inert definitions bind. `documented`: docstrings
    are texts like others."""
    source, module = version(file, digest, cache)
    tree = ast.parse(source)
    survey = Survey(tree)
    quiet, library = set() if documented else survey.documentation, survey.library
    out = {}
    for unit, code in units_of(module).items():
        out[unit] = _names(code, quiet)
        scope = survey.scopes.get((code.co_name, code.co_firstlineno))
        if scope is not None and out[unit] & LOOKS_AROUND:
            out[unit] = (out[unit] - _harmless(scope, True, library)) | _reached(scope)
    bound, used, names = set(), set(), Names(tree)
    for number, statement in enumerate(tree.body):
        only_binds = inert(statement, number == 0, names)
        if only_binds:
            bound.update(bound_names(statement))
        # What must be there already for it counts.
        if not only_binds or not inert(statement, number == 0):
            _spoken(statement, used, quiet)
        if isinstance(statement, ast.ClassDef):
            bound.update(name for member in statement.body if inert(member) for name in bound_names(member))
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


def _walk(scope):
    todo = list(scope.body)
    while todo:
        node = todo.pop()
        yield node
        todo += _within(node)


class Survey:
    """What one walk over a file tells: functions by name and first line (None where two share both); texts that are docstrings
    and nothing else; names by which it knows modules of the standard library, those left out that reach everywhere (None where
    it has the interpreter's own names at hand)."""

    def __init__(self, tree):
        self.scopes, documentation, texts = {}, set(), Counter()
        modules, bound, at_hand = set(), Counter(), False
        for node in ast.walk(tree):
            kind = type(node)
            if kind is ast.Name:
                at_hand = at_hand or node.id in ("builtins", "__builtins__")
                if type(node.ctx) is not ast.Load:
                    bound[node.id] += 1
            elif kind is ast.Constant:
                if type(node.value) is str:
                    texts[node.value] += 1
            elif kind is ast.arg:
                bound[node.arg] += 1
            elif kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar):
                bound[node.name] += 1
            elif kind is ast.MatchMapping:
                bound[node.rest] += 1
            elif kind in (ast.Import, ast.ImportFrom):
                for one in node.names:
                    bound[(one.asname or one.name).partition(".")[0]] += 1
                    at_hand = at_hand or "builtins" in one.name
                    if kind is ast.Import and one.name in sys.stdlib_module_names - REACHING:
                        modules.add(one.asname or one.name)
            if kind in (ast.FunctionDef, ast.AsyncFunctionDef):
                key = node.name, node.decorator_list[0].lineno if node.decorator_list else node.lineno
                self.scopes[key] = None if key in self.scopes else node
            if kind in (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
                text = ast.get_docstring(node, False)
                if text is not None:
                    documentation.add(text)
                    texts[text] -= 1
        self.documentation = {text for text in documentation if texts[text] == 0}
        self.library = None if at_hand else {name for name in modules if bound[name] == 1}


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
    """Names that look around elsewhere, and here in no place. `function`: the scope is one; `library`: see Survey."""
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
