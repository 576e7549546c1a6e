"""Threads of native libraries around a clone, which copies only the thread that makes it.

A library is known to be safe when it stops its threads before every fork by itself and starts them again at their next use.
Clones run no at-fork handlers, so what those would do is done here; the threads of every other library are in the way.
"""
import ctypes
import posix
import time

from .layout import hide_module
from .proc import read

# What a library's at-fork handler calls, as its build exports it. OpenBLAS registers exactly this function.
STOPPERS = (("openblas", "blas_thread_shutdown_"),)
# Libraries that keep threads, for want of anything better to name: part of the file's name.
THREADED = ("libgomp", "libomp", "libiomp", "libmkl", "libtbb", "libarrow", "libtorch", "libtensorflow", "libgrpc", "libcuda", "libblis", "libduckdb", "libzmq")

_stoppers = {}


class Running(Exception):
    """Whose threads run."""


def tasks():
    return posix.listdir("/proc/self/task")


def _stopper(path):
    """The function that ends a library's threads, None where it has none."""
    if path not in _stoppers:
        _stoppers[path] = None
        name = path.rpartition("/")[2]
        for part, function in STOPPERS:
            if part in name:
                try:
                    library = ctypes.PyDLL(path, posix.RTLD_NOW | posix.RTLD_NOLOAD)
                    _stoppers[path] = getattr(library, function)
                except (OSError, AttributeError):
                    pass
    return _stoppers[path]


def stop(mapped):
    """End the threads that their libraries would end before a fork. Raises Running when others are left.

    `mapped`: paths of the mapped files."""
    alive = tasks()
    if len(alive) == 1:
        return
    if _strangers.keys().isdisjoint(alive):
        for path in mapped:
            function = _stopper(path)
            if function is not None:
                function()
        # A joined thread may stand in the list for another moment.
        for _ in range(20):
            alive = tasks()
            if len(alive) == 1:
                return
            sleep(0.0005)
        _strangers.clear()
        _strangers.update({task: None for task in alive if int(task) != posix.getpid()})
        owner = _owner(_strangers, mapped)
        _strangers.update({task: owner for task in _strangers})
    raise Running(next(_strangers[task] for task in alive if task in _strangers))


sleep = time.sleep
# Threads that did not go, and whose they are: while they live, nobody else's need be stopped in vain.
_strangers = {}


def _owner(strangers, mapped):
    """A name for the threads that are left, from the code their stacks lead to, or from what is loaded."""
    for task in sorted(strangers):
        found = _code_below(task)
        if found is not None:
            return found
    known = sorted({_short(path) for path in mapped if any(part in path.rpartition("/")[2] for part in THREADED)})
    if known:
        return " or ".join(known)
    try:
        return "a thread named %s" % read("/proc/self/task/%s/comm" % min(strangers)).decode("utf-8", "replace").strip()
    except OSError:
        return "a thread"


def _short(path):
    return path.rpartition("/")[2]


# Every thread's stack ends in these.
_PLUMBING = ("libc.so", "libc-", "libpthread", "ld-linux", "ld-musl", "libstdc++")


def _code_below(task):
    """The library nearest the start of a blocked thread's stack, or None."""
    try:
        words = read("/proc/self/task/%s/syscall" % task).split()
        if len(words) < 3:
            return None
        pointer = int(words[-2], 16)
        code, top = [], 0
        for line in read("/proc/self/maps").decode("utf-8", "surrogateescape").split("\n"):
            fields = line.split(None, 5)
            start, end = (int(text, 16) for text in fields[0].split("-")) if fields else (0, 0)
            if start <= pointer < end:
                top = end
            elif len(fields) == 6 and "x" in fields[1] and fields[5][:1] == "/":
                code.append((start, end, _short(fields[5])))
        # Thread and stack share a mapping; what a start routine left is well below its end.
        size = min(top - pointer, 1 << 18)
        if size <= 0:
            return None
        memory = posix.open("/proc/self/mem", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            stack = posix.pread(memory, size, pointer)
        finally:
            posix.close(memory)
    except (OSError, ValueError):
        return None
    found = None
    for at in range(0, len(stack) - 7, 8):
        word = int.from_bytes(stack[at : at + 8], "little")
        if word < 0x10000:
            continue
        for start, end, name in code:
            if start <= word < end:
                if not name.startswith(_PLUMBING) and "python" not in name:
                    found = name
                break
    return found


hide_module(globals())
