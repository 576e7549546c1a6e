"""Places where the program is to stop: before a function's Nth call, or before a line is reached for the Nth time."""
import posix
import sys

from .layout import hide_module
from .state import S
from .traps import FILE, KIND, LINE, LINE_ONCE, OFFSET, UNIT, line_at


class Stop:
    __slots__ = ("line", "left", "save")

    def __init__(self, line, left, save):
        # None: before the function's first instruction.
        self.line, self.left = line, left
        # Not to stop: a checkpoint, every time.
        self.save = save


def set_all(wanted):
    """Replace what was asked for before. `wanted`: [{file, unit, line, count, save}]."""
    S.stops = {}
    for one in wanted:
        S.stops.setdefault((one["file"], one["unit"]), []).append(Stop(one["line"], one["count"], one.get("save", False)))


def lines_of(file):
    """{unit: lines} at which code of a file needs traps of its own."""
    found = {}
    for (path, unit), stops in S.stops.items():
        lines = {stop.line for stop in stops if stop.line is not None}
        if path == file and lines:
            found[unit] = lines
    return found


def reached(code, trap):
    """The stop at which the program is with this trap, or None. Counts."""
    at_line = trap[KIND] in (LINE, LINE_ONCE)
    for stop in S.stops.get((trap[FILE], trap[UNIT]), ()):
        if (stop.line is not None) == at_line and (not at_line or stop.line == line_at(code, trap[OFFSET])) and stop.left > 0:
            stop.left -= 1
            if stop.left == 0:
                stop.left = stop.save
                return stop
    return None


def awaited(trap):
    """Whether a stop still counts the activations that this trap tells of."""
    at_line = trap[KIND] in (LINE, LINE_ONCE)
    return any(stop.left > 0 and (stop.line is not None) == at_line for stop in S.stops.get((trap[FILE], trap[UNIT]), ()))


def show_output():
    """Nothing stays in the buffers of a program that stands still: who stopped it wants to see how far it came."""
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def end():
    """The original of a program that has stopped: its parked copy is all that is left of it."""
    posix._exit(0)


hide_module(globals())
