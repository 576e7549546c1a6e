"""Checkpoints of a program in a sandbox: the daemon copies all of it from outside, threads and children included, when the agent
asks. The thread that asks returns once in the running program and once in every restored one.

Other threads go on meanwhile with what they have begun. Before they enter the agent (for the first use of code or of an input, a
first write) they wait until the copy is made, and in a restored process until edited code is in place: so what was recorded is
what the copy holds.
"""
import posix
import stat
import sys
import time

from . import descriptors, diagnosis, fork, journal, memory, observe, patch, proc, stops
from .layout import hide_module
from .moments import moments
from .state import S, clock, ident
from .traps import FILE, UNIT, trap_of
from .wire import decode

# Where the daemon leaves word of what has become of the process: the copy is made, or it is the copy.
ORDER = "/run/.thaw-order"
PAUSE = 0.0005
# What a copy is taken to cost before the first one. Seconds.
COST = 0.05
# How often it is looked whether the other threads have left the agent.
LOOKS = 400

sleep = time.sleep
current_frames = sys._current_frames


def inside():
    return S.config.get("branch") is not None


def begin():
    """The program is about to start, as a branch."""
    S.program = S.pid
    S.connect("branch", S.config["branch"])
    # Each run has an interpreter of its own here, whose start is part of it.
    for path, signature in S.base["start"]["files"]:
        S.event("package", path, signature)
    for directory, _ in S.base["start"]["settings"]:
        S.event("list", directory, observe.names_digest(directory))
    stops.set_all(S.config.get("stops") or ())
    diagnosis.begin(S.config.get("diagnose"))
    moments.pause = COST
    S.since = clock()
    moments.begin(S.since, S.config["min_gap"])
    S.due = S.since + max(S.config["min_gap"], S.config["factor"] * COST)


def possible():
    """What the program holds that criu copies, but whose files could not be put back. Raises fork.Refused. Paths that are open
    for writing."""
    observe.look_for_children()
    written = []
    try:
        for text in posix.listdir("/proc/self/fd"):
            fd = int(text)
            try:
                found = posix.fstat(fd)
                path = posix.readlink("/proc/self/fd/%d" % fd)
                _, flags, told = descriptors.told(fd)
            except OSError:
                continue
            descriptors.refuse_unannounced(found, path, flags, told)
            if stat.S_ISREG(found.st_mode) and flags & 3 and found.st_nlink:
                written.append(path)
        memory.refuse_unannounced()
    except (memory.Shared, descriptors.Unsafe) as unsafe:
        raise fork.Refused(str(unsafe)) from None
    return written


def take(before, trap, begun, wanted):
    """Take a checkpoint of the whole tree. Raises fork.Refused."""
    written = possible()
    _stand()
    try:
        S.flush()
        S.number += 1
        work = S.work + begun - S.since
        message = {
            "t": "checkpoint", "id": "%s.%d" % (S.id, S.number), "pid": S.pid, "seq": S.seq, "before": before,
            "stack": fork.stack(trap) + _elsewhere(), "work": work, "cost": 0.0, "quiet": False, **wanted,
        }
        if not S.wire.send(message):
            raise fork.Refused("thaw is gone")
        diagnose = S.diagnose
        # The interpreter would write of a crash on what is no line of ours any more.
        diagnosis.begin(None)
        S.wire.close()
        order = _told()
        if order["t"] == "restore":
            _restored(order, work)
            return
        S.connect("branch", S.id)
        diagnosis.begin(diagnose)
        if order["t"] == "refused":
            raise fork.Refused(order["why"])
        S.work, S.since = work, clock()
        # From here on every first change needs its content kept anew; what is open for writing changes unannounced.
        journal.since.clear()
        for path in written:
            journal.before_write(path, late=True)
    finally:
        _release()


def _stand():
    """From now on no other thread enters the agent. Raises fork.Refused where one does not leave it."""
    me = ident()
    # Only those that have waited for an earlier checkpoint pass through it.
    S.gate.acquire()
    S.standing = me
    for _ in range(LOOKS):
        if all(one == me for one in list(S.working)):
            return
        sleep(PAUSE)
    _release()
    raise fork.Refused("another thread is using something for the first time")


def _release():
    S.standing = None
    S.gate.release()


def _elsewhere():
    """Project units on the stacks of the other threads: none of them can go on under edited code."""
    out, me = [], ident()
    for thread, frame in current_frames().items():
        while thread != me and frame is not None:
            trap = trap_of(frame.f_code)
            if trap is not None:
                out.append({"file": trap[FILE], "unit": trap[UNIT], "lasti": frame.f_lasti, "single": False, "inline": False})
            frame = frame.f_back
    return out


def _told():
    while True:
        try:
            text = proc.read(ORDER)
            posix.unlink(ORDER)
            return decode(text.decode())
        except FileNotFoundError:
            sleep(PAUSE)


def _restored(order, work):
    """This process is a copy, in a sandbox of its own: a branch under the daemon of now."""
    try:
        S.config["socket"] = order["socket"]
        S.config["own"] += (order["socket"].rpartition("/")[0] + "/",)
        S.connect("branch", order["branch"])
        edits, left = patch.fitting(order["files"])
        why = patch.impossible(edits)
        if why is not None:
            S.wire.send({"t": "failed", "why": why})
            S.wire.receive()
            posix._exit(125)
        S.number = 0
        S.number_of_branch = order["number"]
        S.resumed = S.number_of_branch is not None
        fork.environment(order["env"] or {})
        stops.set_all(order["stops"])
        diagnosis.begin(order["diagnose"])
        patch.apply(edits)
        S.wire.send({"t": "restored", "pid": S.pid, "left": left})
    except BaseException as error:
        # Half a branch must not run.
        posix.write(2, ("thaw: the restored process could not go on: %r\n" % (error,)).encode("utf-8", "replace"))
        posix._exit(125)
    S.work, S.since = work, clock()
    moments.begin(S.since, S.config["min_gap"])


hide_module(globals())
