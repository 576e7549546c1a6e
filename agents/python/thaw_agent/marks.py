"""Checkpoints that somebody asked for: the program itself (the package `thaw`), or `thaw checkpoint` by a signal."""
import _signal
import posix
import sys

from . import diagnosis, fork
from .layout import hide_module
from .state import ASK, S, ident
from .traps import FILE, UNIT, trap_of

# Functions of the program's: run before a checkpoint that was asked for, and after a `thaw resume`.
before, after = [], []


def checkpoint(name):
    """Take one here. What makes it impossible is reported, and the program goes on."""
    _take(name, False)


def hot(function):
    """From here on edits of a function hold from where the program is, and do not reach back."""
    while not hasattr(function, "__code__"):
        inner = getattr(function, "__func__", None) or getattr(function, "__wrapped__", None)
        if inner is None:
            return
        function = inner
    trap = trap_of(function.__code__)
    if trap is not None and not S.inert:
        S.event("hot", trap[FILE], trap[UNIT])


def number():
    """Which of the branches that were resumed together this one is, from 1; None outside of `thaw resume`."""
    return S.number_of_branch


def asked(signum, frame):
    if S.inert or S.role != "branch":
        return
    if S.busy:
        # In the middle of the agent's own work: at its end. (Sent at once, the signal would be handled in here again.)
        S.asked_by = ident()
        return
    if S.told or S.wire.waiting():
        # It said what it wants with this signal.
        if not S.told:
            S.wire.receive()
        S.told.clear()
        S.busy += 1
        try:
            diagnosis.standing(frame)
        finally:
            S.busy -= 1
        return
    _take(None, True)


def freeze(error):
    """Leave a checkpoint with the frames of a failure as they stand, where that was wished for. Whoever resumes it is in pdb."""
    if S.diagnose != "freeze" or S.inert or isinstance(error, SystemExit):
        return
    mine = S.id
    S.busy += 1
    fork.checkpoint_here("failure", False, True)
    S.busy -= 1
    if S.id == mine:
        return
    # A copy for looking around: nothing that happens in it counts.
    S.inert, S.resumed = True, False
    import pdb

    pdb.post_mortem(error.__traceback__)
    sys.stdout.flush()
    posix._exit(0)


def stop(trap, line):
    """The program is to go no further than this trap."""
    run_all(before)
    fork.stop(trap, line, bool(before))


def _take(name, answer):
    if S.inert or S.role != "branch":
        return
    run_all(before)
    S.busy += 1
    try:
        # Where the program itself asks, a run from the start calls the functions too.
        fork.checkpoint_here(name, answer, answer and bool(before))
    finally:
        S.busy -= 1
    resumed()


def resumed():
    """In a branch of `thaw resume`, once: what the program wants done there."""
    if S.resumed:
        S.resumed = False
        run_all(after)


def run_all(functions):
    """Code of the program's, called as the program: what it does is recorded as at any other time."""
    busy, S.busy = S.busy, 0
    try:
        for function in list(functions):
            function()
    finally:
        S.busy = busy


def install():
    _signal.signal(ASK, asked)


hide_module(globals())
