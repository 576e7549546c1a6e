"""Binding names in a running program's modules, as the edited statements would have. `definitions` says which."""
import binascii
import builtins
import marshal
import os
import posix
import sys
from types import BuiltinFunctionType

from .layout import FunctionType, hide_module
from .traps import FILE, MODULE, UNIT, is_lazy, nested, trap_of


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
    annotate = _annotate(units[entry["unit"]], units[MODULE]) if notes and owner is None else None
    if annotate is None:
        function.__annotations__ = {name: getattr(builtins, kind) if kind else None for name, kind in notes.items()}
    else:
        function.__annotate__ = FunctionType(annotate, names)
    place(names, owner, entry["name"], function)


def _annotate(code, module):
    """Code that computes the annotations of a module's function when somebody asks (from 3.14 on), or None. It is made just
    before the function."""
    before = None
    for made in nested(module):
        if made is code:
            return before if before is not None and is_lazy(before) and before.co_firstlineno == code.co_firstlineno else None
        before = made
    return None


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


def _holder(module, entry):
    return vars(module) if entry.get("owner") is None else vars(vars(module)[entry["owner"]])


def untouched(module, entry, file):
    """Whether a name is still bound to what the old version's statement bound it to. `file`: the module's path."""
    missing = object()
    now = _holder(module, entry).get(entry["name"], missing)
    if entry["kind"] == "import":
        name, member = entry["values"]
        found = sys.modules.get(name, missing)
        return now is (found if member is None else getattr(found, member, missing))
    value = marshal.loads(binascii.a2b_base64(entry["values"]))
    if entry["kind"] == "constant":
        return type(now) is type(value) and repr(now) == repr(value)
    if type(now) is not FunctionType:
        return False
    trap = trap_of(now.__code__)
    return trap is not None and (trap[FILE], trap[UNIT]) == (file, entry["unit"]) and repr((now.__defaults__, now.__kwdefaults__)) == repr(value[:2])


def original(entry):
    """Whether what an import takes from a module is surely the module's own, not something the program put there."""
    if entry["kind"] != "import" or entry["values"][1] is None:
        return True
    name, member = entry["values"]
    if name not in sys.modules:
        return True
    found = getattr(sys.modules[name], member, None)
    if type(found) not in (FunctionType, BuiltinFunctionType, type) or getattr(found, "__module__", None) not in (name, "_" + name):
        return False
    return type(found) is not FunctionType or trap_of(found.__code__) is None


def free(module, entry, edit, file):
    """Whether a name may be bound anew in a process that keeps its state: nobody but its own statement has bound it."""
    owner = entry.get("owner")
    if owner is not None and type(vars(module).get(owner)) is not type:
        return False
    was = [one for one in edit.get("was", ()) if (one.get("owner"), one["name"]) == (owner, entry["name"])]
    return untouched(module, was[0], file) if was else entry["name"] not in _holder(module, entry)


def refusal(module, edit, file, known):
    """Why names cannot come and go unnoticed in this process, or None."""
    had = {(entry.get("owner"), entry["name"]) for entry in edit.get("was", ())}
    for entry in edit.get("was", ()):
        why = closed(module, entry, known)
        if why is None and not untouched(module, entry, file):
            why = "%s is not what its statement had bound" % entry["name"]
        if why is not None:
            return why
    for entry in edit.get("bind", ()):
        why = closed(module, entry, known)
        if why is not None:
            return why
        if (entry.get("owner"), entry["name"]) not in had and entry["name"] in _holder(module, entry) and entry["name"] != "__doc__":
            return "%s is bound already" % entry["name"]
        if shadowed(entry) or not original(entry):
            return "%s is not the standard library's here" % entry["values"][0]
    return None


def closed(module, entry, known):
    """Why a class cannot change its members unnoticed, or None. `known`: names of the project's modules."""
    owner = entry.get("owner")
    if owner is None:
        return None
    cls = vars(module).get(owner)
    if type(cls) is not type or cls.__module__ != module.__name__ or cls.__qualname__ != owner:
        return "%s is not a plain class" % owner
    for base in cls.__mro__[:-1]:
        if type(base) is not type or base.__module__ not in known or "__init_subclass__" in vars(base):
            return "%s has a base that may look at its members" % owner
    if "__slots__" in vars(cls):
        return "%s has slots" % owner
    if entry["name"] not in vars(cls) and hasattr(cls, entry["name"]):
        return "%s.%s would hide another" % (owner, entry["name"])
    return None


def shadowed(entry):
    """Whether an import would not find the standard library's module here."""
    if entry["kind"] != "import":
        return False
    top = entry["values"][0].partition(".")[0]
    return top not in sys.modules and covered(top)


def covered(top, unknown=True):
    """Whether something stands before the standard library's module of this name. `unknown`: where the library is not found."""
    if top in sys.builtin_module_names:
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
    return unknown


hide_module(globals())
