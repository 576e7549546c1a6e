"""First-execution traps: a function calls the agent when it runs for the first and the second time, and
costs nothing afterwards.

The one to three code units after RESUME become a jump to a trailer appended to the bytecode:

    LOAD_GLOBAL __thaw__ ; LOAD_CONST trap ; CALL 1 ; POP_TOP ; <the displaced instructions> ; JUMP_BACKWARD -> behind them

No offset of the original moves, so exception and line tables stay and only grow at the end. Because the trailer holds a
copy of what it displaced, the trap can stay armed until the second call; the hook then writes the original bytes back.
Where a copy would be wrong (a jump into the displaced bytes, a half-covered try block), or where a loop comes back to the
trap, it fires once only.
Module code gets one-shot traps before statements that may take long, as moments for checkpoints.
"""
from itertools import islice

from .bytecode import (
    CACHES, CALL_ONE, EXT, JUMP_BACKWARD, JUMPS, LOAD_CONST, LOAD_GLOBAL, POP, RESUME, VERSION, handler_entry, handlers, jump_back, jump_forward,
    jump_targets, jump_units, no_location, op, signed, varint,
)
from .layout import SLACK, CodeType, hide_module

HOOK = "__thaw__"
MARK = "\0thaw"

# A trap is a constant of the code: (MARK, file, unit, offset, original bytes, offset of the trailer's POP_TOP, kind, trailer start)
FILE, UNIT, OFFSET, ORIGINAL, LANDING, KIND, TRAILER = 1, 2, 3, 4, 5, 6, 7
TWICE, ONCE, STATEMENT, LINE, LINE_ONCE = 0, 1, 2, 3, 4
MODULE = "<module>"
ANNOTATE = "__annotate__"


def is_lazy(code):
    """Whether code computes annotations, a type alias, a bound or a default of a type parameter when somebody asks (from 3.14
    on). Libraries run it with other globals than its own, where a trap would not find the agent."""
    return (
        VERSION >= (3, 14) and code.co_posonlyargcount == code.co_argcount == 1
        and (code.co_varnames[0] == ".format" or code.co_name == ANNOTATE and code.co_varnames[0] == "format")
    )


def is_unit(code):
    """Function bodies are units of their own; lambdas, comprehensions, class bodies and what is computed lazily belong to what
    encloses them."""
    return code.co_flags & 2 and code.co_name[0] != "<" and not is_lazy(code)


def nested(code):
    return [const for const in code.co_consts if type(const) is CodeType]


def units_of(code):
    """All units of a module's code, in the order of the file: {name: code}. Equal names are numbered."""
    found, counts = {MODULE: code}, {}

    def walk(parent):
        for child in nested(parent):
            if is_unit(child):
                count = counts[child.co_qualname] = counts.get(child.co_qualname, -1) + 1
                found["%s#%d" % (child.co_qualname, count)] = child
            walk(child)

    walk(code)
    return found


def is_trap(const):
    """Whether a constant of instrumented code is a trap."""
    return type(const) is tuple and len(const) == 8 and const[0] is not None and const[0] == MARK


def trap_of(code):
    """The entry trap of instrumented code, or None."""
    for const in reversed(code.co_consts):
        if is_trap(const) and const[KIND] in (TWICE, ONCE):
            return const
    return None


def line_at(code, offset):
    """The line of the instruction at a byte offset."""
    for start, end, line in code.co_lines():
        if start <= offset < end and line is not None:
            return line
    return code.co_firstlineno


