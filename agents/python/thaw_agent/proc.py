"""What the kernel tells of this process."""
import ctypes
import posix

from .layout import hide_module

RUSAGE_CHILDREN = -1
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


def timers():
    """Whether timers of timer_create() exist."""
    try:
        return bool(read("/proc/self/timers"))
    except OSError:
        return False


hide_module(globals())
