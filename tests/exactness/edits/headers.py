"""Edits of what stands around bodies: signatures, decorators, classes, top-level statements, imports."""

import ast

from body import (
    change_constant,
    constants,
    functions_of,
    insert_before,
    insert_in,
    move_in,
    name_tokens,
    new_constant,
    places,
    remove_in,
    where,
)
from project import is_docstring
from registry import Edit, kind, shuffled

GUARDED = ("property", "staticmethod", "classmethod", "abstractmethod")


def modules_of(project, random):
    return shuffled(random, project.modules())


def at_top_level(change):
    def edit(project, random):
        for module in modules_of(project, random):
            found = change(module, module.tree, random)
            if found:
                return found
        return None

    return edit


kind("toplevel-insert", 2)(at_top_level(insert_in))
kind("toplevel-remove", 1.5)(at_top_level(remove_in))
kind("toplevel-move", 1.5)(at_top_level(move_in))


@kind("toplevel-append", 1.5)
def toplevel_append(project, random):
    module = random.choice(modules_of(project, random))
    source = b'\nAPPENDED = [number for number in range(%d)]\nprint("appended", len(APPENDED))\n' % random.randrange(2, 9)
    return Edit(f"{module.path}: statements appended", {module.path: module.data + source})


@kind("module-constant", 2)
def module_constant(project, random):
    for module in modules_of(project, random):
        assigned = [s for s in module.tree.body if isinstance(s, (ast.Assign, ast.AnnAssign)) and s.value]
        for statement in shuffled(random, assigned):
            edit = change_constant(module, statement.value, random)
            if edit:
                return edit
    return None


@kind("signature-added", 1.5)
def signature_added(project, random):
    for module, function in functions_of(project, random):
        arguments = function.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or not arguments.args:
            continue
        if function.name.startswith("__") or function.decorator_list:
            continue
        last = arguments.defaults[-1] if arguments.defaults else None
        if len(arguments.args) == 1 and arguments.args[0].arg in ("self", "cls"):
            last = None
        end = max(module.span(node)[1] for node in (arguments.args[-1], last) if node is not None)
        text = f", added={random.randrange(9)}".encode()
        what = f"{where(module, function)}: parameter added with a default"
        return Edit(what, {module.path: module.replaced((end, end, text))})
    return None


@kind("signature-reordered")
def signature_reordered(project, random):
    for module, function in functions_of(project, random):
        arguments = function.args
        pairs = [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults)]
        if len(pairs) < 2:
            continue
        (first, first_default), (second, second_default) = random.sample(pairs, 2)
        spans = [
            (module.span(first)[0], module.span(first_default or first)[1]),
            (module.span(second)[0], module.span(second_default or second)[1]),
        ]
        (a, b), (c, d) = spans
        pieces = [(a, b, module.data[c:d]), (c, d, module.data[a:b])]
        return Edit(f"{where(module, function)}: keyword-only reordered", {module.path: module.replaced(*pieces)})
    return None


@kind("default-changed", 1.5)
def default_changed(project, random):
    for module, function in functions_of(project, random):
        defaults = [d for d in (*function.args.defaults, *function.args.kw_defaults) if d is not None]
        for default in shuffled(random, defaults):
            for node in constants(module, default):
                changed = new_constant(random, node.value)
                if changed is not None:
                    start, end = module.span(node)
                    what = f"{where(module, function)}: default {node.value!r} -> {changed}"
                    return Edit(what, {module.path: module.replaced((start, end, changed.encode()))})
    return None


@kind("annotation")
def annotation(project, random):
    for module, function in functions_of(project, random):
        if function.returns is not None:
            start, end = module.span(function.returns)
            what = f"{where(module, function)}: return annotation"
            return Edit(what, {module.path: module.replaced((start, end, b'"object"'))})
        free = [a for a in function.args.args if a.annotation is None and a.arg not in ("self", "cls")]
        if free:
            end = module.span(random.choice(free))[1]
            what = f"{where(module, function)}: annotation added"
            return Edit(what, {module.path: module.replaced((end, end, b": object"))})
    return None


def first_place(module):
    """The first top-level statement after docstring and imports."""
    for statement in module.tree.body:
        if not is_docstring(statement) and not isinstance(statement, (ast.Import, ast.ImportFrom)):
            if module.lines_of(statement):
                return statement
    return None


DECORATOR = b'''import functools as _functools


def noted(function):
    @_functools.wraps(function)
    def call(*positional, **named):
        outcome = function(*positional, **named)
        noted.calls += 1
        return outcome

    return call


noted.calls = 0


'''


