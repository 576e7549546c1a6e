"""Memory maps across a clone: what is shared with files or other processes."""
from . import journal
from .layout import hide_module
from .proc import read

WRITABLE_AND_SHARED = ("w-s ", "wxs ")


class Shared(Exception):
    """What is mapped that a copy could not have for itself. `sandbox`: one from outside could."""

    def __init__(self, why, sandbox=False):
        Exception.__init__(self, why)
        self.sandbox = sandbox


def mapped():
    """Paths of mapped files, among what else the kernel calls maps. Raises Shared."""
    text = read("/proc/self/maps").decode("utf-8", "surrogateescape")
    # Hundreds of lines in programs with large libraries: nothing is taken apart that need not be.
    lines = text.split("\n")
    if any(mode in text for mode in WRITABLE_AND_SHARED):
        for line in lines:
            if line.partition(" ")[2][1:].startswith(WRITABLE_AND_SHARED):
                path = (line.split(None, 5)[5:] or ["anonymous"])[0]
                raise Shared("shared writable memory is mapped (%s)" % path, not _of_file(path))
    paths = {line[line.find("/") :] for line in lines if "/" in line}
    # Also a private map shows what its file becomes, and loses its own changes where the file is cut.
    for path in paths & journal.touched:
        raise Shared("a file that the program wrote is mapped (%s)" % path)
    return paths


def _of_file(path):
    return path.startswith("/") and not path.startswith(("/dev/", "/memfd:", "/SYSV"))


def refuse_unannounced():
    """What is mapped from files that would change without a word. Raises Shared."""
    for line in read("/proc/self/maps").decode("utf-8", "surrogateescape").split("\n"):
        path = line[line.find("/") :] if "/" in line else ""
        if path in journal.touched:
            raise Shared("a file that the program wrote is mapped (%s)" % path)
        shared = line.partition(" ")[2][1:].startswith(WRITABLE_AND_SHARED)
        if shared and _of_file(path):
            raise Shared("shared writable memory is mapped (%s)" % path)


hide_module(globals())
