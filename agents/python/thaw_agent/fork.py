"""Checkpoints: a clone of the process parks, the original goes on; a parked process clones itself for every restore.

Clones are made with CLONE_PARENT: all become children of the host, so that the program never has a child it does not
know of, and without at-fork hooks: Python's would reseed `random`.
"""
import _signal
import _thread
import ctypes
import gc
import os
import posix
import sys

from . import (clocks, descriptors, diagnosis, identity, journal, memory, observe, patch, pools, proc, sandbox, stops,
               views)
from .environment import Environment
from .layout import called_inline, hide_module
from .moments import moments
from .state import S, clock
from .traps import FILE, KIND, MODULE, OFFSET, ONCE, TWICE, UNIT, trap_of

libc = ctypes.PyDLL(None, use_errno=True)
libc.pthread_self.restype = ctypes.c_void_p
libc.syscall.restype = ctypes.c_long
SYS_CLONE, SYS_GETTID, SYS_SET_ROBUST_LIST, SYS_GET_ROBUST_LIST = 56, 186, 273, 274
SIGCHLD = 17
CLONE_PARENT, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID = 0x8000, 0x01000000, 0x00200000


def _tid_address():
    """Where the C library keeps the thread's id: a raw clone must renew it as fork() does."""
    start = libc.pthread_self()
    tid = libc.syscall(SYS_GETTID)
    found = [start + i for i in range(0, 0x900, 4) if ctypes.c_int.from_address(start + i).value == tid]
    if len(found) != 1:
        raise RuntimeError("the thread's id is not where it is expected")
    return found[0]


def _robust_list():
    """Head and size of the list of locks that the kernel releases at the thread's end; a raw clone has none."""
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    libc.syscall(SYS_GET_ROBUST_LIST, ctypes.c_long(0), ctypes.byref(head), ctypes.byref(size))
    return head, size


_tid = _tid_address()
_robust = _robust_list()


def clone():
    """A copy of this process whose parent is this process's parent. 0 in the copy; raises OSError."""
    flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD
    pid = libc.syscall(SYS_CLONE, ctypes.c_long(flags), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(_tid), ctypes.c_long(0))
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    if pid == 0:
        libc.syscall(SYS_SET_ROBUST_LIST, *_robust)
    return pid


EVERY = _signal.valid_signals()


class Refused(Exception):
    """Why no checkpoint can be taken now. `sandbox`: in a sandbox, from outside, it might be."""

    def __init__(self, why, sandbox=False):
        Exception.__init__(self, why)
        self.sandbox = sandbox


def safe_to_clone():
    """What is open and mapped; native threads that may be stopped are. Raises Refused with the reason."""
    observe.look_for_children()
    if _thread._count():
        raise Refused("another thread is running", True)
    children = proc.children()
    if children:
        raise Refused("live child process %s" % children[0].decode(), True)
    if any(any(_signal.getitimer(which)) for which in (0, 1, 2)) or proc.timers():
        raise Refused("a timer signal is pending", True)
    if _signal.sigpending():
        raise Refused("a signal is pending")
    try:
        mapped = memory.mapped()
        files = descriptors.scan()
        # The one step that does something comes when nothing else is in the way.
        pools.stop(mapped)
        return files
    except pools.Running as running:
        raise Refused("native threads are running (%s)" % running, True) from None
    except (memory.Shared, descriptors.Unsafe) as unsafe:
        raise Refused(str(unsafe), unsafe.sandbox) from None


def _written():
    """Bytes this process has written to anything but the daemon; None where the kernel does not count."""
    try:
        for line in proc.read("/proc/self/io").split(b"\n"):
            if line.startswith(b"wchar:"):
                return int(line[6:]) - S.wire.sent
    except OSError:
        pass
    return None


def _report_refusal(why, asked=False, sandbox=False):
    """`asked`: somebody waits for the checkpoint. `sandbox`: in a sandbox there might be one."""
    if S.refusal != why or asked:
        S.refusal = why
        S.flush()
        S.wire.send({"t": "refused", "why": why, "asked": asked, "sandbox": sandbox})


def _caller():
    """The innermost frame of the program's; None where it has ended."""
    try:
        return sys._getframe(1)
    except ValueError:
        return None


