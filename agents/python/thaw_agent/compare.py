"""What an edit changed, in units. Runs in the host, never in a user's program.

A unit's fingerprint is its bytecode, constants, names and variables without positions. A nested function counts in its
parent only by its header, because its body is a unit of its own. Both versions are compiled whole: code compiled in
pieces may differ although the source is equal.
"""
from functools import lru_cache

from . import classes, loader
from .bytecode import CONSTANTS, VERSION, decode
from .traps import CodeType, is_unit, nested, units_of


# CO_HAS_DOCSTRING
DOCUMENTED = 0x4000000


def check(file, cache):
    """Compile a file as it is now and keep what came out. Returns {"hash"}; raises SyntaxError, OSError, ValueError."""
    source = loader.read(file)
    digest = loader.digest_of(source)
    if loader.load(cache, file, digest) is None:
        loader.build(cache, file, source, digest)
    return {"hash": digest}


@lru_cache(maxsize=256)
def version(file, digest, cache):
    """Source and plain code of a version of a file that came by before."""
    source = loader.read(loader.source_path(cache, digest))
    return source, loader.compile_plain(file, source)


def constant(value):
    """A constant as text that tells 1 from 1.0 and -0.0 from 0.0."""
    if type(value) is CodeType:
        return header(value) if is_unit(value) else fingerprint(value)
    if type(value) is tuple:
        return ("tuple", tuple(constant(v) for v in value))
    if type(value) is frozenset:
        return ("frozenset", tuple(sorted(map(repr, map(constant, value)))))
    return (type(value).__name__, repr(value))


def header(code):
    """What the statement that defines a function knows of it."""
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    # Until 3.13 a function without one has no text in this place.
    documented = VERSION < (3, 14) or code.co_flags & DOCUMENTED
    doc = code.co_consts[0] if documented and code.co_consts and isinstance(code.co_consts[0], str) else None
    return (
        "unit", code.co_qualname, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_varnames[:count],
        code.co_flags, code.co_freevars, doc,
    )


def fingerprint(code):
    return (
        code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags, code.co_argcount,
        code.co_posonlyargcount, code.co_kwonlyargcount, code.co_exceptiontable, code.co_qualname,
        *(_class_body(code) if classes.is_class_body(code) else (code.co_code, tuple(constant(c) for c in code.co_consts))),
    )


def _class_body(code):
    """Instructions of a class body without what it is told of its place; the numbers of its constants change with that."""
    told = classes.told(code)
    for start, offset, _, op, arg in decode(code.co_code):
        if offset in told:
            # From 3.14 on a line's number decides how it is loaded.
            yield start, None
            continue
        yield start, op, constant(code.co_consts[arg]) if op in CONSTANTS else arg


def positions(code):
    return (code.co_firstlineno, code.co_linetable, tuple(positions(c) for c in nested(code) if not is_unit(c)))


@lru_cache(maxsize=256)
def _described(file, digest, cache):
    return {name: (fingerprint(code), positions(code), header(code), code.co_firstlineno) for name, code in units_of(version(file, digest, cache)[1]).items()}


@lru_cache(maxsize=256)
def _places(file, digest, cache):
    return classes.places(version(file, digest, cache)[1])


def diff(file, old, new, cache):
    """{"changed", "added", "removed", "moved", "shifted"} between two versions of a file; shifted: begins at another line."""
    before, after = _described(file, old, cache), _described(file, new, cache)
    both = [name for name in before if name in after]
    told = [] if _places(file, old, cache) == _places(file, new, cache) else [classes.CLASSES]
    return {
        "changed": [n for n in both if before[n][0] != after[n][0] or before[n][2] != after[n][2]],
        "moved": [n for n in both if before[n][1] != after[n][1]] + told,
        "shifted": [n for n in both if before[n][3] != after[n][3]],
        "added": [n for n in after if n not in before],
        "removed": [n for n in before if n not in after],
    }
