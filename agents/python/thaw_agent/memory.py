"""Memory maps across a clone: what is shared with files or other processes, and which libraries are there."""
from . import journal
from .layout import hide_module
from .proc import read


class Shared(Exception):
    """What is mapped that a copy could not have for itself."""


def libraries():
    """Paths of the mapped files that hold code. Raises Shared."""
    code, data = set(), set()
    for line in read("/proc/self/maps").splitlines():
        fields = line.split(None, 5)
        mode = fields[1]
        if mode[3:] == b"s" and b"w" in mode:
            name = fields[5] if len(fields) == 6 else b"anonymous"
            raise Shared("shared writable memory is mapped (%s)" % name.decode("utf-8", "replace"))
        if len(fields) == 6 and fields[5][:1] == b"/":
            (code if b"x" in mode else data).add(fields[5])
    # Also a private map shows what its file becomes, and loses its own changes where the file is cut.
    for path in data - code:
        if path.decode("utf-8", "surrogateescape") in journal.touched:
            raise Shared("a file that the program wrote is mapped (%s)" % path.decode("utf-8", "replace"))
    return code


hide_module(globals())
