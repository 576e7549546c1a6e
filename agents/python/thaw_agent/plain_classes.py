"""Class statements that do nothing but make a class, so that making it later makes the same."""
import abc
import ast
import builtins
import copy
import enum

from . import values

DECORATORS = {"dataclasses.dataclass", "enum.unique", "functools.total_ordering", "typing.final"}
OF_METHODS = {
    "abc.abstractmethod", "functools.cached_property", "functools.cache", "functools.lru_cache", "contextlib.contextmanager",
    "typing.override", "typing.overload", "typing.final",
}
BUILTIN_OF_METHODS = {"property", "staticmethod", "classmethod"}
ACCESSORS = {"setter", "getter", "deleter"}
# They are no classes, but make one.
SPECIAL_BASES = {"typing.NamedTuple", "typing.TypedDict"}
# Metaclasses that look at nothing but the class they make.
METACLASSES = (type, abc.ABCMeta, enum.EnumMeta)


def plain(node, names):
    """Whether a class statement has no side, and gives the same whenever it runs."""
    if getattr(node, "type_params", None) or not all(_decorator(d, names) for d in node.decorator_list):
        return False
    if not all(_base(b, names) for b in node.bases) or not all(_keyword(k, names) for k in node.keywords):
        return False
    if _is_enumeration(node, names) and not all(_of_enumeration(m) for m in node.body):
        return False
    own = values.times_bound(ast.Module(node.body, []))
    # What a name means in the body of a class may depend on what stands above it there.
    if any(isinstance(n, ast.Name) and n.id in own for part in _evaluated(node) for n in ast.walk(part)):
        return False
    return all(_member(m, names, own) for m in node.body) and values.evaluates(node, names)


def _is_enumeration(node, names):
    for base in node.bases:
        dotted = names.dotted(base)
        if dotted and type(values.library(*dotted.rpartition(".")[::2])) is enum.EnumMeta:
            return True
    return False


def _of_enumeration(member):
    """Whether what an enumeration holds is no function that making it calls."""
    return not isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) or not member.name.startswith("_") or member.name in ("__str__", "__repr__")


def _decorator(node, names):
    if isinstance(node, ast.Call):
        settled = all(k.arg is not None and values.literal(k.value) for k in node.keywords)
        return names.dotted(node.func) == "dataclasses.dataclass" and not node.args and settled
    return names.dotted(node) in DECORATORS


def _base(node, names):
    definition = names.defined_class(node)
    if definition is not None:
        made = {"__init_subclass__", "__new__", "__init__"} if _is_enumeration(definition, names) else {"__init_subclass__"}
        return made.isdisjoint(values.times_bound(definition)) and plain(definition, names)
    if isinstance(node, ast.Name) and node.id not in names.bound:
        found = getattr(builtins, node.id, None)
        return isinstance(found, type) and type(found) is type
    dotted = names.dotted(node)
    if dotted in SPECIAL_BASES:
        return True
    found = values.library(*dotted.rpartition(".")[::2]) if dotted else None
    hooked = any("__init_subclass__" in vars(c) for c in getattr(found, "__mro__", ())[:-1]) and type(found) is not enum.EnumMeta
    return type(found) in METACLASSES and not hooked


def _keyword(node, names):
    if node.arg == "metaclass":
        return names.dotted(node.value) == "abc.ABCMeta"
    return node.arg == "total" and values.literal(node.value)


def _member(node, names, own):
    if isinstance(node, ast.Pass):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        return len(node.targets) == 1 and isinstance(target, ast.Name) and not target.id.startswith("_") and values.value(node.value, names)
    if isinstance(node, ast.AnnAssign):
        named = isinstance(node.target, ast.Name) and not node.target.id.startswith("_")
        noted = names.texts or values.annotation(node.annotation, names)
        return named and noted and (node.value is None or values.value(node.value, names))
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or getattr(node, "type_params", None):
        return False
    every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs + [a for a in (node.args.vararg, node.args.kwarg) if a]
    notes = [a.annotation for a in every] + [node.returns]
    defaults = [d for d in node.args.defaults + node.args.kw_defaults if d is not None]
    return (
        all(_of_method(d, names, own) for d in node.decorator_list)
        and (names.texts or all(values.annotation(note, names) for note in notes))
        and all(values.value(d, names) for d in defaults)
    )


def _of_method(node, names, own):
    if isinstance(node, ast.Attribute) and node.attr in ACCESSORS:
        return isinstance(node.value, ast.Name) and node.value.id in own
    if isinstance(node, ast.Call):
        settled = all(values.literal(a) for a in node.args) and all(k.arg is not None and values.literal(k.value) for k in node.keywords)
        return names.dotted(node.func) == "functools.lru_cache" and settled
    if isinstance(node, ast.Name) and node.id in BUILTIN_OF_METHODS:
        return node.id not in names.bound
    return names.dotted(node) in OF_METHODS


def _evaluated(node):
    """What the body of a class evaluates, accessors of its own properties left aside."""
    for member in node.body:
        if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from (d for d in member.decorator_list if not (isinstance(d, ast.Attribute) and d.attr in ACCESSORS))
            yield member.args
            if member.returns is not None:
                yield member.returns
        elif isinstance(member, ast.AnnAssign):
            yield member.annotation
            if member.value is not None:
                yield member.value
        elif isinstance(member, ast.Assign):
            yield member.value


def binding(node, names):
    """What a program needs to make the class; equal where nothing but bodies of methods differs."""
    shape = copy.deepcopy(node)
    for member in shape.body:
        if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(member, False)
            inner = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(member))
            uses = any(isinstance(n, ast.Name) and n.id in ("super", "__class__") for n in ast.walk(member))
            member.body = [ast.Constant((text, inner, uses))]
    made = {
        "bases": [ast.unparse(b) for b in node.bases],
        "keywords": {k.arg: ast.unparse(k.value) for k in node.keywords},
        "decorators": [ast.unparse(d) for d in node.decorator_list],
    }
    return {
        "name": node.name, "kind": "class", "shape": ast.dump(shape), "made": made, "reached": values.reached(node, names),
        "open": opened(node, names),
    }


def opened(node, names):
    """Whether members may come and go in the class while it stays: no metaclass, and no base but the program's own, looks at them."""
    own = [names.defined_class(base) for base in node.bases]
    return not node.decorator_list and not node.keywords and all(base is not None and opened(base, names) for base in own)
