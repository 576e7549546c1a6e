"""Edits of whole files, of text that does not count as code, of data, and of several things at once."""

import ast
import json
import posixpath
import re

from body import functions_of, insert_before, where
from headers import first_place, modules_of, unique_name
from project import is_docstring
from registry import KINDS, Edit, kind, shuffled


@kind("comment-added", 2)
def comment_added(project, random):
    for module in modules_of(project, random):
        statements = [s for s in ast.walk(module.tree) if isinstance(s, ast.stmt) and module.lines_of(s)]
        for statement in shuffled(random, statements):
            if not is_docstring(statement):
                source = module.indent(statement) + b"# a remark that nobody reads\n"
                return insert_before(module, statement, source, "comment")
    return None


@kind("comment-at-end-of-line")
def comment_at_end_of_line(project, random):
    for module in modules_of(project, random):
        statements = [s for s in ast.walk(module.tree) if isinstance(s, ast.stmt) and module.lines_of(s)]
        for statement in shuffled(random, statements):
            end = module.span(statement)[1]
            what = f"{where(module, statement)}: comment after the statement"
            return Edit(what, {module.path: module.replaced((end, end, b"  # a remark"))})
    return None


@kind("blank-lines", 2)
def blank_lines(project, random):
    for module in modules_of(project, random):
        tops = [s for s in module.tree.body if module.lines_of(s)]
        if tops:
            count = random.randrange(1, 5)
            return insert_before(module, random.choice(tops), b"\n" * count, f"{count} blank lines")
    return None


@kind("docstring", 1.5)
def docstring(project, random):
    for module, function in functions_of(project, random):
        first = function.body[0]
        if not module.lines_of(first):
            continue
        if is_docstring(first):
            start, end = module.span(first)
            what = f"{where(module, function)}: docstring changed"
            return Edit(what, {module.path: module.replaced((start, end, b'"""Says something else.\n\n    In three lines."""'))})
        source = module.indent(first) + b'"""A docstring that was missing."""\n'
        return insert_before(module, first, source, "docstring added")
    return None


@kind("formatting", 1.5)
def formatting(project, random):
    """A call spread over several lines: same code, other lines and columns."""
    for module, function in functions_of(project, random):
        calls = [n for n in ast.walk(function) if isinstance(n, ast.Call) and len(n.args) > 1]
        for call in shuffled(random, calls):
            if call.lineno != call.end_lineno or any(isinstance(p, ast.JoinedStr) for p in parents(call)):
                continue
            start = module.span(call.args[0])[0]
            second = module.span(call.args[1])[0]
            pieces = [(start, start, b"\n        "), (second, second, b"\n        ")]
            return Edit(f"{where(module, call)}: call spread over lines", {module.path: module.replaced(*pieces)})
    return None


def parents(node):
    while getattr(node, "parent", None) is not None:
        node = node.parent
        yield node


@kind("line-endings", 0.5)
def line_endings(project, random):
    path = random.choice(project.sources())
    data = project.files[path]
    changed = data.replace(b"\r\n", b"\n") if b"\r\n" in data else data.replace(b"\n", b"\r\n")
    return Edit(f"{path}: line endings", {path: changed})


@kind("file-added", 1.5)
def file_added(project, random):
    """A new module beside another, imported by it and used."""
    for module in modules_of(project, random):
        first = first_place(module)
        if first is None or posixpath.basename(module.path).startswith(("test_", "conftest")):
            continue
        name = unique_name(project, random, "extra")
        directory = posixpath.dirname(module.path)
        relative = posixpath.join(directory, "__init__.py") in project.files
        line = f"from .{name} import describe\n" if relative else f"from {name} import describe\n"
        source = f'"""Added by an edit."""\n\nWORDS = ["one", "two", "{name}"]\n\n\ndef describe():\n    return " ".join(WORDS)\n'
        if not relative and directory:
            continue
        at = module.lines_of(first)[0]
        text = line.encode() + b"print(describe())\n"
        changes = {posixpath.join(directory, name + ".py"): source.encode(), module.path: module.replaced((at, at, text))}
        return Edit(f"{module.path}: imports new {name}", changes)
    return None


@kind("file-added-unused")
def file_added_unused(project, random):
    directory = posixpath.dirname(random.choice(project.sources()))
    name = unique_name(project, random, "spare")
    source = b'"""Nobody imports this."""\n\nprint("never seen")\n'
    return Edit(f"{name}.py added, not used", {posixpath.join(directory, name + ".py"): source})


@kind("file-removed")
def file_removed(project, random):
    """Prefers files that edits added; otherwise the program may break."""
    paths = shuffled(random, [path for path in project.sources() if posixpath.basename(path) != "__init__.py"])
    paths.sort(key=lambda path: not posixpath.basename(path).startswith(("spare_", "extra_")))
    return Edit(f"{paths[0]} removed", {paths[0]: None}) if len(paths) > 2 else None


