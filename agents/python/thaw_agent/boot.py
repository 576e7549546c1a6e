"""From the start of the user's interpreter to the first line of the user's program.

The interpreter runs STUB.pyc as its main script; the stub calls `main` here, which parks the process as checkpoint 0 and,
in each clone, runs what the user asked for in the same `__main__` and below no visible frame.
"""
import atexit
import ctypes
import os
import posix
import sys

import _frozen_importlib_external as external

from . import (BEFORE, binding, descriptors, diagnosis, fork, hook, loader, marks, observe, sandbox, searches, watch,
               wrappers)
from .bytecode import VERSION
from .layout import hide, hide_module
from .state import S
from .wire import decode

PRISTINE = ("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__annotations__", "__builtins__")


def _configure():
    text = os.environ._data.pop(b"THAW_AGENT")
    posix.unsetenv(b"THAW_AGENT")
    config = decode(os.fsdecode(text))
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # Places of thaw itself: never inputs.
    config["own"] = tuple(p.rstrip("/") + "/" for p in (here, config["cache"], config["store"], os.path.dirname(config["socket"])))
    config["project"] = config["project"].rstrip("/")
    config["temp"] = config["temp"].rstrip("/")
    S.config = config


def main(frame, directory):
    """Called by the stub, with its frame and its own directory, which the interpreter put on sys.path."""
    hide(frame.f_code)
    _configure()
    namespace = frame.f_globals
    for name in list(namespace):
        if name not in PRISTINE:
            del namespace[name]
    S.pid = posix.getpid()
    flags = sys.flags
    if not flags.safe_path and sys.path and os.path.abspath(sys.path[0]) == os.path.abspath(directory):
        del sys.path[0]
    sys.path_importer_cache.pop(directory, None)
    sys.orig_argv[:] = S.config["orig_argv"]
    atexit.register(_at_end)
    os.register_at_fork(after_in_child=_in_child)
    hook.install()
    marks.install()
    loader.install()
    observe.install()
    wrappers.install()
    watch.install()
    _equal_depth()
    S.base = {"version": list(sys.version_info[:3]), "start": searches.at_start(observe.signature)}
    S.busy = 0
    if sandbox.inside():
        sandbox.begin()
    else:
        fork.park("base", "c0", descriptors.standard(), 0.0)
    S.inert = False
    try:
        _run(namespace)
    except BaseException as error:
        diagnosis.failed(error)
        marks.freeze(error)
        raise


def _equal_depth():
    """The agent's frames at the bottom do not count against the recursion limit."""
    state = ctypes.pythonapi.PyThreadState_Get
    state.restype = ctypes.c_void_p
    words = (ctypes.c_int * 16).from_address(state())
    limit = sys.getrecursionlimit()
    # PyThreadState: recursion_remaining, then recursion_limit (py_… from 3.12 on; then, until 3.13, c_recursion_remaining: later
    # versions look how full the stack is).
    where = [i for i in range(1, 16) if words[i] == limit and 0 <= limit - words[i - 1] < 50]
    if len(where) == 1:
        # The stub, main, _run; until 3.11 also the call of exec where the program is not started by runpy.
        module = S.config["main"]["kind"] == "module"
        words[where[0] - 1] += 3 if VERSION >= (3, 12) or module else 4
        if (3, 12) <= VERSION < (3, 14) and not module:
            # That call, and two for the evaluator it starts.
            words[where[0] + 1] += 3


def _run(namespace):
    kind, name = S.config["main"]["kind"], S.config["main"]["name"]
    if kind == "module":
        _start_path(posix.getcwd())
        sys.argv[0] = "-m"
        import runpy

        runpy._run_module_as_main(name)
        return
    if kind == "command":
        _start_path("")
        sys.argv[0] = "-c"
        S.busy += 1
        try:
            code = compile(name, "<string>", "exec", dont_inherit=True)
            if VERSION >= (3, 13):
                # Tracebacks show its lines.
                import linecache

                linecache._register_code(code if VERSION >= (3, 14) else "<string>", name + "\n", "<string>")
        finally:
            S.busy -= 1
        exec(code, namespace)
        return
    path = name if name.startswith("/") else posix.getcwd() + "/" + name
    sys.argv[0] = name
    namespace.update(__file__=path, __cached__=None, __loader__=external.SourceFileLoader("__main__", path))
    S.busy += 1
    try:
        _start_path(os.path.dirname(os.path.realpath(path)))
        try:
            code = _main_code(path)
        except OSError as error:
            sys.stderr.write("%s: can't open file %r: [Errno %d] %s\n" % (S.config["orig_argv"][0], path, error.errno, error.strerror))
            sys.exit(2)
    finally:
        S.busy -= 1
    exec(code, namespace)


def _main_code(path):
    if loader.classify(path) == "project":
        return loader.project_code(path, "__main__")
    source = loader.read(path)
    S.event("read", path, observe.signature(path))
    return loader.compile_plain(path, source)


def _start_path(directory):
    if not sys.flags.safe_path:
        sys.path.insert(0, directory)
    # A cold run would look for what the agent has loaded already, and maybe find a module of the program's.
    for name in sorted(set(sys.modules) - BEFORE):
        if not name.startswith("thaw_agent"):
            observe.looked_for(name)
            if binding.covered(name.partition(".")[0], False):
                del sys.modules[name]


def _at_end():
    """Registered first, so it runs last."""
    if S.inert or S.role != "branch" or S.pid != posix.getpid():
        return
    S.busy += 1
    observe.look_for_children()
    S.flush()
    S.ended = True
    S.wire.send({"t": "end", "seq": S.seq, "work": S.worked()})
    S.busy -= 1


def _in_child():
    """A child of the user's own: it runs without us, and must not speak for its parent."""
    S.inert = True
    # Of the threads that were in the agent, or held the others back, none is here.
    S.alone_again()
    if S.wire is not None:
        S.wire.close()



hide_module(globals())
