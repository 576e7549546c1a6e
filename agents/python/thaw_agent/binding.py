"""Binding names in a running program's modules, as the edited statements would have. `definitions` says which."""
import binascii
import builtins
import marshal
import os
import posix
import sys
from types import BuiltinFunctionType

from .layout import FunctionType, hide_module
from .traps import FILE, MODULE, UNIT, is_lazy, is_unit, nested, trap_of


# A generator, a coroutine, both, or a plain function.
FLOW = 0x2A0


def bind(module, entry, units):
    """Bind one name in a module, or in the class `owner` of it. `units`: the edited file's code by unit."""
    names = vars(module)
    owner = entry.get("owner")
    if entry["kind"] != "function":
        place(names, owner, entry["name"], _made(entry, names, units))
        return
    defaults, keywords, notes = marshal.loads(binascii.a2b_base64(entry["values"]))
    code = units[entry["unit"]]
    function = FunctionType(code, names, entry["name"], defaults)
    bound = _holder(module, entry).get(entry["name"])
    same = type(bound) is FunctionType and bound.__code__.co_flags & FLOW == code.co_flags & FLOW
    if same and not bound.__closure__ and not code.co_freevars:
        # It was bound by its old version's statement, and has not run: whoever has got hold of it has the new one.
        bound.__code__, bound.__defaults__, bound.__doc__ = code, defaults, function.__doc__
        function = bound
    else:
        function.__qualname__ = entry["unit"].rpartition("#")[0]
        place(names, owner, entry["name"], function)
    function.__kwdefaults__ = keywords
    annotate = _annotate(code, units[MODULE]) if notes and owner is None else None
    if annotate is None:
        function.__annotations__ = {name: eval(text, names) for name, text in notes.items()}
    else:
        function.__annotate__ = FunctionType(annotate, names)


def _made(entry, names, units):
    """What the statement of an entry binds, functions left aside. `names`: those of its module."""
    kind = entry["kind"]
    if kind == "import":
        name, member = entry["values"]
        found = __import__(name, names, names, [member] if member else [])
        return found if member is None else getattr(found, member)
    if kind == "value":
        return eval(entry["values"], names)
    if kind == "class":
        return _class(entry, names, units[MODULE])
    return marshal.loads(binascii.a2b_base64(entry["values"]))


def _class(entry, names, module):
    """The class that a statement of edited module code makes."""
    name, made = entry["name"], entry["made"]
    body = [code for code in nested(module) if code.co_qualname == name and not is_unit(code)]
    if len(body) != 1 or body[0].co_freevars:
        raise TypeError("its body is not at hand")
    bases = [eval(text, names) for text in made["bases"]]
    keywords = {key: eval(text, names) for key, text in made["keywords"].items()}
    cls = builtins.__build_class__(FunctionType(body[0], names, name), name, *bases, **keywords)
    for text in reversed(made["decorators"]):
        cls = eval(text, names)(cls)
    return cls


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


def arrangement(names, edit):
    """The names of a module as they would stand if the edited version had bound them; None where that cannot be told.
    `names`: what it holds now. Names that the edit takes away are left out; those that it brings need not be there yet."""
    order, placed, gone = edit["order"], set(edit["placed"]), set(edit.get("unbind", ()))
    found = [name for name in names if name not in placed and name not in gone]
    settled = [name for name in order if name is not None and name not in placed and name in names]
    if settled != [name for name in found if name in set(settled)]:
        return None
    for i, name in enumerate(order):
        if name in placed:
            at = _place(found, order, i)
            if at is None:
                return None
            found.insert(at, name)
    return found


def _place(found, order, i):
    """Where the i-th name of an order belongs among those found, or None."""
    before, before_surely = _neighbour(found, order[:i][::-1])
    after, after_surely = _neighbour(found, order[i + 1 :])
    if before is not None and before_surely:
        return found.index(before) + 1
    if after is not None and (after_surely or before is not None and found.index(before) + 1 == found.index(after)):
        return found.index(after)
    return None


def _neighbour(found, names):
    """The first of some names that is found, and whether nothing else may have been bound on the way to it."""
    surely = True
    for name in names:
        if name is None:
            surely = False
        elif name in found:
            return name, surely
    return None, surely


def arrange(names, wanted):
    """Bring the names of a module into an order. Prerequisite: they are the same."""
    for place, (name, now) in enumerate(zip(wanted, list(names))):
        if name != now:
            for late in wanted[place:]:
                names[late] = names.pop(late)
            return


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
    if entry["kind"] == "value":
        # Nobody who could have changed it has named it.
        return now is not missing
    if entry["kind"] == "class":
        return isinstance(now, type) and (now.__module__, now.__qualname__) == (module.__name__, entry["name"])
    value = marshal.loads(binascii.a2b_base64(entry["values"]))
    if entry["kind"] == "constant":
        return type(now) is type(value) and repr(now) == repr(value)
    if type(now) is not FunctionType:
        return False
    trap = trap_of(now.__code__)
    return trap is not None and (trap[FILE], trap[UNIT]) == (file, entry["unit"]) and repr((now.__defaults__, now.__kwdefaults__)) == repr(value[:2])


def _sources(entry):
    """[module, member or None] of what an entry takes from the standard library."""
    return [entry["values"]] if entry["kind"] == "import" else entry.get("reached", ())


def original(source):
    """Whether what is taken from a module is surely the module's own, not something the program put there."""
    name, member = source
    if member is None or name not in sys.modules:
        return True
    found = getattr(sys.modules[name], member, None)
    home = getattr(found, "__module__", None) or ""
    if type(found) not in (FunctionType, BuiltinFunctionType, type) or home not in (name, "_" + name) and not home.startswith(name + "."):
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
        for source in _sources(entry):
            if shadowed(source) or not original(source):
                return "%s is not the standard library's here" % source[0]
    if edit.get("ordered") and arrangement(vars(module), edit) is None:
        return "where its names would stand cannot be told"
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
    for asker in entry.get("askers", ()):
        if asker in sys.modules:
            return "%s.%s changed, and %s asks objects for such a name" % (owner, entry["name"], asker)
    if "__slots__" in vars(cls):
        return "%s has slots" % owner
    if entry["name"] not in vars(cls) and hasattr(cls, entry["name"]):
        return "%s.%s would hide another" % (owner, entry["name"])
    return None


def shadowed(source):
    """Whether the standard library's module would not be found here."""
    top = source[0].partition(".")[0]
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