def stack(skip_trap):
    """Project units on the stack, innermost first: where each is, and whether it is its first activation. `skip_trap`: the
    trap at which the innermost is; None where it is in the middle of a call."""
    out, inner, frame = [], None, _caller()
    while frame is not None:
        trap = trap_of(frame.f_code)
        if trap is not None:
            file = S.files.get(trap[FILE])
            seen = file.seen.get(trap[UNIT]) if file is not None else 2
            top = inner is None and skip_trap is not None
            entering = top and skip_trap[KIND] in (TWICE, ONCE)
            if not entering:
                at = skip_trap[OFFSET] + 1 if top else frame.f_lasti
                generator = frame.f_code.co_flags & 0x2A0
                # A signal's handler is called by the evaluator itself, which goes on with the old code afterwards.
                inline = called_inline(inner) if inner is not None else top
                out.append({"file": trap[FILE], "unit": trap[UNIT], "lasti": at, "single": seen == 1 and not generator, "inline": bool(inline)})
        inner = frame
        frame = frame.f_back
    return out


def checkpoint(file, unit, line, trap):
    """Take a checkpoint before the first use of a unit. Returns once in the running program and once in every restored one."""
    _attempt({"file": file, "unit": unit, "line": line}, trap, {})


def save(trap, line):
    """Take a checkpoint here, due or not, and go on."""
    _attempt({"file": trap[FILE], "unit": trap[UNIT], "line": line}, trap, {"hooked": False})


def stop(trap, line, hooked):
    """The program is to go no further. Returns in restored processes; and where no checkpoint is possible, which is reported."""
    stops.show_output()
    before = {"file": trap[FILE], "unit": trap[UNIT], "line": line}
    role = S.id
    if _attempt(before, trap, {"stop": True, "hooked": hooked}) and S.id == role:
        stops.end()


def checkpoint_here(name, answer, hooked):
    """Take a checkpoint in the middle of the program's work. `name`: what the program calls it; `answer`: the daemon asked;
    `hooked`: functions of the program's ran for it that a run from the start would not call."""
    frame = _caller()
    while frame is not None and trap_of(frame.f_code) is None:
        frame = frame.f_back
    if frame is None:
        before = {"file": "", "unit": MODULE, "line": 0}
    else:
        trap = trap_of(frame.f_code)
        before = {"file": trap[FILE], "unit": trap[UNIT], "line": frame.f_lineno or 0}
    _attempt(before, None, {"name": name, "asked": answer, "hooked": hooked})


def _attempt(before, trap, wanted):
    """Whether a checkpoint was taken; in a restored process, True."""
    if S.inert or S.opaque or S.ended or S.wire is None or S.wire.fd < 0:
        S.due = float("inf")
        if wanted and S.wire is not None:
            S.wire.send({"t": "refused", "why": "from here on nothing can be known of the program", "asked": True})
        return False
    taken = False
    begun = clock()
    if not wanted and (S.standing is not None or not moments.due(begun)):
        return False
    # A collection would run finalizers of the program's in the middle of the agent's work, a signal its handlers.
    collecting = gc.isenabled()
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, EVERY)
    try:
        if sandbox.inside():
            gc.disable()
            sandbox.take(before, trap, begun, wanted)
        else:
            files = safe_to_clone()
            gc.disable()
            _checkpoint(before, trap, begun, files, wanted)
        taken = True
        _report_refusal(None)
    except (Refused, OSError) as why:
        _report_refusal(str(why), bool(wanted), getattr(why, "sandbox", False))
    finally:
        if collecting:
            gc.enable()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    moments.tried(begun, taken)
    return taken


def _checkpoint(before, trap, begun, files, wanted):
    S.flush()
    S.number += 1
    name = "%s.%d" % (S.id, S.number)
    work = S.work + begun - S.since
    message = {
        "t": "checkpoint", "id": name, "seq": S.seq, "before": before, "stack": stack(trap), "work": work,
        **wanted,
    }
    # Nothing was printed since the daemon last knew how much: no need to wait until it has read it all.
    message["quiet"] = not wanted and S.alone and S.printed is not None and _written() == S.printed and descriptors.streams.get(_stdin()) not in ("stdin", "tty")
    files.keep_unlinked()
    identity.remember()
    started, stopped = clock(), clocks.now()
    pid = clone()
    if pid == 0:
        park("checkpoint", name, files, work, stopped)
        return
    files.forget_unlinked()
    message["pid"] = pid
    message["cost"] = clock() - started
    S.wire.send(message)
    moments.sample()
    # From here on every first change needs its content kept anew; what is open for writing changes unannounced.
    journal.since.clear()
    for path in files.written():
        journal.before_write(path, late=True)
    while not message["quiet"]:
        answer = S.wire.receive()
        if answer is None or answer.get("t") == "go":
            break
        S.told.append(answer)
    S.printed = _written()
    S.work, S.since = work, clock()