@kind("file-renamed", 1.5)
def file_renamed(project, random):
    """A module gets another name, and the import statements that name it follow."""
    for module in modules_of(project, random):
        base = posixpath.basename(module.path)[:-3]
        if base.startswith(("__", "test_", "conftest")) or len(project.sources()) < 3:
            continue
        if any(base in text for text in project.stack) or not imported(project, base):
            continue
        new = unique_name(project, random, base.split("_")[0])
        pattern = re.compile(rb"^(\s*(?:from|import)\s.*?)\b" + base.encode() + rb"\b", re.M)
        changes = {}
        for other in project.modules():
            text = pattern.sub(rb"\g<1>" + new.encode(), other.data)
            text = re.sub(rb"(?<![\w.\"'])" + base.encode() + rb"\.(?=\w)", new.encode() + b".", text)
            if other.path == module.path:
                changes[module.path] = None
                changes[posixpath.join(posixpath.dirname(module.path), new + ".py")] = text
            elif text != other.data:
                changes[other.path] = text
        return Edit(f"{module.path} renamed to {new}.py", changes)
    return None


def imported(project, base):
    pattern = re.compile(rb"^\s*(?:from|import)\s.*\b" + base.encode() + rb"\b", re.M)
    return any(pattern.search(project.files[path]) for path in project.sources())


@kind("data-changed", 3)
def data_changed(project, random):
    for path in shuffled(random, project.data):
        text = project.files[path].decode("utf-8")
        numbers = list(re.finditer(r"(?<![\w.])\d{1,6}(?![\w.])", text))
        if path.endswith(".json") or random.random() < 0.5:
            if not numbers:
                continue
            match = random.choice(numbers)
            changed = str(int(match.group()) + random.choice([1, 2, 5]))
            text = text[: match.start()] + changed + text[match.end() :]
            return Edit(f"{path}: {match.group()} -> {changed}", {path: text.encode()})
        lines = text.splitlines(keepends=True)
        if len(lines) < 4:
            continue
        index = random.randrange(1, len(lines))
        action = random.choice(["removed", "doubled", "moved"])
        if action == "removed":
            del lines[index]
        elif action == "doubled":
            lines.insert(index, lines[index])
        else:
            lines.append(lines.pop(index))
        return Edit(f"{path}: line {index + 1} {action}", {path: "".join(lines).encode()})
    return None


@kind("data-removed", 0.4)
def data_removed(project, random):
    if not project.data:
        return None
    path = random.choice(project.data)
    return Edit(f"{path} removed", {path: None})


@kind("data-added")
def data_added(project, random):
    """A file beside the data: seen only by programs that list the directory."""
    if not project.data:
        return None
    path = random.choice(project.data)
    stem, extension = posixpath.splitext(path)
    new = f"{stem}-{random.randrange(100)}{extension}"
    if extension == ".json":
        try:
            json.loads(project.files[path])
        except ValueError:
            return None
    return Edit(f"{new} added, a copy of {path}", {new: project.files[path]})


@kind("touch", 2)
def touch(project, random):
    paths = random.sample(project.sources(), 1) + project.data[:1]
    return Edit(f"touched {', '.join(paths)}", {}, paths)


@kind("nothing")
def nothing(project, random):
    return Edit("nothing", {})


@kind("syntax-error", 1.5, compiles=False)
def syntax_error(project, random):
    for module in modules_of(project, random):
        statements = [s for s in ast.walk(module.tree) if isinstance(s, ast.stmt) and module.lines_of(s)]
        statements = [s for s in statements if not is_docstring(s)]
        if not statements:
            continue
        statement = random.choice(statements)
        broken = random.choice([b"value = = 1", b"if True", b"return = 3", b"print('never closed", b"break_ = [1, 2"])
        source = module.indent(statement) + broken + b"\n"
        return insert_before(module, statement, source, f"syntax error {broken.decode()!r}")
    return None


@kind("two-at-once", 3)
def two_at_once(project, random):
    names = [name for name, (_, _, compiles) in KINDS.items() if compiles and name not in ("two-at-once", "nothing")]
    first_name, second_name = random.sample(sorted(names), 2)
    first = KINDS[first_name][0](project, random)
    if first is None:
        return None
    second = KINDS[second_name][0](project.after(first.changes), random)
    if second is None:
        return None
    touched = [path for path in (*first.touched, *second.touched)]
    return Edit(f"{first_name}: {first.what}; {second_name}: {second.what}", {**first.changes, **second.changes}, touched)
