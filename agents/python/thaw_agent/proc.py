"""What the kernel tells of this process."""
import ctypes
import posix

from .layout import hide_module

RUSAGE_SELF, RUSAGE_CHILDREN = 0, -1
# Of struct rusage: ru_minflt.
MINOR_FAULTS = 64
_getrusage = ctypes.PyDLL(None).getrusage
_usage = ctypes.create_string_buffer(144)


def read(path):
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


def children():
    """Pids of the live children, and of those that ended and were not waited for."""
    try:
        return read("/proc/self/task/%d/children" % posix.getpid()).split()
    except OSError:
        return []


def reaped():
    """What the children that were waited for have used: changes with each of them."""
    _getrusage(RUSAGE_CHILDREN, _usage)
    return _usage.raw


def faults():
    """Pages that were given to this process without reading a file: new ones, and copies of shared ones."""
    _getrusage(RUSAGE_SELF, _usage)
    return int.from_bytes(_usage[MINOR_FAULTS : MINOR_FAULTS + 8], "little")


def resident():
    """Pages of this process that are in memory."""
    return int(read("/proc/self/statm").split()[1])


def timers():
    """Whether timers of timer_create() exist."""
    try:
        return bool(read("/proc/self/timers"))
    except OSError:
        return False


hide_module(globals())
