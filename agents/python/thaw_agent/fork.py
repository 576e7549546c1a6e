"""Checkpoints: a clone of the process parks, the original goes on; a parked process clones itself for every restore.

Clones are made with CLONE_PARENT: all become children of the host, so that the program never has a child it does not
know of, and without Python's at-fork hooks, which would reseed `random`. Where native threads with at-fork handlers of
their own (OpenBLAS) run, the C library's fork is used, followed by a second clone that hands the process to the host.
"""
import _signal
import ctypes
import gc
import os
import posix
import sys

from . import descriptors, journal, observe, patch, stops
from .environment import Environment
from .layout import called_inline, hide_module
from .state import S, clock
from .traps import FILE, KIND, MODULE, OFFSET, ONCE, TWICE, UNIT, trap_of

libc = ctypes.PyDLL(None, use_errno=True)
libc.pthread_self.restype = ctypes.c_void_p
libc.syscall.restype = ctypes.c_long
SYS_CLONE, SYS_GETTID = 56, 186
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


_tid = _tid_address()


def clone():
    """A copy of this process whose parent is this process's parent. 0 in the copy; raises OSError."""
    flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD
    pid = libc.syscall(SYS_CLONE, ctypes.c_long(flags), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(_tid), ctypes.c_long(0))
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return pid


def _tasks():
    return len(posix.listdir("/proc/self/task"))


def _clone_with_threads():
    """Through fork(), so that native libraries stop their threads; threads that stay are not safe to copy."""
    inner, outer = posix.pipe()
    first = libc.fork()
    if first == 0:
        pid = clone_below()
        if pid:
            posix.write(outer, b"%d" % pid)
            posix._exit(0)
        posix.close(inner)
        posix.close(outer)
        return 0
    posix.close(outer)
    answer = b""
    if first > 0:
        answer = posix.read(inner, 32)
        posix.waitpid(first, 0)
    posix.close(inner)
    if _tasks() > 1 and answer:
        posix.kill(int(answer), 9)
        raise Refused("native threads are running")
    if not answer:
        raise OSError(ctypes.get_errno(), "fork")
    return int(answer)


def clone_below():
    """A plain clone: a child of this process."""
    flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD
    return libc.syscall(SYS_CLONE, ctypes.c_long(flags), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(_tid), ctypes.c_long(0))


EVERY = _signal.valid_signals()


class Refused(Exception):
    """Why no checkpoint can be taken now."""


def _read_text(path):
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        out = b""
        while True:
            some = posix.read(fd, 1 << 18)
            if not some:
                return out
            out += some
    finally:
        posix.close(fd)


def safe_to_clone():
    """Raises Refused with the reason. Returns the open files, and whether native threads run."""
    threading = sys.modules.get("threading")
    if threading is not None and len(threading._active) > 1:
        raise Refused("another thread is running")
    tasks = _tasks()
    if tasks > 1 and "numpy" not in sys.modules:
        raise Refused("native threads are running")
    try:
        children = _read_text("/proc/self/task/%d/children" % posix.getpid()).split()
    except OSError:
        children = []
    if children:
        raise Refused("live child process %s" % children[0].decode())
    for line in _read_text("/proc/self/maps").splitlines():
        if line[line.find(b" ") + 4 : line.find(b" ") + 5] == b"s" and b"w" in line[line.find(b" ") + 1 : line.find(b" ") + 4]:
            raise Refused("shared writable memory is mapped (%s)" % (line.split(None, 5)[5:] or [b"anonymous"])[0].decode("utf-8", "replace"))
    if any(any(_signal.getitimer(which)) for which in (0, 1, 2)):
        raise Refused("a timer signal is pending")
    try:
        return descriptors.scan(observe.locked), tasks > 1
    except descriptors.Unsafe as unsafe:
        raise Refused(str(unsafe)) from None


def _written():
    """Bytes this process has written to anything but the daemon; None where the kernel does not count."""
    try:
        for line in _read_text("/proc/self/io").split(b"\n"):
            if line.startswith(b"wchar:"):
                return int(line[6:]) - S.wire.sent
    except OSError:
        pass
    return None


