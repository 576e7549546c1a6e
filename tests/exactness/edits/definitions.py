"""Definitions that do nothing but bind a name, with a use somewhere: values, classes, functions; and edits of such."""

import ast
import re

from body import where
from headers import first_place, modules_of
from registry import Edit, kind, shuffled

# Imports, definition, use; `§` is a number that makes the names new, `¤` a small one.
TEMPLATES = (
    ("", "ADDED_§ = [1, ¤]", "ADDED_§"),
    ("", "ADDED_§ = {'a': ¤, 'b': [2]}", "ADDED_§"),
    ("", "ADDED_§ = 60 * ¤", "ADDED_§"),
    ("", "ADDED_§ = {¤, 100}", "sorted(ADDED_§)"),
    ("import re", "ADDED_§ = re.compile('[a-z]{¤}', re.I)", "ADDED_§.findall('abcdef')"),
    ("import logging", "ADDED_§ = logging.getLogger(__name__)", "ADDED_§.name"),
    ("from pathlib import Path", "ADDED_§ = Path(__file__).parent / 'd¤'", "ADDED_§.name"),
    ("from collections import namedtuple", "ADDED_§ = namedtuple('ADDED_§', 'a b')", "ADDED_§(1, ¤)"),
    ("import collections", "ADDED_§ = collections.defaultdict(list, a=[¤])", "ADDED_§"),
    ("from dataclasses import dataclass, field", "@dataclass\nclass Added_§:\n    a: int = ¤\n    b: list = field(default_factory=list)", "Added_§()"),
    ("import enum", "class Added_§(enum.Enum):\n    A = ¤\n    B = enum.auto()", "list(Added_§)"),
    ("from typing import NamedTuple", "class Added_§(NamedTuple):\n    a: int\n    b: str = '¤'", "Added_§(1)"),
    ("import abc", "class Added_§(abc.ABC):\n    @abc.abstractmethod\n    def m(self): pass", "Added_§.__abstractmethods__"),
    ("", "class Added_§(Exception):\n    'Doc.'\n    code = ¤\n    def __str__(self):\n        return 'added ¤'", "str(Added_§()), Added_§.__doc__"),
    ("", "class Added_§:\n    kinds = ['a', 'b']\n    @property\n    def m(self):\n        return self.kinds * ¤", "Added_§().m"),
    ("", "class Added_§(BASE):\n    extra = ¤", "Added_§.extra, [c.__name__ for c in Added_§.__mro__]"),
    ("", "def added_§(x: list[int], y: 'text' = None, *, z=[¤]) -> dict:\n    z.append(x)\n    return {'z': len(z)}", "added_§(1), added_§.__annotations__"),
)
ADDED = re.compile(rb"ADDED_\d+|[Aa]dded_\d+")


@kind("definition-added", 3)
def definition_added(project, random):
    for module in modules_of(project, random):
        first, users = first_place(module), [f for f in module.functions() if module.lines_of(f.body[-1])]
        statements = [s for s in module.tree.body if module.lines_of(s)]
        if first is None or not users or not statements:
            continue
        imports, definition, use = random.choice(TEMPLATES)
        bases = [s.name for s in module.tree.body if isinstance(s, ast.ClassDef)]
        if "BASE" in definition and not bases:
            continue
        base = random.choice(bases) if bases else ""
        number, small = str(random.randrange(10, 9999)), str(random.randrange(1, 4))
        definition, use = (text.replace("§", number).replace("¤", small).replace("BASE", base) for text in (definition, use))
        spot = random.choice([s for s in statements if s.lineno >= first.lineno] or [first])
        at, top = module.lines_of(spot)[0], module.lines_of(first)[0]
        user = random.choice(users).body[-1]
        line = module.indent(user) + f"print({use})\n".encode()
        there = module.lines_of(user)[0]
        pieces = [(at, at, definition.encode() + b"\n"), (there, there, line)]
        if imports and imports.encode() not in module.data:
            pieces.append((top, top, imports.encode() + b"\n"))
        if at == there or at == top and len(pieces) == 3:
            continue
        return Edit(f"{where(module, user)}: uses {definition.splitlines()[-1].strip()}", {module.path: module.replaced(*pieces)})
    return None


@kind("definition-changed", 2)
def definition_changed(project, random):
    """A value or class that an earlier edit added, or a display or class of the program, gets something more."""
    for module in modules_of(project, random):
        for statement in shuffled(random, [s for s in module.tree.body if module.lines_of(s)]):
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.List) and statement.value.elts:
                start = module.span(statement.value)[0]
                return Edit(f"{where(module, statement)}: one more element", {module.path: module.replaced((start + 1, start + 1, b"'more', "))})
            if isinstance(statement, ast.ClassDef) and module.lines_of(statement.body[-1]):
                end = module.lines_of(statement.body[-1])[1]
                line = module.indent(statement.body[-1]) + b"more_%d: int = 3\n" % random.randrange(99)
                if statement.body[-1].lineno > statement.lineno and not module.data[module.starts[statement.lineno - 1]:end].count(b"__slots__"):
                    return Edit(f"{where(module, statement)}: one more field", {module.path: module.replaced((end, end, line))})
    return None


@kind("definition-removed")
def definition_removed(project, random):
    """What an earlier edit added goes, its uses stay."""
    for module in modules_of(project, random):
        for statement in shuffled(random, module.tree.body):
            lines = module.lines_of(statement)
            name = getattr(statement, "name", None) or getattr(next(iter(getattr(statement, "targets", [])), None), "id", "")
            if lines and ADDED.fullmatch(str(name).encode()):
                return Edit(f"{where(module, statement)}: {name} removed", {module.path: module.replaced((*lines, b""))})
    return None
