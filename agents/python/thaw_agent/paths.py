"""Which paths matter to a run."""
import os
import posix
import sys

from .layout import hide_module
from .state import S

_library = os.path.dirname(os.__file__)
_stdlib = (_library + "/", os.path.realpath(_library) + "/")
_prefixes = tuple({p.rstrip("/") + "/" for p in (sys.prefix, sys.base_prefix, sys.exec_prefix) if p not in ("/", "/usr")})
_kinds = {}


def resolve(path):
    """An absolute path as text, or None for what is not a path (a descriptor, a pipe's name)."""
    if type(path) is not str:
        if isinstance(path, int):
            return None
        try:
            path = os.fsdecode(path)
        except TypeError:
            return None
    if "\0" in path:
        return None
    if path[:1] != "/":
        try:
            path = posix.getcwd() + "/" + path
        except OSError:
            return None
    elif "//" not in path and "/." not in path and path[-1:] != "/":
        return path
    return os.path.normpath(path)


def in_library(path):
    """Whether code of this file belongs to the interpreter."""
    return path.startswith(("<frozen", *_stdlib)) and "-packages/" not in path


def classify(path):
    """`project`, `temp`, `package` (installed), `outside`, or None where a path means nothing to a later run."""
    kind = _kinds.get(path, "")
    if kind == "":
        kind = _kinds[path] = _classify(path)
    return kind


def _classify(path):
    if path is None or path.startswith(("/proc/", "/sys/", "/dev/")) or path in ("/proc", "/sys", "/dev", "/"):
        return None
    for own in S.config["own"]:
        if path.startswith(own):
            return None
    if "/site-packages/" in path or "/dist-packages/" in path:
        return "package"
    if path.startswith(_stdlib):
        return None
    project = S.config["project"]
    if path == project or path.startswith(project + "/"):
        return "project"
    if path.startswith(S.config["temp"] + "/"):
        return "temp"
    if path.startswith(_prefixes) or path == S.config["temp"]:
        return None
    return "outside"


hide_module(globals())
