"""Code of a service: project modules are loaded statement by statement, so that an edit can be told from what has run, and put in
place while everything else stays."""
import ast
import difflib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import types

# Containers beyond this size, or deeper than this, are not searched for functions.
WIDEST, DEEPEST = 2000, 4
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class CodeError(Exception):
    """New code that cannot take the place of the old. Nothing has changed."""

    def __init__(self, message, path, line, kind="reload"):
        super().__init__(message)
        self.path, self.line, self.kind = path, line, kind


def digest(source):
    return hashlib.sha256(source).hexdigest()


class Unit:
    """One project module as it is loaded."""

    def __init__(self, path, source):
        self.path = path
        self.source = source
        self.statements = parse(path, source)
        self.module = None
        # Statements that have begun.
        self.next = 0
        self.flags = 0

    @functools.cached_property
    def keys(self):
        return [ast.dump(node) for node in self.statements]

    def replace(self, source):
        """Other code from the next statement on. What has run must be equal but for its lines."""
        self.source, self.statements = source, parse(self.path, source)
        self.__dict__.pop("keys", None)

    def step(self):
        node = self.statements[self.next]
        self.next += 1
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            import __future__

            for alias in node.names:
                self.flags |= getattr(__future__, alias.name).compiler_flag
        run(self, node, self.module.__dict__)


def parse(path, source):
    try:
        # What only the compiler finds counts as well.
        compile(source, path, "exec", dont_inherit=True)
        return ast.parse(source, path).body
    except SyntaxError as error:
        raise CodeError(error.msg, error.filename or path, error.lineno or 0, "syntax") from None
    except ValueError as error:
        raise CodeError(str(error), path, 0, "syntax") from None


def run(unit, node, space, local=None):
    code = compile(ast.Module([node], []), unit.path, "exec", flags=unit.flags, dont_inherit=True)
    exec(code, space, space if local is None else local)


class Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name, path, project):
        super().__init__(name, path)
        self.project = project

    def exec_module(self, module):
        with open(self.path, "rb") as file:
            source = file.read()
        try:
            unit = Unit(self.path, source)
        except CodeError:
            compile(source, self.path, "exec", dont_inherit=True)
            raise
        unit.module = module
        self.project.units[self.path] = unit
        module.__doc__ = ast.get_docstring(ast.Module(unit.statements, []), clean=False)
        while unit.next < len(unit.statements):
            self.project.before_step()
            unit.step()


class Project(importlib.machinery.PathFinder):
    """The user's own modules: those below a directory that no package manager has put there."""

    def __init__(self, root, before_step=lambda: None):
        self.root = os.path.join(os.path.realpath(root), "")
        self.units = {}
        self.before_step = before_step

    def owns(self, path):
        path = os.path.realpath(path)
        return path.startswith(self.root) and not {"site-packages", "dist-packages", ".venv", "venv"} & set(path.split(os.sep))

    def find_spec(self, name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader) or not self.owns(spec.origin):
            return None
        spec.loader = Loader(name, spec.origin, self)
        return spec

    def load(self, file):
        """Import a file as the module that it is in its package, or as a script's directory would name it."""
        directory, name = os.path.split(file)
        names = [os.path.splitext(name)[0]]
        if names == ["__init__"]:
            names.clear()
        while os.path.exists(os.path.join(directory, "__init__.py")):
            directory, name = os.path.split(directory)
            names.insert(0, name)
        if directory not in sys.path:
            sys.path.insert(0, directory)
        sys.meta_path.insert(0, self)
        return importlib.import_module(".".join(names))

    def files(self):
        return {path: digest(unit.source) for path, unit in self.units.items()}

    def progress(self):
        return {path: unit.next for path, unit in self.units.items()}

    def renumber(self, path):
        """Functions that were made before their file was replaced get the lines of now."""
        codes = code_by_name(compile(self.units[path].source, path, "exec", dont_inherit=True))
        for function in functions_of(self, path):
            new = codes.get(function.__code__.co_qualname)
            if new is not None and new != function.__code__ and new.co_freevars == function.__code__.co_freevars:
                function.__code__ = new

    def first_changes(self, sources):
        """The first statement of each file that differs from what it was."""
        out = {}
        for path, source in sources.items():
            unit = self.units.get(path)
            if unit is None:
                continue
            new = Unit(path, source)
            pairs = zip(unit.keys, new.keys)
            out[path] = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(unit.keys), len(new.keys)))
        return out

    def apply(self, sources):
        """Put new code in place. What cannot be is executed again; the rest of the state stays. Raises CodeError, and then all is
        as it was."""
        changed = {}
        for path, source in sources.items():
            unit = self.units.get(path)
            if unit is not None and source != unit.source:
                changed[path] = Unit(path, source)
        edits = [Edit(self.units[path], new) for path, new in changed.items()]
        undo = []
        try:
            for edit in edits:
                edit.patch(self, undo)
            for edit in edits:
                edit.execute(undo)
        except BaseException as error:
            for back in reversed(undo):
                back()
            if isinstance(error, CodeError) or not isinstance(error, Exception):
                raise
            path, line = place(error, changed)
            raise CodeError("%s: %s" % (type(error).__name__, error), path, line) from error
        for edit in edits:
            unit = edit.new
            unit.module, unit.next, unit.flags = edit.old.module, len(unit.statements), edit.old.flags
            self.units[unit.path] = unit
        report = {"patched": [], "executed": [], "removed": []}
        for edit in edits:
            for key in report:
                report[key] += getattr(edit, key)
        return report


