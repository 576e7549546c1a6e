"""Every file that SQLite opens: databases that SQL attaches, copies it makes and journals are announced by no audit event."""
import ctypes
import os
import sys

from . import journal
from .layout import hide_module
from .paths import resolve
from .state import S

# struct sqlite3_vfs, which SQLite never changes: where the next one and the function that opens files stand.
NEXT, OPEN = 16, 40
READONLY, MAIN = 0x1, 0x100
Opener = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

# Called by SQLite from now on: they must never be freed.
_kept = []


def watch(opened):
    """Have `opened(path, write, database)` called before SQLite opens a file."""
    if _kept:
        return
    try:
        library = ctypes.PyDLL(getattr(sys.modules["_sqlite3"], "__file__", None))
        find = library.sqlite3_vfs_find
    except (OSError, AttributeError, KeyError):
        S.event("opaque", "the files of this build's SQLite cannot be watched")
        S.opaque = True
        return
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    vfs = find(None)
    while vfs:
        place = ctypes.c_void_p.from_address(vfs + OPEN)
        ours = Opener(_opener(Opener(place.value), opened))
        _kept.append(ours)
        place.value = ctypes.cast(ours, ctypes.c_void_p).value
        vfs = ctypes.c_void_p.from_address(vfs + NEXT).value


def _opener(original, opened):
    def xopen(vfs, name, file, flags, answer):
        if name and not S.busy and not S.inert:
            S.busy += 1
            try:
                opened(os.fsdecode(ctypes.string_at(name)), not flags & READONLY, bool(flags & MAIN))
            except Exception as error:
                S.event("opaque", "a file of SQLite's was not understood: %s" % error)
                S.opaque = True
            finally:
                S.busy -= 1
        return original(vfs, name, file, flags, answer)

    return xopen


def path_of(name):
    """The file that a name given to sqlite3.connect means, or None."""
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, (str, os.PathLike)) or name in ("", ":memory:"):
        return None
    name = os.fspath(name)
    if name.startswith("file:"):
        name = name[5:].split("?", 1)[0]
    return resolve(name)


hide_module(globals())
