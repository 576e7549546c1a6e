"""Who asks objects for attributes by name: the interpreter, and modules of the standard library.

A member of such a name can be noticed without any code of the program naming it.
"""
import builtins
import collections.abc
import io
import os
import re
import sys
from functools import lru_cache

# In the place of a module: the interpreter.
ALWAYS = "*"
# `x.name`, and names in quotes as getattr takes them.
ASKED = re.compile(rb"""\.([A-Za-z_]\w*)|['"]([A-Za-z_]\w*)['"]""")
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__", "lib-dynload"}


@lru_cache(maxsize=1)
def askers(cache):
    """{name: modules that ask for it}. Gathered from the library's source once, and kept."""
    kept = "%s/askers-%s" % (cache, sys.version.split()[0])
    try:
        with open(kept, encoding="ascii") as file:
            return {name: set(modules.split()) for name, modules in (line.rstrip("\n").split("\t") for line in file)}
    except OSError:
        pass
    found = {}
    for value in [*vars(builtins).values(), *vars(io).values(), *vars(collections.abc).values()]:
        for name in dir(value):
            found.setdefault(name, set()).add(ALWAYS)
    library = os.path.dirname(os.__file__)
    for directory, below, files in os.walk(library):
        below[:] = [d for d in below if d not in LEFT_OUT]
        package = os.path.relpath(directory, library).replace("/", ".").lstrip(".")
        for name in files:
            if name.endswith(".py"):
                module = ".".join(part for part in (package, name[:-3]) if part and part != "__init__")
                try:
                    with open(os.path.join(directory, name), "rb") as file:
                        source = file.read()
                except FileNotFoundError:
                    # A link to a distribution's settings that are not installed.
                    continue
                for pair in set(ASKED.findall(source)):
                    found.setdefault((pair[0] or pair[1]).decode(), set()).add(module)
    temporary = "%s.%d" % (kept, os.getpid())
    try:
        with open(temporary, "w", encoding="ascii") as file:
            file.writelines("%s\t%s\n" % (name, " ".join(sorted(modules))) for name, modules in sorted(found.items()) if name.isascii())
        os.replace(temporary, kept)
    except OSError:
        pass
    return found
