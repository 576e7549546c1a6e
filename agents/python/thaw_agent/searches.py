"""Where modules are looked for outside of the project: what could be imported from there, and what the interpreter took from there
before the agent began."""
import os
import posix
import sys

from . import BEFORE, journal
from .layout import hide_module
from .paths import classify, resolve
from .state import S

SUFFIXES = (".py", ".pyc", ".so", ".pyd")
# Settings that `site` reads in them.
CUSTOM = ("sitecustomize", "usercustomize")

_entered = set()


def names_in(directory):
    """Names that an import could find in a directory, sorted; None where there is none."""
    names = set()
    try:
        with posix.scandir(directory) as entries:
            for entry in entries:
                name = entry.name.partition(".")[0]
                # Distributions' own directories have names that no module has.
                if name.isascii() and name.replace("_", "x").isalnum():
                    if entry.name.endswith(SUFFIXES) or name == entry.name and entry.is_dir():
                        names.add(name)
    except OSError:
        return None
    return sorted(names)


def _kind(directory):
    """That of what is in it: a directory of packages is not itself one of them."""
    return directory and classify(directory + "/_")


def _own(path):
    return path in journal.own or journal.below_own(path) or "/pytest-of-" in path


def enter(path, packages):
    """Modules are looked for along `path`: what could be found outside of the project is put on record.

    packages: whether places inside of installed packages count; who changes these changes files that were read.
    """
    for place in path or ():
        if place in _entered or not isinstance(place, str):
            continue
        directory = resolve(place or ".")
        _entered.update((place, directory))
        kind = _kind(directory)
        if kind in ("outside", "temp") and not _own(directory) or kind == "package" and packages:
            S.busy += 1
            try:
                S.event("names", directory, names_in(directory))
            finally:
                S.busy -= 1


def is_installed(directory):
    """Whether it is one into which packages are installed, and from which they are imported."""
    return directory in _entered and _kind(directory) == "package"


def site_directories():
    """Where `site` looks for *.pth: those that are there, and the user's, which may come."""
    site = sys.modules.get("site")
    user = [site.USER_SITE] if site is not None and site.ENABLE_USER_SITE and site.USER_SITE else []
    return sorted({path for path in (*sys.path, *user) if _kind(path) == "package"})


def settings_in(directory):
    """Names of the files that `site` would read there, sorted; None where there is no directory."""
    try:
        return sorted(name for name in posix.listdir(directory) if name.endswith(".pth") or name.startswith(CUSTOM))
    except OSError:
        return None


def at_start(signature):
    """What the interpreter had read when the agent began, with its signature: settings of `site`, and modules that they import.
    And the names of all such settings, by directory."""
    here = os.path.dirname(os.path.abspath(__file__)) + "/"
    settings = [[directory, settings_in(directory)] for directory in site_directories()]
    paths = {directory + "/" + name for directory, names in settings for name in names or () if name.endswith(".pth")}
    paths.update(prefix + "/pyvenv.cfg" for prefix in (os.path.dirname(sys.executable or ""), sys.prefix))
    for name in BEFORE:
        path = resolve(getattr(sys.modules.get(name), "__file__", None) or 0)
        if path is not None and not path.startswith(here) and classify(path) in ("package", "project", "outside", "temp"):
            paths.add(path)
    return {"files": [[path, signature(path)] for path in sorted(paths)], "settings": settings}


hide_module(globals())
