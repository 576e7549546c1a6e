"""Binding names in a running program's modules, as the edited statements would have. `definitions` says which."""
import binascii
import builtins
import marshal
import os
import posix
import sys

from .layout import FunctionType, hide_module


def bind(module, entry, units):
    """Bind one name. `units`: the edited file's code by unit."""
    names = vars(module)
    if entry["kind"] == "import":
        name, member = entry["values"]
        found = __import__(name, names, names, [member] if member else [])
        names[entry["name"]] = found if member is None else getattr(found, member)
        return
    value = marshal.loads(binascii.a2b_base64(entry["values"]))
    if entry["kind"] == "constant":
        names[entry["name"]] = value
        return
    defaults, keywords, notes = value
    function = FunctionType(units[entry["unit"]], names, entry["name"], defaults)
    function.__kwdefaults__ = keywords
    function.__annotations__ = {name: getattr(builtins, kind) if kind else None for name, kind in notes.items()}
    names[entry["name"]] = function


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
