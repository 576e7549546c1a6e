"""Where CPython keeps things: offsets, and the few writes into live objects that everything else stands on.

Offsets are found or verified at start (`verify`); an interpreter that does not answer as expected is not supported,
and its programs run plainly. Structures: Include/internal/pycore_frame.h and Include/cpython/code.h.
"""
import ctypes
import sys
import types

from . import bytecode
from .bytecode import NOP, RESUME, VERSION, decode, jump_argument

CodeType, FunctionType = types.CodeType, types.FunctionType
ssize, cint = ctypes.c_ssize_t, ctypes.c_int

# _PyInterpreterFrame. F_ENTRY: the frame was pushed by C code (3.11). F_RETURN: code units to skip when a call returns; F_OWNER:
# who the frame belongs to, the evaluator's own at the bottom of each of its activations (both from 3.12 on). F_TOP: how many slots
# are in use, from 3.14 on where the first free one is.
if VERSION == (3, 11):
    F_FUNC, F_CODE, F_IP, F_TOP, F_ENTRY, F_LOCALS = 0, 32, 56, 64, 68, 72
elif VERSION < (3, 14):
    F_CODE, F_PREVIOUS, F_FUNC, F_IP, F_TOP, F_RETURN, F_OWNER, F_LOCALS = 0, 8, 16, 56, 64, 68, 70, 72
else:
    F_CODE, F_PREVIOUS, F_FUNC, F_IP, F_TOP, F_RETURN, F_OWNER, F_LOCALS = 0, 8, 16, 56, 64, 72, 74, 80
# From 3.14 on what a frame holds are addresses with a tag (pycore_stackref.h): of a borrowed reference, which nobody gives back;
# with both bits, a number. Nothing at all is a borrowed nothing.
BORROWED, NUMBER = (1, 3) if VERSION >= (3, 14) else (0, 0)
NOTHING = BORROWED
OWNED_BY_C = 3
# Until 3.12 the instruction pointer of a frame stands on the code unit executed last, from 3.13 on at the instruction that is
# being executed.
IP_BEHIND = 2 if VERSION < (3, 13) else 0
# PyFrameObject.f_frame
FRAME_OF = 24
# The end of PyCodeObject: int _co_firsttraceable, void *co_extra, then the bytecode itself.
FIRST_TRACEABLE = -16

api = ctypes.pythonapi
incref = api.Py_IncRef
decref = api.Py_DecRef
incref.argtypes = decref.argtypes = (ctypes.c_void_p,)
incref.restype = decref.restype = None
memmove = ctypes.memmove

# Room in a frame of instrumented code beyond what it needs, so that edited code with more locals fits under it.
SLACK = 48

# Objects that replaced others inside live structures, or were replaced: never freed, since frames may still point at them.
KEEP = []


def _offset_of_code():
    code = compile("a=1\nb=2", "p", "exec")
    return ctypes.string_at(id(code), sys.getsizeof(code)).index(code.co_code)


def _offset_of_firstline():
    code = compile("x=1", "p", "exec").replace(co_firstlineno=987654321)
    words = (cint * 60).from_address(id(code))
    return next(i * 4 for i in range(60) if words[i] == 987654321)


def _offset_of_stacksize():
    code = compile("x=1", "p", "exec").replace(co_stacksize=7654321)
    words = (cint * 60).from_address(id(code))
    return next(i * 4 for i in range(60) if words[i] == 7654321)


def _offset_of_pointer(attribute):
    code = compile("x=[1, 2, 3]", "p", "exec")
    words = (ssize * 30).from_address(id(code))
    return next(i * 8 for i in range(30) if words[i] == id(getattr(code, attribute)))