def _report_refusal(why, asked=False):
    """`asked`: somebody waits for the checkpoint."""
    if S.refusal != why or asked:
        S.refusal = why
        S.wire.send({"t": "refused", "why": why, "asked": asked})


def stack(skip_trap):
    """Project units on the stack, innermost first: where each is, and whether it is its first activation. `skip_trap`: the
    trap at which the innermost is; None where it is in the middle of a call."""
    out, inner, frame = [], None, sys._getframe(1)
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
    frame = sys._getframe(1)
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
    # A collection would run finalizers of the program's in the middle of the agent's work, a signal its handlers.
    collecting = gc.isenabled()
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, EVERY)
    try:
        files, threads = safe_to_clone()
        if collecting:
            gc.disable()
        _checkpoint(before, trap, begun, files, threads, wanted)
        taken = True
        _report_refusal(None)
    except (Refused, OSError) as why:
        _report_refusal(str(why), bool(wanted))
    finally:
        if collecting:
            gc.enable()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    now = clock()
    S.cost = 0.5 * S.cost + 0.5 * (now - begun)
    S.due = now + max(S.config["min_gap"], S.config["factor"] * S.cost)
    return taken


def _checkpoint(before, trap, begun, files, threads, wanted):
    S.flush()
    S.number += 1
    name = "%s.%d" % (S.id, S.number)
    work = S.work + begun - S.since
    message = {
        "t": "checkpoint", "id": name, "seq": S.seq, "before": before, "stack": stack(trap), "work": work,
        "stdin_unread": descriptors.unread(0), **wanted,
    }
    # Nothing was printed since the daemon last knew how much: no need to wait until it has read it all.
    message["quiet"] = not wanted and S.alone and S.printed is not None and _written() == S.printed and descriptors.streams.get(_stdin()) != "stdin"
    files.keep_unlinked()
    started = clock()
    pid = _clone_with_threads() if threads else clone()
    if pid == 0:
        park("checkpoint", name, files, work)
        return
    files.forget_unlinked()
    message["pid"] = pid
    message["cost"] = clock() - started
    S.wire.send(message)
    # From here on every first change needs its content kept anew; what is open for writing changes unannounced.
    journal.since.clear()
    for path in files.written():
        journal.before_write(path, late=True)
    while not message["quiet"]:
        answer = S.wire.receive()
        if answer is None or answer.get("t") == "go":
            break
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


def park(role, name, files, work):
    """This process is a checkpoint now. Returns in restored clones only."""
    S.pid = posix.getpid()
    posix.setpgid(0, 0)
    _die_with_host()
    S.connect(role, name)
    files.separate()
    files.detach_streams()
    S.work = work
    while True:
        order = S.wire.receive()
        if order is None or order["t"] == "quit":
            posix._exit(0)
        if order["t"] != "restore":
            continue
        try:
            if restore(order, files):
                return
        except OSError as error:
            S.wire.send({"t": "failed", "why": str(error)})


def restore(order, files):
    """Clone this parked process; in the clone, put streams, environment and edited code in place. True in the clone."""
    edits, left = patch.fitting(order["files"])
    why = patch.impossible(edits)
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
        S.number_of_branch = order.get("number")
        S.resumed = S.number_of_branch is not None
        patch.apply(edits)
    except BaseException as error:
        # Half a branch must not run.
        posix.write(2, ("thaw: the restored process could not go on: %r\n" % (error,)).encode("utf-8", "replace"))
        posix._exit(125)
    S.printed = _written()
    S.since = clock()
    # The first one sooner: it spares the interpreter's and the libraries' part of every later run.
    gap = S.config["min_gap"] / 4 if S.work == 0 else max(S.config["min_gap"], S.config["factor"] * S.cost)
    S.due = S.since + gap
    return True


def _become_branch(order, files):
    S.pid = posix.getpid()
    if order.get("tty"):
        posix.setsid()
    else:
        posix.setpgid(0, 0)
    _die_with_host()
    S.connect("branch", order["branch"])
    S.number = 0
    files.separate()
    descriptors.attach_streams(files, order)
    _environment(order.get("env") or {})
    threading = sys.modules.get("threading")
    if threading is not None:
        threading.main_thread()._set_native_id()


def _environment(wanted):
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