@kind("decorator-added", 1.5)
def decorator_added(project, random):
    for module, function in functions_of(project, random):
        first = first_place(module)
        if first is None or isinstance(function, ast.AsyncFunctionDef) or function.decorator_list:
            continue
        if function.name == "noted" or not module.lines_of(function):
            continue
        at = module.lines_of(function)[0]
        pieces = [(at, at, module.indent(function) + b"@noted\n")]
        if b"def noted(" not in module.data:
            start = module.lines_of(first)[0]
            if start == at:
                pieces = [(at, at, DECORATOR + b"@noted\n")]
            else:
                pieces.append((start, start, DECORATOR))
        return Edit(f"{where(module, function)}: decorated", {module.path: module.replaced(*pieces)})
    return None


@kind("decorator-removed")
def decorator_removed(project, random):
    for module, function in functions_of(project, random):
        for decorator in shuffled(random, function.decorator_list):
            name = module.text(decorator).decode()
            if name.split(".")[-1] in GUARDED or decorator.lineno != decorator.end_lineno:
                continue
            start, end = module.starts[decorator.lineno - 1], module.starts[decorator.end_lineno]
            what = f"{where(module, function)}: @{name} removed"
            return Edit(what, {module.path: module.replaced((start, end, b""))})
    return None


def unique_name(project, random, base):
    taken = b"\n".join(project.files[path] for path in project.sources())
    while True:
        name = f"{base}_{random.randrange(1000)}"
        if name.encode() not in taken:
            return name


@kind("function-added", 1.5)
def function_added(project, random):
    for module in modules_of(project, random):
        tops = [s for s in module.tree.body if isinstance(s, (ast.FunctionDef, ast.ClassDef)) and module.lines_of(s)]
        if not tops:
            continue
        name = unique_name(project, random, "helper")
        source = f"def {name}(value=3):\n    total = 0\n    for step in range(value):\n        total += step\n    return total\n\n\n"
        return insert_before(module, random.choice(tops), source.encode(), f"added {name}(), not used")
    return None


@kind("function-added-used", 1.5)
def function_added_used(project, random):
    """A new function in one place and a call of it in another function of the module."""
    for module in modules_of(project, random):
        tops = [s for s in module.tree.body if isinstance(s, ast.FunctionDef) and module.lines_of(s)]
        if not tops:
            continue
        user = random.choice(tops)
        spots = [s for s in places(module, user)]
        if not spots:
            continue
        name, spot = unique_name(project, random, "helper"), random.choice(spots)
        source = f"def {name}(value=3):\n    return sum(step * step for step in range(value))\n\n\n"
        call = module.indent(spot) + f"print('{name}', {name}({random.randrange(9)}))\n".encode()
        top, at = module.lines_of(random.choice(tops))[0], module.lines_of(spot)[0]
        pieces = [(top, top, source.encode()), (at, at, call)]
        return Edit(f"{where(module, spot)}: calls new {name}()", {module.path: module.replaced(*pieces)})
    return None


@kind("function-removed")
def function_removed(project, random):
    """Prefers a function that nothing names; else the program may break."""
    everything = b"\n".join(project.files[path] for path in project.sources())
    found = functions_of(project, random)
    found.sort(key=lambda pair: everything.count(pair[1].name.encode()) > 1)
    for module, function in found:
        lines = module.lines_of(function)
        if lines and len(module.block_of(function)) > 1 and function.name not in project.stack:
            what = f"{where(module, function)}: removed {function.name}()"
            return Edit(what, {module.path: module.replaced((*lines, b""))})
    return None


@kind("function-moved")
def function_moved(project, random):
    for module in modules_of(project, random):
        tops = [s for s in module.tree.body if isinstance(s, ast.FunctionDef) and module.lines_of(s)]
        if len(tops) < 2:
            continue
        first, second = random.sample(tops, 2)
        (a, b), (c, d) = module.lines_of(first), module.lines_of(second)
        pieces = [(a, b, module.data[c:d]), (c, d, module.data[a:b])]
        return Edit(f"{module.path}: {first.name}() and {second.name}() trade places", {module.path: module.replaced(*pieces)})
    return None


@kind("function-renamed", 1.5)
def function_renamed(project, random):
    """With all its uses, attributes and imports included; text in strings stays."""
    for module, function in functions_of(project, random):
        name = function.name
        if name.startswith("__") or name in project.stack or name.startswith(("test", "pytest")):
            continue
        new, changes = unique_name(project, random, name.split("_")[0]), {}
        for other in project.modules():
            pieces = [(a, b, new.encode()) for a, b in all_name_tokens(other, name)]
            if pieces:
                changes[other.path] = other.replaced(*pieces)
        return Edit(f"{where(module, function)}: renamed {name} -> {new}", changes)
    return None


