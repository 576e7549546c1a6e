"""A function that stands at its breakpoint goes on under its edited code: a new activation of it begins behind the breakpoint, with
the variables of the old one, which then returns what that returns.

The old activation lies below a call of C, `breakpoint()`, whose value the next instruction drops: in this process, which is for the
one call alone, it returns it instead."""
import ast
import difflib
import opcode
import sys
import warnings

from .bytecode import handlers
from .layout import write_code
from .service_code import functions_of

# Generators, coroutines: who runs them holds on to the old frame.
SUSPENDED = 0x2A0


class Impossible(Exception):
    """Why the activation stays under the old code."""


class Entry:
    """Prerequisite: made before the new code is put in place."""

    def __init__(self, project, frame):
        self.project, self.frame, self.code = project, frame, frame.f_code
        self.path = self.code.co_filename
        unit = project.units.get(self.path)
        self.source = None if unit is None else unit.source
        self.function = next((one for one in functions_of(project, self.path) if one.__code__ is self.code), None)

    def go_on(self):
        """What `breakpoint()` is to return. Raises Impossible, and what the function raises."""
        new = None if self.function is None else self.function.__code__
        if new is None or new is self.code:
            # It was not edited, or not found where the edit was put in place.
            if self.source is not None and self.source != self.project.units[self.path].source and self._differs():
                raise Impossible("it could not be found among the functions of its module")
            return None
        if same(new, self.code):
            return None
        if self.code.co_flags & SUSPENDED or new.co_cellvars or self.code.co_cellvars:
            raise Impossible("generators, and variables that inner functions use, stay with the old code")
        self._check()
        line = self._line()
        if line is None:
            return None
        value = begin(self.function, dict(self.frame.f_locals), line)
        write_code(self.code, self._drop(), bytes([opcode.opmap["RETURN_VALUE"]]))
        return value

    def _check(self):
        at, other = self.frame.f_lasti // 2, self.frame.f_back
        self._drop()
        if any(start <= at < end for start, end, *_ in handlers(self.code.co_exceptiontable)):
            raise Impossible("its breakpoint stands in a try or with statement")
        while other is not None:
            if other.f_code is self.code:
                raise Impossible("it is called by itself")
            other = other.f_back

    def _drop(self):
        """Offset of the instruction that drops what `breakpoint()` returns."""
        at, plain = self.frame.f_lasti + 2, self.code.co_code
        while at < len(plain) and opcode.opname[plain[at]] == "CACHE":
            at += 2
        if at >= len(plain) or opcode.opname[plain[at]] != "POP_TOP":
            raise Impossible("its breakpoint() is part of an expression")
        return at

    def _differs(self):
        old, new = (definition(source, self.code.co_qualname) for source in (self.source, self.project.units[self.path].source))
        return old is None or new is None or ast.dump(old) != ast.dump(new)

    def _line(self):
        """Of the edited file, where it goes on; None: at the function's end."""
        name = self.code.co_qualname
        old = definition(self.source, name)
        new = definition(self.project.units[self.path].source, name)
        if old is None or new is None:
            raise Impossible("it is defined more than once, or gone")
        stood = next((one for one in statements(old) if one.lineno <= self.frame.f_lineno <= one.end_lineno and not inner(one)), None)
        if stood is None:
            raise Impossible("its breakpoint cannot be found")
        before, after = (breakpoints(one) for one in (old, new))
        if len(before) == len(after) and stood in before:
            twin = after[before.index(stood)]
            follower = twin.end_lineno + 1
        else:
            follower = moved(self.source, self.project.units[self.path].source, old, new, stood)
        rest = [one.lineno for one in statements(new) if one.lineno >= follower]
        return min(rest, default=None)


def same(a, b):
    plain = {"co_firstlineno": 0, "co_linetable": b""}
    return a.replace(**plain) == b.replace(**plain)


def definition(source, qualname):
    """Of a function or method, where there is one of that name."""
    body, found = ast.parse(source).body, None
    for name in qualname.split("."):
        named = [one for one in body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and one.name == name]
        if len(named) != 1:
            return None
        found, body = named[0], named[0].body
    return found


def statements(node):
    """Of a body, also those in other statements; not those of functions and classes in it."""
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.stmt):
            yield one
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
        if isinstance(one, (ast.stmt, ast.ExceptHandler)) or type(one).__name__ == "match_case":
            yield from statements(one)


def inner(node):
    return any(isinstance(one, ast.stmt) for one in ast.iter_child_nodes(node))


def breakpoints(node):
    return [one for one in statements(node) if isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) and ast.unparse(one.value.func) in ("breakpoint", "pdb.set_trace", "set_trace")]


def moved(old_source, new_source, old, new, stood):
    """Where what stands behind a statement of the old function is in the new one, by what the two have in common."""
    before, after = (
        source.decode("utf-8", "replace").split("\n")[one.lineno - 1 : one.end_lineno] for source, one in ((old_source, old), (new_source, new))
    )
    at = stood.end_lineno + 1 - old.lineno
    for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if a <= at < b or a == at:
            if tag != "equal" and a < stood.lineno - old.lineno:
                raise Impossible("the lines around its breakpoint were edited; keep the line of breakpoint()")
            return new.lineno + c + (at - a if tag == "equal" else 0)
    return new.end_lineno + 1


def begin(function, values, line):
    """Calls a function that begins at a line of it, with these variables."""
    code, told = function.__code__, []

    def trace(frame, event, arg):
        if frame.f_code is not code:
            return None
        if event != "line":
            return trace
        try:
            known = set(code.co_varnames)
            frame.f_locals.update({name: value for name, value in values.items() if name in known})
            frame.f_lineno = line
        except ValueError as why:
            told.append(str(why))
            raise
        finally:
            frame.f_trace = None
            sys.settrace(None)
        return None

    count, keywords = code.co_argcount, code.co_kwonlyargcount
    names = code.co_varnames
    args = [values.get(name) for name in names[:count]]
    named = {name: values.get(name) for name in names[count : count + keywords]}
    with warnings.catch_warnings():
        # Of variables that have no value yet.
        warnings.simplefilter("ignore", RuntimeWarning)
        sys.settrace(trace)
        try:
            return function(*args, **named)
        except ValueError as error:
            if told and str(error) == told[0]:
                raise Impossible("its breakpoint stands where code cannot be entered (%s)" % told[0]) from None
            raise
        finally:
            sys.settrace(None)
