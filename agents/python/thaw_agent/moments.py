"""When a checkpoint is due: after the gap, and after so many times what one costs.

It costs the pause, and afterwards a copy of every page that the program writes to for the first time. The kernel counts
those among the minor faults, and one of them takes from half a microsecond to four, depending on the machine.
"""
from . import proc
from .layout import hide_module
from .state import S, clock

PAGE, PAGES = 4096, 16
MOST_WAITS = 10
# Written to after each clone, to see what a copy of a page takes.
_sample = bytearray((PAGES + 1) * PAGE)


class Moments:
    def __init__(self):
        # Seconds: when the last checkpoint was taken, how long after it none is wanted, its pause, a copy of one page.
        self.last = self.gap = self.page = 0.0
        self.pause = 0.002
        # How many gaps to wait after a refusal: what is in the way mostly stays there.
        self.waits = 1
        # When the last checkpoint was taken: minor faults so far, and pages that can be copied.
        self.faults = self.resident = 0

    def begin(self, now, gap):
        """A process goes on from a checkpoint, or from its start."""
        self._taken(now, gap)
        S.due = now + max(gap, S.config["factor"] * self.pause) if S.work else now + gap

    def sample(self):
        """Prerequisite: the process has just been cloned."""
        begun = clock()
        for i in range(0, PAGES * PAGE, PAGE):
            _sample[i] = 1
        self.page = (clock() - begun) / PAGES

    def tried(self, begun, taken):
        """A checkpoint was taken in this process, or refused."""
        now = clock()
        self.pause = 0.5 * self.pause + 0.5 * (now - begun)
        self.waits = 1 if taken else min(2 * self.waits, MOST_WAITS)
        if taken:
            self._taken(now, S.config["min_gap"])
        S.due = now + max(self.waits * S.config["min_gap"], S.config["factor"] * self.pause)

    def due(self, now):
        """Whether what the last checkpoint has cost by now is little enough; else `S.due` is put off. Prerequisite: `S.due` has come."""
        copies = min(proc.faults() - self.faults, self.resident)
        S.due = self.last + max(self.gap, S.config["factor"] * (self.pause + copies * self.page) if copies > 0 and self.page else 0)
        return now >= S.due

    def _taken(self, now, gap):
        self.last, self.gap, self.faults, self.resident = now, gap, proc.faults(), proc.resident()


moments = Moments()
hide_module(globals())
