"""What a trap calls: the first and second activation of units, moments for checkpoints, and edited code at its first call."""
import builtins
import gc
import sys

from . import marks, stops
from .arming import disarm, switches
from .classes import notice
from .fork import checkpoint, save
from .layout import called_inline, enter, hide_module, proceed
from .state import S, clock, ident
from .traps import FILE, HOOK, KIND, LANDING, LINE, LINE_ONCE, MODULE, OFFSET, ONCE, STATEMENT, UNIT, line_at, trap_of

getframe = sys._getframe


def thaw(trap):
    """Called by the trailers of instrumented code; nothing it does may be seen by the caller. Where another evaluator than the
    interpreter's own is in use, code cannot be exchanged: no checkpoint then."""
    # As `S.busy` does it, at a fraction of the cost.
    me, working = ident(), S.working
    depth = working.get(me, 0)
    if S.standing is not None and not depth:
        S.wait(me)
    working[me] = depth + 1
    try:
        frame = getframe(1)
        code = frame.f_code
        kind, unit = trap[KIND], trap[UNIT]
        file = S.files.get(trap[FILE])
        # Asking for an id is an audit event: only where there is something to find.
        if switches and id(code) in switches:
            new, landing = switches.pop(id(code))
            proceed(frame, new, landing)
            return
        if S.inert or file is None:
            if S.edited and id(code) in S.edited:
                # A child of the program's own goes on with its parent's code.
                code = S.edited[id(code)]
                trap = trap_of(code)
                enter(frame, code, trap[LANDING])
            disarm(code, trap)
            return
        stopped = stops.reached(code, trap) if S.stops else None
        if stopped:
            line = line_at(code, trap[OFFSET]) if kind in (LINE, LINE_ONCE) else code.co_firstlineno
            if stopped.save:
                save(trap, line)
            else:
                marks.stop(trap, line)
            file = S.files[trap[FILE]]
        if kind in (LINE, LINE_ONCE):
            if frame.f_code is code and (kind == LINE_ONCE or not stops.awaited(trap)):
                disarm(code, trap)
            return
        if kind == STATEMENT:
            if clock() >= S.due and called_inline(getframe(0)):
                checkpoint(trap[FILE], unit, line_at(code, trap[OFFSET]), trap)
            # In a restored process another code may stand under the frame by now.
            if frame.f_code is code:
                disarm(code, trap)
            return
        seen = file.seen.get(unit)
        if seen is None:
            if not stopped and clock() >= S.due and called_inline(getframe(0)):
                checkpoint(trap[FILE], unit, code.co_firstlineno, trap)
                file = S.files[trap[FILE]]
            if S.edited and id(code) in S.edited:
                code = S.edited[id(code)]
                trap = trap_of(code)
                enter(frame, code, trap[LANDING])
                file.seen.pop(unit, None)
            file.seen[unit] = 1
            S.event("exec", trap[FILE], unit)
            notice(code, frame)
            if trap[KIND] == ONCE:
                disarm(code, trap)
                if unit != MODULE:
                    file.seen[unit] = 2
                    S.event("again", trap[FILE], unit)
            return
        if S.edited and id(code) in S.edited:
            # Another function object over code that was edited before any of its calls.
            code = S.edited[id(code)]
            trap = trap_of(code)
            enter(frame, code, trap[LANDING])
        if seen == 1:
            file.seen[unit] = 2
            S.event("again", trap[FILE], unit)
        if trap[KIND] == ONCE or not (S.stops and stops.awaited(trap)):
            disarm(code, trap)
    finally:
        if depth:
            working[me] = depth
        else:
            working.pop(me, None)
            if me == S.asked_by:
                S.ask_again()
            if S.resumed:
                marks.resumed()


def install():
    # The package `thaw` finds what programs may ask for here.
    thaw.marks = marks
    setattr(builtins, HOOK, thaw)
    # The interpreter puts back what builtins held when it started before the last finalizers run.
    for found in gc.get_referrers(len):
        if type(found) is dict and found is not vars(builtins) and found.get("__name__") == "builtins":
            found[HOOK] = thaw


hide_module(globals())
