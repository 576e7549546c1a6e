"""Libraries that look through the names of modules they are given: which they have looked at is recorded."""
import sys
from types import ModuleType

from .layout import hide, hide_module
from .state import S

# Of each module: classes, and their methods that look.
METHODS = {
    "unittest.loader": (("TestLoader", "loadTestsFromModule"), ("TestLoader", "loadTestsFromName")),
    "doctest": (("DocTestFinder", "find"),),
    "nose.loader": (("TestLoader", "loadTestsFromModule"), ("TestLoader", "loadTestsFromName")),
    "_pytest.python": (("PyCollector", "collect"),),
    "_pytest.fixtures": (("FixtureManager", "parsefactories"),),
    # The first is where older versions have it.
    "pluggy.manager": (("PluginManager", "register"),),
    "pluggy._manager": (("PluginManager", "register"),),
}
ANY = "*"
_seen = set()


def _look(path):
    if path not in _seen:
        _seen.add(path)
        S.event("look", path)


def _look_at(value):
    """What is handed to such a method: a module, the name of one or of something in it, a collector that holds one."""
    if isinstance(value, str):
        # Each part of a dotted name is asked for in what the parts before it name.
        parts = value.split(".")
        for i in range(len(parts)):
            _look_at(sys.modules.get(".".join(parts[: i + 1])))
        return
    module = value if isinstance(value, ModuleType) else getattr(value, "__dict__", {}).get("_obj")
    path = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    if path in S.files:
        _look(path)


def _wrap(cls, name):
    original = vars(cls)[name]

    def looks(self, *args, **kwargs):
        if not S.busy and not S.inert:
            S.busy += 1
            try:
                for value in (self, *args, *kwargs.values()):
                    _look_at(value)
            finally:
                S.busy -= 1
        return original(self, *args, **kwargs)

    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(looks, attribute, getattr(original, attribute))
    looks.__wrapped__ = original
    hide(looks.__code__)
    setattr(cls, name, looks)


def adapt(module):
    """Prerequisite: the module is one of METHODS, and has just been executed."""
    for cls, name in METHODS[module.__name__]:
        try:
            _wrap(getattr(module, cls), name)
        except (AttributeError, KeyError):
            _look(ANY)


hide_module(globals())
