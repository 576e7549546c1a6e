"""What a program may tell thaw. Without thaw everything here does nothing.

    import thaw

    data = load()
    thaw.checkpoint("loaded")       # `thaw resume loaded` goes on from here

    @thaw.hot                       # an edit of this function keeps the state: the new code holds from then on
    def render(frame): ...

    thaw.after_restore(lambda: random.seed())   # fresh numbers in every branch of `thaw resume -n 8`

    remote = thaw.fn(score).to(thaw.Compute(inactivity_ttl="10m"))   # a function that is kept warm: docs/services.md
    remote(3, y=2)
"""
import builtins as _builtins
from os import environ as _environ

__all__ = [
    "checkpoint", "hot", "before_checkpoint", "after_restore", "branch",
    "request_id", "fn", "cls", "module", "Compute", "Service", "Client", "ThawError",
]
# What services need is loaded when it is asked for: programs that only set marks are not to pay for it.
_LATER = {
    "fn": "functions", "cls": "functions", "module": "functions", "Service": "functions",
    "Compute": "compute", "Client": "client", "ThawError": "client", "RemoteTraceback": "client",
}

# Named so for those who check types; `typing` itself is not loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .client import Client, RemoteTraceback, ThawError
    from .compute import Compute
    from .functions import Service, cls, fn, module


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError("module 'thaw' has no attribute %r" % name)
    import importlib

    value = globals()[name] = getattr(importlib.import_module("thaw." + _LATER[name]), name)
    return value


def _marks():
    """The agent's side, where the program runs under thaw."""
    return getattr(getattr(_builtins, "__thaw__", None), "marks", None)


def checkpoint(name=None):
    """Take a checkpoint here. `name`: what to call it; `thaw resume NAME` then goes on from the latest of that name.

    Where the program cannot be copied at this moment (threads, sockets, ...) it goes on without, and `thaw tree` says why.
    """
    marks = _marks()
    if marks is not None:
        marks.checkpoint(None if name is None else str(name))


def hot(function):
    """Mark a function whose edits keep the program's state: a resumed run goes on with the new code from where it is, and
    what the function has done stays as the old code did it. Returns the function itself."""
    marks = _marks()
    if marks is not None:
        marks.hot(function)
    return function


def before_checkpoint(function):
    """Have a function called, without arguments, before every checkpoint that is asked for (`checkpoint`, `--break`, `--every`,
    `thaw checkpoint`). Those that thaw takes by itself call nothing. Returns the function."""
    marks = _marks()
    if marks is not None:
        marks.before.append(function)
    return function


def after_restore(function):
    """Have a function called, without arguments, in every branch that `thaw resume` begins, and in every instance that comes from
    a snapshot, a pool or a fork. A run that `thaw run` resumes calls nothing: its result is that of a run from the start. In an
    instance the first call has to be made in the main thread, which is also where functions are called: before its next
    instruction, or when it comes out of what is not Python. Returns the function."""
    marks = _marks()
    if marks is not None:
        marks.after.append(function)
    elif "THAW_INSTANCE" in _environ:
        _in_instance(function)
    return function


_after = []


def _in_instance(function):
    """There is no agent: thaw sends a signal to processes that hold a file in memory of this name."""
    if not _after:
        import os
        import signal

        signal.signal(signal.SIGRTMAX, _restored)
        # Kept by children that are forked, which have the handler as well, and closed by a program that they become.
        os.memfd_create("thaw-after-restore")
    _after.append(function)


def _restored(signum, frame):
    for function in list(_after):
        function()


def request_id():
    """Id of the request (`X-Request-ID`) whose call of a service this is, also in coroutines and in threads to which the context was
    handed; None elsewhere."""
    import sys

    worker = sys.modules.get("thaw_agent.service_worker")
    call = None if worker is None else worker.running.get()
    return None if call is None else call.request


def branch():
    """Which of the branches of one `thaw resume -n N` this is, counted from 1; None in a run that nobody resumed so."""
    marks = _marks()
    return None if marks is None else marks.number()