def _offset_of_framesize():
    """From 3.12 on the size of a frame stands in the code: variables, stack and the frame's own fields."""
    code = compile("x=1", "p", "exec").replace(co_stacksize=7654321)
    words = (cint * 60).from_address(id(code))
    return next(i * 4 for i in range(60) if words[i] == 7654321 + F_LOCALS // 8)


CODE = _offset_of_code()
FIRSTLINE = _offset_of_firstline()
STACKSIZE = _offset_of_stacksize()
FRAMESIZE = None if VERSION == (3, 11) else _offset_of_framesize()
LINETABLE, CONSTS = _offset_of_pointer("co_linetable"), _offset_of_pointer("co_consts")


# PyCodeObject from 3.12 on: co_linetable, co_weakreflist, co_executors, _co_cached, which begins with the bytecode.
KEPT = 24
# PyCodeObject of 3.11: refcount, type, size, consts, names, exception table, int co_flags, short co_warmup
WARMUP = 52


def is_warm(code):
    """Whether the interpreter has put adaptive instructions into the code (3.11: co_warmup has counted up to 0)."""
    return VERSION == (3, 11) and ctypes.c_short.from_address(id(code) + WARMUP).value == 0


def _count_call(code):
    """A call that did not come by the code's first instruction counts like others: from when on calls of C functions are made
    without entry in the limit of recursion depends on it (3.11)."""
    if VERSION == (3, 11):
        warmup = ctypes.c_short.from_address(id(code) + WARMUP)
        if warmup.value < -1:
            warmup.value += 1


def _take_count(old, new):
    """Code that goes on where other code was counts that one's calls and jumps back as its own (3.11)."""
    if VERSION == (3, 11):
        counted = ctypes.c_short.from_address(id(old) + WARMUP).value
        warmup = ctypes.c_short.from_address(id(new) + WARMUP)
        if warmup.value:
            warmup.value = max(warmup.value, counted or -1)


def at(address):
    """The object at an address, or that a frame's reference leads to."""
    return ctypes.cast(address & ~BORROWED, ctypes.py_object).value


def release(reference):
    """Give back what a frame held."""
    if not reference & BORROWED:
        decref(reference)


def owned(reference):
    """A reference of a frame that goes on holding when whom it was borrowed from lets go."""
    if reference == NOTHING or NUMBER and reference & NUMBER == NUMBER or not reference & BORROWED:
        return reference
    incref(reference & ~BORROWED)
    return reference & ~BORROWED


def top_of(raw):
    """How many slots of a frame are in use: variables, and what lies on its value stack."""
    if VERSION < (3, 14):
        return cint.from_address(raw + F_TOP).value
    return (ssize.from_address(raw + F_TOP).value - raw - F_LOCALS) // 8


def set_top(raw, count):
    if VERSION < (3, 14):
        cint.from_address(raw + F_TOP).value = count
    else:
        ssize.from_address(raw + F_TOP).value = raw + F_LOCALS + 8 * count


def hide(code):
    """Make frames of `code` invisible: CPython takes a frame that has not reached its first traceable instruction for one
    that is still being built, and leaves it out of tracebacks, f_back and sys._getframe."""
    cint.from_address(id(code) + CODE + FIRST_TRACEABLE).value = 1 << 28
    if VERSION >= (3, 12):
        # While anybody traces, RESUME prepares its code for that, again and again where nothing in it can be traced.
        for _, offset, _, op, _ in decode(code.co_code):
            if op == RESUME:
                write_code(code, offset, bytes((NOP, 0)))
    for const in code.co_consts:
        if type(const) is CodeType:
            hide(const)


def hidden(function):
    """Decorator: `hide` the code of a function."""
    hide(function.__code__)
    return function


def hide_module(namespace):
    """Hide every function defined in a module of the agent, methods included."""
    name = namespace["__name__"]
    for value in list(namespace.values()):
        if type(value) is FunctionType and value.__module__ == name:
            hide(value.__code__)
        elif type(value) is type and value.__module__ == name:
            for member in vars(value).values():
                member = getattr(member, "__func__", member)
                for function in (member, getattr(member, "fget", None), getattr(member, "fset", None)):
                    if type(function) is FunctionType:
                        hide(function.__code__)


def write_code(code, offset, data):
    """Overwrite bytecode of a live code object."""
    memmove(id(code) + CODE + offset, data, len(data))


def read_code(code, offset, length):
    """Bytecode as it stands in memory, specialised forms included."""
    return ctypes.string_at(id(code) + CODE + offset, length)


def slots_of(code):
    """Names of the fast slots of a frame, in order."""
    cells = [x for x in code.co_cellvars if x not in code.co_varnames]
    return list(code.co_varnames) + cells + list(code.co_freevars)


def room_of(code):
    """Size of the variable part of a frame, in words."""
    return len(slots_of(code)) + code.co_stacksize


def need_of(code):
    """Words that instrumented code really uses: its slack is for others."""
    return room_of(code) - SLACK + 4


def ensure_room(code, words):
    """Frames of `code` made from now on have at least this many words."""
    lack = words - room_of(code)
    if lack > 0:
        cint.from_address(id(code) + STACKSIZE).value += lack
        if FRAMESIZE is not None:
            cint.from_address(id(code) + FRAMESIZE).value += lack


def relocate(old, new):
    """Give a code object, running or not, the line and column positions of one with the same bytecode."""
    if old is new:
        return
    if old.co_firstlineno != new.co_firstlineno:
        cint.from_address(id(old) + FIRSTLINE).value = new.co_firstlineno
    if old.co_linetable != new.co_linetable:
        _set_pointer(id(old) + LINETABLE, old.co_linetable, new.co_linetable)


def rewrite(code, bytecode, consts):
    """Give a code object that does not run other constants, and other bytecode of the same length (from 3.13 on)."""
    # Asked for once, it is kept.
    before = code.co_code
    write_code(code, 0, bytecode)
    _set_pointer(_kept(code), before, bytecode)
    _set_pointer(id(code) + CONSTS, code.co_consts, consts)


def _kept(code):
    """Where the address of bytecode that was asked for stands (from 3.12 on)."""
    return ssize.from_address(id(code) + LINETABLE + KEPT).value


def _set_pointer(address, before, value):
    KEEP.append((before, value))
    incref(id(value))
    ssize.from_address(address).value = id(value)


def interpreter_frame(frame):
    return ssize.from_address(id(frame) + FRAME_OF).value


def called_inline(frame):
    """Whether a frame was pushed by the evaluator that runs its caller (no C code between them)."""
    raw = interpreter_frame(frame)
    if VERSION == (3, 11):
        return not ctypes.c_bool.from_address(raw + F_ENTRY).value
    previous = ssize.from_address(raw + F_PREVIOUS).value
    return previous != 0 and ctypes.c_ubyte.from_address(previous + F_OWNER).value < OWNED_BY_C


def function_of(frame):
    return at(ssize.from_address(interpreter_frame(frame) + F_FUNC).value)


def set_ip(frame, code, offset):
    """The next instruction of a frame will be the one at `offset` of `code`."""
    raw = interpreter_frame(frame)
    ssize.from_address(raw + F_IP).value = id(code) + CODE + offset - IP_BEHIND
    if VERSION != (3, 11):
        ctypes.c_ushort.from_address(raw + F_RETURN).value = 0


def _set_code(frame, new):
    raw = interpreter_frame(frame)
    old = frame.f_code
    function = at(ssize.from_address(raw + F_FUNC).value)
    KEEP.append(old)
    incref(id(new))
    held = ssize.from_address(raw + F_CODE)
    before, held.value = held.value, id(new)
    release(before)
    if type(function) is FunctionType and function.__code__ is old:
        function.__code__ = new


def enter(frame, new, offset):
    """Put `new` under a frame that is at its first instruction: arguments stay, everything else is as at a call.
    Both codes take the same parameters. Raises ValueError when the frame is too small."""
    old = frame.f_code
    raw = interpreter_frame(frame)
    before, after = slots_of(old), slots_of(new)
    if need_of(new) > room_of(old):
        raise ValueError("frame too small")
    function = at(ssize.from_address(raw + F_FUNC).value)
    count = new.co_argcount + new.co_kwonlyargcount + bool(new.co_flags & 4) + bool(new.co_flags & 8)
    slots = (ssize * max(len(before), len(after))).from_address(raw + F_LOCALS)
    values = []
    for i in range(count):
        value = at(slots[i])
        if before[i] in old.co_cellvars:
            value = value.cell_contents
        values.append(value)
    for i in range(len(before)):
        held, slots[i] = slots[i], NOTHING
        if held != NOTHING:
            release(held)
    for i, name in enumerate(after):
        if i < count:
            value = values[i]
        elif name in new.co_freevars:
            value = function.__closure__[new.co_freevars.index(name)]
        elif name not in new.co_cellvars:
            slots[i] = NOTHING
            continue
        if name in new.co_cellvars:
            value = types.CellType(value) if i < count else types.CellType()
        incref(id(value))
        slots[i] = id(value)
    _set_code(frame, new)
    set_top(raw, len(after))
    set_ip(frame, new, offset)
    _count_call(new)


def _content(cell):
    """What a cell holds, in its place: references of a frame."""
    if cell == NOTHING:
        return NOTHING
    try:
        content = at(cell).cell_contents
    except ValueError:
        release(cell)
        return NOTHING
    incref(id(content))
    release(cell)
    return id(content)


def proceed(frame, new, offset):
    """Put `new` under a frame that calls the agent: it goes on at `offset` when the call returns."""
    exchange(frame, new, offset)
    set_ip(frame, new, offset)


def exchange(frame, new, lasti):
    """Put `new` under a frame in the middle of a call: locals move by name, the value stack stays.
    `lasti`: where in the new code the same call stands, as f_lasti has it. Raises ValueError when the frame is too small."""
    old = frame.f_code
    _take_count(old, new)
    before_call = frame.f_lasti
    raw = interpreter_frame(frame)
    before, after = slots_of(old), slots_of(new)
    if need_of(new) > room_of(old):
        raise ValueError("frame too small")
    top = top_of(raw)
    size = max(len(before), len(after)) + max(0, top - len(before))
    slots = (ssize * size).from_address(raw + F_LOCALS)
    # What lies on the stack may be borrowed from a variable, which is not the same one any more.
    stack = [owned(value) for value in slots[len(before):top]]
    values = {name: slots[i] for i, name in enumerate(before)}
    for i in range(top):
        slots[i] = NOTHING
    for i, name in enumerate(after):
        value = values.pop(name, NOTHING)
        was, now = name in old.co_cellvars, name in new.co_cellvars
        if now and not was:
            cell = types.CellType() if value == NOTHING else types.CellType(at(value))
            incref(id(cell))
            if value != NOTHING:
                release(value)
            value = id(cell)
        elif was and not now:
            value = _content(value)
        slots[i] = value
    KEEP.append([at(v) for v in values.values() if v != NOTHING])
    for i, value in enumerate(stack):
        slots[len(after) + i] = value
    set_top(raw, len(after) + len(stack))
    _set_code(frame, new)
    ssize.from_address(raw + F_IP).value = id(new) + CODE + lasti
    if VERSION != (3, 11):
        # Where a generator ends, its loop or `yield from` goes on at the distance that the jump in its instruction has.
        was, now = (jump_argument(code.co_code, at - IP_BEHIND) for code, at in ((old, before_call), (new, lasti)))
        skip = ctypes.c_ushort.from_address(raw + F_RETURN)
        if was is not None and now is not None and skip.value:
            skip.value += now - was


hide_module(vars(bytecode))
hide_module(globals())


def verify():
    """Raises RuntimeError when this interpreter is not laid out as expected. Run once per interpreter, in a process of its own."""
    if sys.implementation.name != "cpython" or sys.maxsize != 2**63 - 1:
        raise RuntimeError("resuming needs 64-bit CPython")

    def outer():
        x = 1

        def inner(a):
            return x, a

        return inner

    for code, first in ((outer.__code__, 1), (outer().__code__, 1)):
        if cint.from_address(id(code) + CODE + FIRST_TRACEABLE).value != first:
            raise RuntimeError("code objects have another layout")

    def probe(a):
        frame = sys._getframe(0)
        raw = interpreter_frame(frame)
        here = ssize.from_address(raw + F_IP).value - id(frame.f_code) - CODE
        return (
            ssize.from_address(raw + F_CODE).value & ~BORROWED == id(probe.__code__)
            and function_of(frame) is probe
            and called_inline(frame)
            and 0 < here <= frame.f_lasti
            and ssize.from_address(raw + F_LOCALS).value & ~BORROWED == id(a)
        )

    def unused():
        pass

    asked = unused.__code__.co_code
    if VERSION >= (3, 13) and (not _kept(unused.__code__) or ssize.from_address(_kept(unused.__code__)).value != id(asked)):
        raise RuntimeError("code objects have another layout")
    if VERSION == (3, 11) and ctypes.c_short.from_address(id(unused.__code__) + WARMUP).value != -8:
        raise RuntimeError("code objects have another layout")
    if not probe(["here"]) or list(map(lambda f: called_inline(sys._getframe(0)), [1])) != [False]:
        raise RuntimeError("frames have another layout")
