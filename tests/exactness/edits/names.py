"""Edits that bind names which somebody notices without naming them in code that runs: settings, templates, libraries."""

import ast
import re

from body import constants, insert_before, where
from headers import first_place, modules_of
from registry import Edit, kind, shuffled

WORD = re.compile(rb"[A-Za-z_]\w*")
# What copies, prints, iterates, compares or describes an object asks it for.
ASKED = """keys items values get read write flush close fileno isatty name mode seek __len__ __bool__ __iter__ __contains__ __eq__
__hash__ __repr__ __str__ __format__ __copy__ __deepcopy__ __reduce_ex__ __getstate__ __call__ __getattr__ __missing__ __index__
__enter__ __del__ __fspath__ __dir__ __json__ default filename __wrapped__ __signature__ __qualname__ __slots__""".split()
# Importing them warns.
SPEAKING = ("imp", "asyncore", "asynchat", "cgi", "crypt", "telnetlib", "uu", "xdrlib", "this")
# Members that programs replace in the library's modules.
REPLACED = ("from json import dumps", "from time import sleep", "from textwrap import fill", "from warnings import showwarning", "from math import pi")


def words_elsewhere(project):
    """Identifiers in data files and in constants of the code: names that may be looked up."""
    found = set()
    for path, content in project.files.items():
        if not path.endswith(".py") and len(content) < 1 << 16:
            found.update(WORD.findall(content))
    for module in project.modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(WORD.findall(node.value.encode()))
    return sorted(word for word in found if word.isascii() and len(word) < 24)


@kind("name-found-elsewhere", 1.5)
def name_found_elsewhere(project, random):
    """Binds, in a module or class, a word that stands in data or in a text: a setting, or a template's field."""
    words = words_elsewhere(project)
    for module in modules_of(project, random):
        if not words:
            return None
        word = random.choice(words).decode()
        value = random.choice(["41", "'found'", "None", "True"])
        classes = [node for node in module.classes() if module.lines_of(node.body[0])]
        if classes and random.random() < 0.5:
            spot = random.choice(classes).body[0]
        else:
            spot = first_place(module)
        if spot is None:
            continue
        indent = module.indent(spot)
        source = indent + f"{word} = {value}\n".encode()
        if random.random() < 0.3:
            source = indent + f"def {word}(*given):\n".encode() + indent + f"    return {value}\n".encode()
        return insert_before(module, spot, source, f"{word}, a word of elsewhere, bound")
    return None


@kind("setting-added")
def setting_added(project, random):
    """A constant in capitals."""
    for module in modules_of(project, random):
        spot = first_place(module)
        if spot is not None:
            name = random.choice(["PORT", "EXTRA", "VERBOSE", "LEVEL", "LIMIT", "DEBUG"])
            return insert_before(module, spot, f"{name} = {random.randrange(9)}\n".encode(), f"setting {name}")
    return None


@kind("setting-removed")
def setting_removed(project, random):
    for module in modules_of(project, random):
        found = [s for s in module.tree.body if isinstance(s, ast.Assign) and module.lines_of(s)]
        for statement in shuffled(random, found):
            if isinstance(statement.value, ast.Constant):
                edit = {module.path: module.replaced((*module.lines_of(statement), b""))}
                return Edit(f"{where(module, statement)}: setting removed", edit)
    return None


@kind("member-asked-for", 1.5)
def member_asked_for(project, random):
    """A method or attribute of a name that libraries and the interpreter ask any object for."""
    found = [(module, node) for module in project.modules() for node in module.classes()]
    for module, node in shuffled(random, found):
        spots = [s for s in node.body if isinstance(s, ast.FunctionDef) and module.lines_of(s)]
        if not spots:
            continue
        indent, name = module.indent(spots[-1]), random.choice(ASKED)
        value = random.choice(["0", "'asked'", "None", "iter(())"])
        source = indent + f"def {name}(self, *given):\n".encode() + indent + f"    return {value}\n\n".encode()
        return insert_before(module, spots[-1], source, f"{node.name}.{name}() added")
    return None


@kind("import-that-warns", 0.5)
def import_that_warns(project, random):
    for module in modules_of(project, random):
        spot = first_place(module)
        if spot is not None:
            name = random.choice(SPEAKING)
            return insert_before(module, spot, f"import {name}\n".encode(), f"import {name}, which speaks")
    return None


@kind("import-of-replaced")
def import_of_replaced(project, random):
    """A from-import, and a use of what it bound in a function."""
    for module in modules_of(project, random):
        spot, bodies = first_place(module), [f.body for f in module.functions() if module.lines_of(f.body[-1])]
        if spot is None or not bodies:
            continue
        line = random.choice(REPLACED)
        name, user = line.split()[-1], random.choice(bodies)[-1]
        use = module.indent(user) + f"print('{name}', callable({name}), getattr({name}, '__name__', None))\n".encode()
        top, at = module.lines_of(spot)[0], module.lines_of(user)[0]
        edit = {module.path: module.replaced((top, top, line.encode() + b"\n"), (at, at, use))}
        return Edit(f"{where(module, user)}: uses {line}", edit)
    return None


@kind("text-names-another")
def text_names_another(project, random):
    """A text constant, or a word of one, becomes another word of the program: other fields, keys, modules."""
    words = words_elsewhere(project)
    for module in modules_of(project, random):
        texts = [c for c in constants(module, module.tree) if isinstance(c.value, str) and WORD.search(module.text(c))]
        if not texts or not words:
            continue
        chosen = random.choice(texts)
        start, end = module.span(chosen)
        found = random.choice(list(WORD.finditer(module.data, start, end)))
        edit = {module.path: module.replaced((found.start(), found.end(), random.choice(words)))}
        return Edit(f"{where(module, chosen)}: a word of a text replaced", edit)
    return None
