"""The sources of one program in memory, and the parsed view of a module that edits work on."""

import ast
import os

SKIPPED_DIRECTORIES = {"__pycache__", ".pytest_cache"}


class Project:
    """Files of a program: path relative to its root -> bytes. Edits never touch the disk."""

    def __init__(self, files, data=(), stack=(), dormant=()):
        self.files = dict(files)
        self.data = [path for path in data if path in self.files]
        self.stack = tuple(stack)
        self.dormant = tuple(dormant)
        self._modules = {}

    @classmethod
    def load(cls, root, data=(), stack=(), dormant=()):
        files = {}
        for directory, names, entries in os.walk(root):
            names[:] = sorted(name for name in names if name not in SKIPPED_DIRECTORIES)
            for entry in sorted(entries):
                path = os.path.join(directory, entry)
                with open(path, "rb") as file:
                    files[os.path.relpath(path, root)] = file.read()
        return cls(files, data, stack, dormant)

    def after(self, changes):
        """The project as it is once `changes` (path -> bytes, None for removed) are made."""
        files = {**self.files, **changes}
        kept = {path: content for path, content in files.items() if content is not None}
        return Project(kept, self.data, self.stack, self.dormant)

    def sources(self):
        return sorted(path for path in self.files if path.endswith(".py"))

    def module(self, path):
        """The parsed module, or None when it does not compile."""
        if path not in self._modules:
            try:
                self._modules[path] = Module(path, self.files[path])
            except (SyntaxError, ValueError):
                self._modules[path] = None
        return self._modules[path]

    def modules(self):
        found = (self.module(path) for path in self.sources())
        return [module for module in found if module is not None]


class Module:
    """Text of a module as bytes with its tree; offsets are bytes, as ast counts columns."""

    def __init__(self, path, data):
        self.path = path
        self.data = data
        self.tree = ast.parse(data)
        self.starts = [0]
        for line in data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        for parent in ast.walk(self.tree):
            for child in ast.iter_child_nodes(parent):
                child.parent = parent

    def offset(self, line, column):
        return self.starts[line - 1] + column

    def span(self, node):
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def text(self, node):
        start, end = self.span(node)
        return self.data[start:end]

    def replaced(self, *pieces):
        """The module's text with each (start, end, replacement) done."""
        data = self.data
        for start, end, replacement in sorted(pieces, reverse=True):
            data = data[:start] + replacement + data[end:]
        return data

    def lines_of(self, statement):
        """Byte range of the whole lines of a statement with its decorators; None when it shares a line."""
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
        start, end = self.starts[first - 1], self.starts[statement.end_lineno]
        before = self.data[start : self.offset(statement.lineno, statement.col_offset)]
        if first == statement.lineno and before.strip():
            return None
        after = self.data[self.offset(statement.end_lineno, statement.end_col_offset) : end].strip()
        if after and not after.startswith(b"#"):
            return None
        if not self.data[start:end].endswith(b"\n"):
            return None
        return start, end

    def indent(self, statement):
        start = self.starts[statement.lineno - 1]
        return self.data[start : start + statement.col_offset]

    def functions(self):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]

    def classes(self):
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]

    def statements(self, owner):
        """Statements of a function or module at any depth, without those of functions and classes inside."""
        found = []

        def visit(block):
            for statement in block:
                found.append(statement)
                if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    continue
                for name in ("body", "orelse", "finalbody"):
                    visit(getattr(statement, name, []))
                for handler in getattr(statement, "handlers", []):
                    visit(handler.body)

        visit(owner.body)
        return found

    def block_of(self, statement):
        """The list of statements that this one stands in."""
        for name in ("body", "orelse", "finalbody"):
            block = getattr(statement.parent, name, None)
            if isinstance(block, list) and statement in block:
                return block
        return [statement]


def enclosing_function(node):
    while node is not None and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        node = getattr(node, "parent", None)
    return node


def is_docstring(statement):
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
