"""What a trap calls: the first and second activation of units, moments for checkpoints, and edited code at its first call."""
import builtins
import sys

from . import traps
from .layout import enter, exchange, hide_module, write_code
from .state import S, clock
from .traps import FILE, HOOK, KIND, LANDING, MODULE, OFFSET, ONCE, ORIGINAL, STATEMENT, UNIT, line_at, trap_of

getframe = sys._getframe
# id of the old code of a running frame -> (new code, landing): switched when the frame reaches its next statement.
switches = {}


def thaw(trap):
    """Called by the trailers of instrumented code; nothing it does may be seen by the caller."""
    from .fork import checkpoint

    S.busy += 1
    try:
        frame = getframe(1)
        code = frame.f_code
        kind, unit = trap[KIND], trap[UNIT]
        file = S.files.get(trap[FILE])
        switch = switches.get(id(code))
        if switch is not None:
            _switch(frame, code, switch)
            return
        if S.inert or file is None:
            _restore(code, trap)
            return
        if kind == STATEMENT:
            if clock() >= S.due:
                checkpoint(trap[FILE], unit, line_at(code, trap[OFFSET]), trap)
            # In a restored process another code may stand under the frame by now.
            if frame.f_code is code:
                _restore(code, trap)
            return
        seen = file.seen.get(unit)
        if seen is None:
            if clock() >= S.due:
                checkpoint(trap[FILE], unit, code.co_firstlineno, trap)
                file = S.files[trap[FILE]]
            if id(code) in S.edited:
                code = S.edited[id(code)]
                trap = trap_of(code)
                enter(frame, code, trap[LANDING])
                file.seen.pop(unit, None)
            file.seen[unit] = 1
            S.event("exec", trap[FILE], unit)
            if trap[KIND] == ONCE:
                _restore(code, trap)
                if unit != MODULE:
                    file.seen[unit] = 2
                    S.event("again", trap[FILE], unit)
            return
        if id(code) in S.edited:
            # Another function object over code that was edited before any of its calls.
            code = S.edited[id(code)]
            trap = trap_of(code)
            enter(frame, code, trap[LANDING])
        if seen == 1:
            file.seen[unit] = 2
            S.event("again", trap[FILE], unit)
        _restore(code, trap)
    finally:
        S.busy -= 1


def _switch(frame, code, switch):
    del switches[id(code)]
    new, landing = switch
    exchange(frame, new, landing - 2)


def _restore(code, trap):
    """Write the original instructions back. In code that is warm already they come back in their adaptive form."""
    write_code(code, trap[OFFSET], adaptive(code, trap[ORIGINAL]))


def adaptive(code, original):
    if not traps.is_warm(code):
        return original
    out = bytearray(original)
    i = 0
    while i < len(out):
        out[i] = traps.ADAPTIVE.get(out[i], out[i])
        i += 2 + 2 * traps.CACHES[original[i]]
    return bytes(out)


def disarm_all():
    """A tracer is there: take every trap out, and make no checkpoint any more."""
    S.busy += 1
    try:
        for file in S.files.values():
            for tree in file.trees:
                for code in traps.units_of(tree).values():
                    for const in code.co_consts:
                        if type(const) is tuple and len(const) == 8 and const[0] == traps.MARK and id(code) not in S.edited:
                            _restore(code, const)
    finally:
        S.busy -= 1


def install():
    setattr(builtins, HOOK, thaw)


hide_module(globals())
