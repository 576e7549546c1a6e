"""Binding names in a running program's modules, as the edited statements would have. `definitions` says which."""
import binascii
import builtins
import marshal
import os
import posix
import sys

from .layout import FunctionType, hide_module


def bind(module, entry, units):
    """Bind one name in a module, or in the class `owner` of it. `units`: the edited file's code by unit."""
    names = vars(module)
    owner = entry.get("owner")
    if entry["kind"] == "import":
        name, member = entry["values"]
        found = __import__(name, names, names, [member] if member else [])
        names[entry["name"]] = found if member is None else getattr(found, member)
        return
    value = marshal.loads(binascii.a2b_base64(entry["values"]))
    if entry["kind"] == "constant":
        place(names, owner, entry["name"], value)
        return
    defaults, keywords, notes = value
    function = FunctionType(units[entry["unit"]], names, entry["name"], defaults)
    function.__qualname__ = entry["unit"].rpartition("#")[0]
    function.__kwdefaults__ = keywords
    function.__annotations__ = {name: getattr(builtins, kind) if kind else None for name, kind in notes.items()}
    place(names, owner, entry["name"], function)


def place(names, owner, name, value):
    if owner is None:
        names[name] = value
    else:
        setattr(names[owner], name, value)


def unbind(module, name):
    owner, _, name = name.rpartition(".")
    if owner:
        delattr(vars(module)[owner], name)
    else:
        vars(module).pop(name, None)


def closed(module, entry, known):
    """Why a class cannot change its members unnoticed, or None. `known`: names of the project's modules."""
    owner = entry["owner"] if isinstance(entry, dict) else entry.rpartition(".")[0]
    if not owner:
        return None
    cls = vars(module).get(owner)
    if type(cls) is not type or cls.__module__ != module.__name__ or cls.__qualname__ != owner:
        return "%s is not a plain class" % owner
    for base in cls.__mro__[:-1]:
        if type(base) is not type or base.__module__ not in known or "__init_subclass__" in vars(base):
            return "%s has a base that may look at its members" % owner
    if "__slots__" in vars(cls):
        return "%s has slots" % owner
    if isinstance(entry, dict) and entry["name"] not in vars(cls) and hasattr(cls, entry["name"]):
        return "%s.%s would hide another" % (owner, entry["name"])
    return None


def shadowed(entry):
    """Whether an import would not find the standard library's module here."""
    if entry["kind"] != "import":
        return False
    top = entry["values"][0].partition(".")[0]
    if top in sys.modules or top in sys.builtin_module_names:
        return False
    library = os.path.dirname(os.__file__)
    for directory in sys.path:
        if directory == library:
            return False
        for name in (top, top + ".py"):
            try:
                posix.stat((directory or ".") + "/" + name)
                return True
            except OSError:
                pass
    return True


hide_module(globals())