def all_name_tokens(module, name):
    found = set(name_tokens(module, name))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr == name:
            end = module.span(node)[1]
            found.add((end - len(name.encode()), end))
    return sorted(found)


@kind("method-added")
def method_added(project, random):
    found = [(module, node) for module in project.modules() for node in module.classes()]
    for module, node in shuffled(random, found):
        methods = [s for s in node.body if isinstance(s, ast.FunctionDef) and module.lines_of(s)]
        if not methods:
            continue
        chosen = random.choice(methods)
        indent = module.indent(chosen)
        name = unique_name(project, random, "added")
        if random.random() < 0.3 and not any(getattr(s, "name", "") == "__repr__" for s in node.body):
            name = "__repr__"
        source = indent + f"def {name}(self):\n".encode() + indent + b"    return 'a method that was added'\n\n"
        return insert_before(module, chosen, source, f"added {node.name}.{name}()")
    return None


@kind("method-removed")
def method_removed(project, random):
    found = [(module, node) for module in project.modules() for node in module.classes()]
    for module, node in shuffled(random, found):
        methods = [s for s in node.body if isinstance(s, ast.FunctionDef) and module.lines_of(s)]
        if len(node.body) < 2 or not methods:
            continue
        chosen = random.choice(methods)
        what = f"{where(module, chosen)}: removed {node.name}.{chosen.name}()"
        return Edit(what, {module.path: module.replaced((*module.lines_of(chosen), b""))})
    return None


@kind("class-attribute", 2)
def class_attribute(project, random):
    found = [(module, node) for module in project.modules() for node in module.classes()]
    for module, node in shuffled(random, found):
        fields = [s for s in node.body if isinstance(s, (ast.Assign, ast.AnnAssign)) and s.value is not None]
        for statement in shuffled(random, fields):
            edit = change_constant(module, statement.value, random)
            if edit:
                return edit
    return None


@kind("class-attribute-added")
def class_attribute_added(project, random):
    found = [(module, node) for module in project.modules() for node in module.classes()]
    for module, node in shuffled(random, found):
        spots = [s for s in node.body if module.lines_of(s) and isinstance(s, ast.FunctionDef)]
        if spots:
            source = module.indent(spots[0]) + f"added_attribute = {random.randrange(9)}\n\n".encode()
            return insert_before(module, spots[0], source, f"attribute added to {node.name}")
    return None


@kind("import-added", 1.5)
def import_added(project, random):
    names = [b"colorsys", b"fractions", b"string", b"textwrap", b"bisect", b"heapq", b"keyword"]
    for module in modules_of(project, random):
        first = first_place(module)
        if first is not None:
            name = random.choice(names)
            return insert_before(module, first, b"import " + name + b"\n", f"import {name.decode()}")
    return None


@kind("import-reordered")
def import_reordered(project, random):
    kinds = (ast.Import, ast.ImportFrom)
    for module in modules_of(project, random):
        body = module.tree.body
        pairs = [(a, b) for a, b in zip(body, body[1:]) if isinstance(a, kinds) and isinstance(b, kinds)]
        for first, second in shuffled(random, pairs):
            if not module.lines_of(first) or not module.lines_of(second):
                continue
            if isinstance(first, ast.ImportFrom) and first.module == "__future__":
                continue
            (a, b), (c, d) = module.lines_of(first), module.lines_of(second)
            text = module.data[c:d] + module.data[b:c] + module.data[a:b]
            return Edit(f"{where(module, first)}: imports swapped", {module.path: module.replaced((a, d, text))})
    return None


@kind("import-made-lazy")
def import_made_lazy(project, random):
    """A top-level import goes into the one function that uses it, or into the first of them."""
    for module in modules_of(project, random):
        imports = [s for s in module.tree.body if isinstance(s, ast.Import) and module.lines_of(s)]
        for statement in shuffled(random, imports):
            name = statement.names[0].asname or statement.names[0].name.split(".")[0]
            users = [
                f
                for f in module.functions()
                if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(f))
            ]
            if len(users) != 1 or len(statement.names) != 1:
                continue
            spots = [s for s in users[0].body if module.lines_of(s) and not is_docstring(s)]
            if not spots:
                continue
            start, end = module.lines_of(statement)
            at = module.lines_of(spots[0])[0]
            text = module.indent(spots[0]) + module.data[start:end]
            pieces = [(start, end, b""), (at, at, text)]
            return Edit(f"{where(module, statement)}: import {name} made lazy", {module.path: module.replaced(*pieces)})
    return None
