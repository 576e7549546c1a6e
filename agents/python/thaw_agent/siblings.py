"""From-imports of a program's own modules that take other names than before.

The module has been imported by the old statement, to its end if it imports nothing of the program itself; what it binds once,
at its top level, is now what it was then.
"""
import ast
import os
import sys

from . import loader
from .values import times_bound


def changed(old, new, file):
    """{"bind", "was", "unbind"} of a statement that takes other names; None where that may be noticed otherwise."""
    if not (isinstance(old, ast.ImportFrom) and isinstance(new, ast.ImportFrom)) or (old.module, old.level) != (new.module, new.level):
        return None
    had, has = ({a.asname or a.name: a.name for a in node.names} for node in (old, new))
    kept = [name for name in has if had.get(name) == has[name]]
    path = _path(old, file)
    if path is None or not kept or "*" in had or "*" in has or any(name in had for name in has.keys() - kept):
        return None
    bound = _leaf(path)
    wanted = [name for name in [*has, *had] if name not in kept]
    if bound is None or any(name.startswith("__") for name in wanted) or any(bound.get(has[name]) != 1 for name in has if name not in kept):
        return None

    def entry(name, member):
        return {"name": name, "kind": "import", "values": [path, member], "beside": [has[kept[0]], kept[0]], **({"also": member} if member != name else {})}

    gone = [name for name in had if name not in has]
    return {
        "bind": [entry(name, has[name]) for name in has if name not in kept],
        "was": [entry(name, had[name]) for name in gone],
        "unbind": gone,
    }


def _path(node, file):
    """Where a module that a file imports from probably is; the process that goes on knows for certain."""
    parts = (node.module or "").split(".") if node.module else []
    directory = os.path.dirname(file)
    if node.level:
        for _ in range(node.level - 1):
            directory = os.path.dirname(directory)
        above = [directory]
    elif parts[0] in sys.stdlib_module_names:
        return None
    else:
        above = [directory]
        while len(above) < 6 and os.path.dirname(above[-1]) != above[-1]:
            above.append(os.path.dirname(above[-1]))
    for start in above:
        for end in (".py", "/__init__.py"):
            path = os.path.join(start, *parts) + end
            if parts and os.path.isfile(path):
                return path
    return None


def _leaf(path):
    """How often a module binds each of its top-level names, if it imports the standard library only; else None."""
    try:
        tree = ast.parse(loader.read(path))
    except (OSError, SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []
        outside = any(module is None or module.partition(".")[0] not in sys.stdlib_module_names for module in modules)
        if outside or isinstance(node, ast.ImportFrom) and (node.level or node.names[0].name == "*"):
            return None
    bound = times_bound(tree)
    if "__getattr__" in bound:
        return None
    top = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            top.add(node.name)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            top.add(node.targets[0].id)
        elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
            top.add(node.target.id)
    return {name: bound[name] for name in top}