def place(error, changed):
    """Where in the new code something was raised."""
    path, line = next(iter(changed), ""), 0
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in changed:
            path, line = frame.tb_frame.f_code.co_filename, frame.tb_lineno
        frame = frame.tb_next
    return path, line


class Edit:
    """What became of one module."""

    def __init__(self, old, new):
        self.old, self.new = old, new
        self.patched, self.executed, self.removed = [], [], []
        # Statements to be executed, and classes whose bodies differ.
        self.again, self.classes, self.headers = [], [], []
        before, after = [], []
        matcher = difflib.SequenceMatcher(None, old.keys, new.keys, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag != "equal":
                before += old.statements[a:b]
                after += new.statements[c:d]
        named = {node.name: node for node in before if isinstance(node, DEFINITIONS + (ast.ClassDef,))}
        paired = set()
        for node in after:
            twin = named.get(getattr(node, "name", None))
            if twin is None or type(twin) is not type(node) or twin in paired or ast.dump(node) == ast.dump(twin):
                self.again.append(node)
                continue
            paired.add(twin)
            if isinstance(node, ast.ClassDef):
                (self.classes.append((twin, node)) if head(node) == head(twin) else self.again.append(node))
            elif head(node) == head(twin):
                continue
            elif node.decorator_list or twin.decorator_list:
                self.again.append(node)
            else:
                self.headers.append(node)
        stay = {name for node in new.statements for name in bound(node)}
        self.gone = sorted({name for node in before if node not in paired for name in bound(node)} - stay)

    def patch(self, project, undo):
        """Functions get their new code, wherever they are held."""
        space = self.old.module.__dict__
        codes = code_by_name(compile(self.new.source, self.new.path, "exec", dont_inherit=True))
        for function in functions_of(project, self.old.path):
            new = codes.get(function.__code__.co_qualname)
            old = function.__code__
            if new is None or new == old or new.co_freevars != old.co_freevars:
                continue
            # Of what has only moved nobody needs to hear.
            if new.replace(co_firstlineno=0, co_linetable=b"") != old.replace(co_firstlineno=0, co_linetable=b""):
                self.patched.append(new.co_qualname)
            assign(function, "__code__", new, undo)
        for node in self.headers:
            old = space.get(node.name)
            local = {}
            run(self.old, node, space, local)
            new = local[node.name]
            if isinstance(old, types.FunctionType) and old.__code__.co_freevars == new.__code__.co_freevars:
                become(old, new, undo)
            else:
                put(space, node.name, new, undo)
            self.patched.append(node.name)
        self.patched = sorted(set(self.patched))

    def execute(self, undo):
        space = self.old.module.__dict__
        for twin, node in self.classes:
            self._update(space.get(node.name), twin, node, space, undo)
        for node in self.again:
            kept = dict(space)
            undo.append(lambda kept=kept: (space.clear(), space.update(kept)))
            run(self.old, node, space)
            if not isinstance(node, DEFINITIONS + (ast.ClassDef,)) or node.decorator_list:
                text = ast.get_source_segment(self.new.source.decode("utf-8", "replace"), node) or ""
                self.executed.append({"file": self.new.path, "line": node.lineno, "text": text.split("\n")[0][:200]})
        for name in self.gone:
            if name in space:
                undo.append(lambda name=name, value=space.pop(name): space.__setitem__(name, value))
                self.removed.append(name)

    def _update(self, old, twin, node, space, undo):
        """A class keeps its identity: instances that live are of the edited class."""
        local = {}
        run(self.old, node, space, local)
        new = local[node.name]
        if not isinstance(old, type):
            return put(space, node.name, new, undo)
        same = {ast.dump(one) for one in twin.body}
        values = vars(new)
        for one in node.body:
            if ast.dump(one) in same:
                continue
            for name in bound(one):
                value, before = values.get(name), vars(old).get(name)
                inner = getattr(value, "__func__", value)
                held = getattr(before, "__func__", before)
                if type(value) is type(before) and isinstance(inner, types.FunctionType) and isinstance(held, types.FunctionType):
                    if inner.__code__.co_freevars == held.__code__.co_freevars:
                        become(held, inner, undo)
                        continue
                for cell, free in zip(getattr(inner, "__closure__", None) or (), getattr(inner, "__code__", None).co_freevars if getattr(inner, "__closure__", None) else ()):
                    if free == "__class__":
                        cell.cell_contents = old
                assign(old, name, value, undo)
        after = {name for one in node.body for name in bound(one)}
        for name in {name for one in twin.body for name in bound(one)} - after:
            if name in vars(old):
                undo.append(lambda name=name, value=vars(old)[name]: setattr(old, name, value))
                delattr(old, name)
        self.patched.append(node.name)


def head(node):
    """Of a definition, what is evaluated where it stands."""
    if isinstance(node, ast.ClassDef):
        return [ast.dump(one) for one in node.bases + node.keywords + node.decorator_list]
    returns = [] if node.returns is None else [node.returns]
    return [ast.dump(one) for one in [node.args] + node.decorator_list + returns]


def bound(node):
    """Names that a statement binds where it stands."""
    if isinstance(node, DEFINITIONS + (ast.ClassDef,)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [leaf.id for one in targets if one is not None for leaf in ast.walk(one) if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store)]


def become(old, new, undo):
    """A function gets everything of another one, and stays itself."""
    for name in ("__code__", "__defaults__", "__kwdefaults__", "__doc__"):
        assign(old, name, getattr(new, name), undo)
    # From 3.14 on annotations are evaluated when they are asked for, which they are not here: they may name what is not there yet.
    if getattr(new, "__annotate__", None) is not None:
        return assign(old, "__annotate__", new.__annotate__, undo)
    if getattr(old, "__annotate__", None) is None:
        return assign(old, "__annotations__", new.__annotations__, undo)
    undo.append(lambda before=old.__annotate__: setattr(old, "__annotate__", before))
    old.__annotations__ = new.__annotations__


def assign(thing, name, value, undo):
    had = name in vars(thing) if isinstance(thing, type) else True
    before = (vars(thing)[name] if had else None) if isinstance(thing, type) else getattr(thing, name)
    undo.append(lambda: setattr(thing, name, before) if had else delattr(thing, name))
    setattr(thing, name, value)


def put(space, name, value, undo):
    if name in space:
        undo.append(lambda before=space[name]: space.__setitem__(name, before))
    else:
        undo.append(lambda: space.pop(name, None))
    space[name] = value


def code_by_name(code):
    """Code objects by qualified name, where that is clear."""
    found, queue = {}, [code]
    for one in queue:
        for inner in one.co_consts:
            if isinstance(inner, types.CodeType):
                queue.append(inner)
                found.setdefault(inner.co_qualname, []).append(inner)
    return {name: codes[0] for name, codes in found.items() if len(codes) == 1}


def functions_of(project, path):
    """Functions whose code is in a file, as far as they can be reached from the project's modules."""
    found, seen = [], set()
    queue = [(unit.module.__dict__, 0) for unit in project.units.values() if unit.module is not None]
    for thing, depth in queue:
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        kind = type(thing)
        if kind is types.FunctionType:
            if thing.__code__.co_filename == path:
                found.append(thing)
            for cell in thing.__closure__ or ():
                try:
                    queue.append((cell.cell_contents, depth + 1))
                except ValueError:
                    pass
            queue += [(one, depth + 1) for one in vars(thing).values()]
        elif kind is types.MethodType or kind in (staticmethod, classmethod):
            queue.append((thing.__func__, depth))
        elif kind is property:
            queue += [(one, depth) for one in (thing.fget, thing.fset, thing.fdel)]
        elif kind is functools.partial:
            queue.append((thing.func, depth))
        elif isinstance(thing, type):
            if (getattr(sys.modules.get(thing.__module__), "__file__", None) or "") in project.units:
                queue += [(one, depth) for one in list(vars(thing).values())]
        elif depth > DEEPEST:
            continue
        elif kind is dict:
            if len(thing) <= WIDEST or depth == 0:
                queue += [(one, depth + 1) for one in list(thing.values())]
        elif kind in (list, tuple, set, frozenset):
            if len(thing) <= WIDEST:
                queue += [(one, depth + 1) for one in list(thing)]
        elif kind.__module__ == "functools" or (getattr(sys.modules.get(kind.__module__), "__file__", None) or "") in project.units:
            queue += [(one, depth + 1) for one in list(getattr(thing, "__dict__", {}).values())]
    return found