def _stdin():
    try:
        found = posix.fstat(0)
    except OSError:
        return None
    return found.st_dev, found.st_ino


PR_SET_PDEATHSIG, SIGKILL = 1, 9


def _die_with_host():
    """The host ends what it looks after; where it is killed itself, the kernel does."""
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def park(role, name, files, work, stopped=None):
    """This process is a checkpoint now. Returns in restored clones only."""
    try:
        S.pid = posix.getpid()
        posix.setpgid(0, 0)
        _die_with_host()
        S.connect(role, name)
        files.separate(False)
        files.detach_streams()
        S.work = work
    except BaseException:
        # A copy that cannot wait must not run on beside its original.
        posix._exit(125)
    while True:
        order = S.wire.receive()
        if order is None or order["t"] == "quit":
            posix._exit(0)
        if order["t"] != "restore":
            continue
        try:
            if stopped is not None:
                clocks.stopped(stopped)
            if restore(order, files):
                return
        except OSError as error:
            S.wire.send({"t": "failed", "why": str(error)})


def restore(order, files):
    """Clone this parked process; in the clone, put streams, environment and edited code in place. True in the clone."""
    edits, left = patch.fitting(order["files"])
    why = patch.impossible(edits) or _not_in_view(files, order.get("view"))
    if why is not None:
        S.wire.send({"t": "failed", "why": why})
        return False
    pid = clone()
    if pid:
        S.wire.send({"t": "restored", "pid": pid, "left": left})
        return False
    try:
        _become_branch(order, files)
        stops.set_all(order.get("stops") or ())
        diagnosis.begin(order.get("diagnose") or None)
        S.number_of_branch = order.get("number")
        S.resumed = S.number_of_branch is not None
        patch.apply(edits)
        if order.get("hold"):
            S.wire.receive()
    except BaseException as error:
        # Half a branch must not run.
        posix.write(2, ("thaw: the restored process could not go on: %r\n" % (error,)).encode("utf-8", "replace"))
        posix._exit(125)
    S.printed = _written()
    S.since = clock()
    # The first one sooner: it spares the interpreter's and the libraries' part of every later run.
    moments.begin(S.since, S.config["min_gap"] / 4 if S.work == 0 else S.config["min_gap"])
    return True


def _not_in_view(files, view):
    """Why this process cannot go on beside the others with files of its own, or None."""
    if view is None:
        return None
    for path in files.written():
        if path.startswith(view["project"] + "/"):
            return "%s is open for writing" % path
    return None


def _become_branch(order, files):
    S.pid = posix.getpid()
    if order.get("tty"):
        posix.setsid()
    else:
        posix.setpgid(0, 0)
    _die_with_host()
    S.connect("branch", order["branch"])
    S.number = 0
    identity.renew(S.program)
    S.program = S.pid
    files.separate(True)
    descriptors.attach_streams(files, order)
    files.watch()
    if order.get("view"):
        views.show(views.isolate(), order["view"])
        posix.chdir(posix.getcwd())
        # A new user namespace has taken away what ties this process to the host.
        _die_with_host()
    environment(order.get("env") or {})


def environment(wanted):
    """Bring variables that the program did not set itself to their present values; null unsets."""
    data = os.environ._data
    for name, value in wanted.items():
        key = os.fsencode(name)
        if value is None:
            Environment.outer.pop(key, None)
        else:
            Environment.outer[key] = os.fsencode(value)
        if key in Environment.own:
            continue
        if value is None:
            posix.unsetenv(key)
            dict.pop(data, key, None)
        else:
            posix.putenv(key, os.fsencode(value))
            dict.__setitem__(data, key, os.fsencode(value))


hide_module(globals())
