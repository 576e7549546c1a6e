"""Memory maps across a clone: what is shared with files or other processes."""
from . import journal
from .layout import hide_module
from .proc import read

WRITABLE_AND_SHARED = ("w-s ", "wxs ")


class Shared(Exception):
    """What is mapped that a copy could not have for itself."""


def mapped():
    """Paths of mapped files, among what else the kernel calls maps. Raises Shared."""
    text = read("/proc/self/maps").decode("utf-8", "surrogateescape")
    # Hundreds of lines in programs with large libraries: nothing is taken apart that need not be.
    lines = text.split("\n")
    if any(mode in text for mode in WRITABLE_AND_SHARED):
        for line in lines:
            if line.partition(" ")[2][1:].startswith(WRITABLE_AND_SHARED):
                raise Shared("shared writable memory is mapped (%s)" % (line.split(None, 5)[5:] or ["anonymous"])[0])
    paths = {line[line.find("/") :] for line in lines if "/" in line}
    # Also a private map shows what its file becomes, and loses its own changes where the file is cut.
    for path in paths & journal.touched:
        raise Shared("a file that the program wrote is mapped (%s)" % path)
    return paths


hide_module(globals())