def with_landing(code, offset):
    """`code` with an addition that drops the value a hook left on the stack and goes on at `offset`: (code, where it begins)."""
    start = len(code.co_code)
    added = bytes((POP, 0))
    added += jump_back(start + 2, offset)
    grown = code.replace(co_code=code.co_code + added, co_linetable=code.co_linetable + no_location(len(added) // 2))
    return grown, start


class Body:
    """Bytecode, constants and tables of one code object while traps are added to it."""

    def __init__(self, code, file, consts):
        self.code, self.file, self.consts = code, file, consts
        self.bytes = bytearray(code.co_code)
        self.length = len(self.bytes)
        self.names = list(code.co_names)
        self.lines = code.co_linetable
        self.handlers = code.co_exceptiontable
        self.line = None
        self.targets = None
        if HOOK not in self.names:
            self.names.append(HOOK)
        self.load = op(LOAD_GLOBAL, self.names.index(HOOK) << 1 | 1) + bytes(2 * CACHES[LOAD_GLOBAL])

    def last_line(self):
        """The line the line table ends on: entries are relative to the one before."""
        if self.line is None:
            self.line = self.code.co_firstlineno
            for _, _, line in self.code.co_lines():
                if line is not None:
                    self.line = line
        return self.line

    def jumps_into(self, start, end):
        if self.targets is None:
            self.targets = jump_targets(bytes(self.bytes[: self.length]))
        return any(start < t < end for t in self.targets)

    def begins_with_loop(self, start):
        return JUMP_BACKWARD in self.bytes[: self.length : 2] and self.jumps_into(start - 1, start + 1)

    def region(self, start, units):
        """End of the whole instructions that cover `units` code units from `start`, and whether they may be copied."""
        i, plain, first = start, True, True
        while i < start + 2 * units:
            code = self.bytes[i]
            if code in JUMPS or code == EXT:
                plain = False
            i += 2 + 2 * CACHES[code]
        return i, plain

    def trap(self, unit, start, limit, kind):
        """Add a trap at byte `start`; at most `limit` is overwritten. Says whether there was room."""
        trailer = len(self.bytes)
        units = jump_units(start, trailer)
        if start + 2 * units > limit:
            return False
        if units > 1 and self.jumps_into(start, start + 2 * units):
            return False
        end, plain = self.region(start, units)
        covered = [h for h in handlers(self.code.co_exceptiontable) if h[0] * 2 < end and h[1] * 2 > start] if self.handlers else []
        if kind == TWICE and self.begins_with_loop(start):
            # From 3.14 on such a loop comes back to its first instruction: that is no second call.
            kind = ONCE
        if kind in (TWICE, LINE) and (not plain or end > self.length or len(covered) > 1 or covered and (covered[0][0] * 2 > start or covered[0][1] * 2 < end)):
            kind = ONCE if kind == TWICE else LINE_ONCE
        call = self.load + op(LOAD_CONST, len(self.consts)) + CALL_ONE
        landing = trailer + len(call)
        self.consts.append((MARK, self.file, unit, start, bytes(self.bytes[start : start + 2 * units]), landing, kind, trailer))
        body = call + bytes((POP, 0))
        # A signal's handler may run, and raise, inside the call: the program then stands at the instruction displaced.
        lines = self.positions(start // 2, 1, len(body) // 2)
        if kind in (TWICE, LINE):
            copy_at = (trailer + len(body)) // 2
            copied = (end - start) // 2
            if covered:
                _, _, target, rest = covered[0]
                self.handlers += handler_entry(copy_at, copied, target, rest)
            body += bytes(self.bytes[start:end])
            lines += self.positions(start // 2, copied)
            target = end
        else:
            target = start
        back = jump_back(trailer + len(body), target)
        self.bytes[start : start + 2 * units] = jump_forward(start, trailer)
        self.bytes += body + back
        self.lines += lines + no_location(len(back) // 2)
        return True

    def positions(self, first, count, times=1):
        """Line table entries that repeat those of `count` code units from `first`, each `times` over."""
        out = b""
        for line, end_line, column, end_column in islice(self.code.co_positions(), first, first + count):
            if line is None:
                out += no_location(times)
                continue
            left = times
            while left:
                some = min(8, left)
                left -= some
                delta = line - self.last_line()
                self.line = line
                if column is None or end_column is None or end_line is None:
                    out += bytes((0x80 | 13 << 3 | some - 1,)) + signed(delta)
                else:
                    out += bytes((0x80 | 14 << 3 | some - 1,)) + signed(delta)
                    out += varint(end_line - line) + varint(column + 1) + varint(end_column + 1)
        return out

    def finish(self):
        return self.code.replace(
            co_code=bytes(self.bytes),
            co_consts=tuple(self.consts),
            co_names=tuple(self.names),
            co_linetable=self.lines,
            co_exceptiontable=self.handlers,
            co_stacksize=self.code.co_stacksize + SLACK,
        )


def _entry(code):
    """Offset of the first instruction behind the function's prologue."""
    bytecode = code.co_code
    i = 0
    while bytecode[i] != RESUME:
        i += 2
    return i + 2


def line_starts(code):
    """[(offset, offset of the next line's start, line)] behind the prologue."""
    entries, current = [], None
    for begin, _, line in code.co_lines():
        if line != current and line is not None:
            entries.append((begin, line))
            current = line
    ends = [begin for begin, _ in entries[1:]] + [len(code.co_code)]
    first = _entry(code)
    return [(max(begin, first), end, line) for (begin, line), end in zip(entries, ends) if end > first]


def after_trap(body):
    """Where the bytes end that the entry's trap has taken."""
    last = body.consts[-1] if body.consts else None
    return last[OFFSET] + len(last[ORIGINAL]) if is_trap(last) else _entry(body.code)


def instrument(code, file, source=b"", stops={}):
    """The code of a module with traps in all its functions and before its heavy statements. `file`: what the events name;
    `stops`: {unit: lines} that get traps of their own."""
    counts = {}
    lines = set()
    if source:
        # Brings in `re`, and is only needed where code is compiled.
        from .statements import heavy_lines

        lines = set(heavy_lines(source))

    def guard(child):
        """A nested code object: a unit of its own, or part of its parent with units inside."""
        unit = None
        if is_unit(child):
            count = counts[child.co_qualname] = counts.get(child.co_qualname, -1) + 1
            unit = "%s#%d" % (child.co_qualname, count)
        consts = [guard(c) if type(c) is CodeType else c for c in child.co_consts]
        if unit is None:
            return child.replace(co_consts=tuple(consts)) if nested(child) else child
        body = Body(child, file, consts)
        body.trap(unit, _entry(child), body.length, TWICE)
        stop_at(body, unit)
        return body.finish()

    def stop_at(body, unit):
        """Traps before the lines of a unit at which the program may have to stop. The lines done."""
        wanted = stops.get(unit, ())
        taken = after_trap(body)
        for begin, limit, line in line_starts(body.code) if wanted else ():
            if line in wanted:
                body.trap(unit, max(begin, taken), limit, LINE)
        return wanted

    body = Body(code, file, [guard(c) if type(c) is CodeType else c for c in code.co_consts])
    body.trap(MODULE, _entry(code), body.length, ONCE)
    taken = after_trap(body)
    lines -= set(stop_at(body, MODULE))
    for begin, limit, line in line_starts(code):
        if line in lines and begin >= taken:
            lines.discard(line)
            body.trap(MODULE, begin, limit, STATEMENT)
    return body.finish()


hide_module(globals())
