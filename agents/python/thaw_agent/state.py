"""What the agent of one process knows: who it is, what it has recorded, what its project modules are."""
import _signal
import _thread
import posix
import time

from .layout import hide_module
from .wire import Wire

clock = time.perf_counter
ident = _thread.get_ident
# The daemon's signal to a program: it wants a checkpoint, or to know where the program stands. Nothing else uses the last of
# the real-time signals by custom.
ASK = _signal.SIGRTMAX


class File:
    """A project module in this process: its code trees (an edit adds one), and which units have run."""

    __slots__ = ("path", "hash", "trees", "seen", "rewrite", "module")

    def __init__(self, path, digest, code, rewrite, module):
        self.path, self.hash, self.trees, self.rewrite, self.module = path, digest, [code], rewrite, module
        # unit -> 1 after the first activation, 2 after the second
        self.seen = {}


class State:
    def __init__(self):
        self.config = None
        self.wire = None
        self.base = None  # the version greeting of checkpoint 0
        self.id = "c0"
        self.role = "base"
        self.pid = 0
        # The process that last ran the program, as opposed to being parked.
        self.program = 0
        self.seq = 0
        self.pending = []
        # How deep each thread is in the agent's own work.
        self.working = {}
        # The thread for which all others wait before they enter the agent, and what they wait at.
        self.standing = None
        self.gate = _thread.allocate_lock()
        # No more checkpoints, no more traps: a forked child of the user's, or a tracer is there.
        self.inert = True
        self.opaque = False
        self.files = {}
        # id of a code object that was edited before its first call -> code to run instead
        self.edited = {}
        # (file, unit) -> stops that are still to be reached
        self.stops = {}
        # Set in a branch of `thaw resume`: which one it is, and that the program has not been told yet.
        self.number_of_branch = None
        self.resumed = False
        # What the daemon said while it was expected to say something else.
        self.told = []
        # The thread that was asked for something while it was in the agent, or None.
        self.asked_by = None
        # The daemon wants to know where the program stands when it fails.
        self.diagnose = None
        self.ended = False
        # The program may have seen what classes are told of their place.
        self.classes_seen = False
        # Checkpoints: when the next one may be due, and seconds of work before this process went on.
        self.due = 0.0
        self.since = 0.0
        self.work = 0.0
        self.refusal = None
        self.number = 0
        # Bytes written when the daemon last knew how much the program had printed.
        self.printed = None
        # No other process was ever given the streams.
        self.alone = True

    @property
    def busy(self):
        """Above 0 while this thread does the agent's own work, whose file accesses are nobody's inputs."""
        me = ident()
        if me in self.working:
            return self.working[me]
        self.wait(me)
        return 0

    @busy.setter
    def busy(self, depth):
        me = ident()
        if me not in self.working:
            self.wait(me)
        # Nothing that could give way to another thread lies between the end of the wait and this.
        if depth:
            self.working[me] = depth
        else:
            self.working.pop(me, None)
            if me == self.asked_by:
                self.ask_again()

    def ask_again(self):
        """The daemon's question, when the thread that it reached has left the agent."""
        self.asked_by = None
        posix.kill(posix.getpid(), ASK)

    def alone_again(self):
        """This process has no thread but the running one, which is not in the agent."""
        self.standing, self.gate = None, _thread.allocate_lock()
        self.working.clear()

    def wait(self, me):
        """Until no other thread stands in the way of those that enter the agent."""
        while self.standing is not None and self.standing != me:
            with self.gate:
                pass

    def event(self, *event):
        """Record an event; it counts from now on, and reaches the daemon with the next checkpoint."""
        self.wait(ident())
        self.seq += 1
        self.pending.append(event)
        if len(self.pending) >= 10000 or self.ended:
            self.flush()

    def flush(self):
        if self.pending:
            first = self.seq - len(self.pending) + 1
            batch = [(first + i, *event) for i, event in enumerate(self.pending)]
            self.pending = []
            self.wire.send({"t": "events", "list": batch})

    def connect(self, role, name):
        """A connection of this process's own. Without a daemon a program runs on, without checkpoints."""
        if self.wire is not None:
            self.wire.close()
        self.role, self.id = role, name
        self.wire = Wire(self.config["socket"])
        hello = {"t": "hello", "role": role, "pid": self.pid, "id": name}
        if role == "base":
            hello.update(self.base)
        self.wire.send(hello)

    def worked(self):
        """Seconds of the program's own work along the lineage, parked time left out."""
        return self.work + clock() - self.since


S = State()
hide_module(globals())
