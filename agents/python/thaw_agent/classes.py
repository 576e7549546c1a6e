"""What classes are told of their place. From 3.13 on the body of a class begins by storing the line it stands on, and ends by
storing the attributes that its methods set: constants that change with edits elsewhere. They count as positions do, not as
code: an edit that only changes them is no edit of what has run, and a restored process gets them as they are now, unless
the program may have looked at them.
"""
import sys

from .bytecode import CONSTANTS, LOAD_CONST, LOAD_NAME, LOAD_NUMBER, SLOTS, STORE_NAME, STORES, VERSION, decode
from .layout import CodeType, hide_module, rewrite, slots_of
from .state import S
from .traps import MODULE, is_unit, nested, units_of

TOLD = VERSION >= (3, 13)
LINE, ATTRIBUTES = "__firstlineno__", "__static_attributes__"
# In the place of a unit: what the classes of a file are told.
CLASSES = "<classes>"
# Through these a program may come to see what is in a class.
LOOKS_INTO = {LINE, ATTRIBUTES, "__dict__", "vars", "dir", "locals", "getmembers", "getmembers_static"}


def is_class_body(code):
    """Whether code is the body of a class that is told its place."""
    return TOLD and not code.co_flags & 3 and LINE in code.co_names and code.co_name != MODULE


def loaded(code, op, arg):
    """What an instruction loads, where that is written in the code."""
    return code.co_consts[arg] if op == LOAD_CONST else arg if op == LOAD_NUMBER else None


def told(code):
    """Offsets of the instructions of a class body that load what it is told."""
    found, line_open, before = set(), True, None
    for _, offset, _, op, arg in decode(code.co_code):
        if op == STORE_NAME and before is not None and before[1] in (LOAD_CONST, LOAD_NUMBER):
            name, value = code.co_names[arg], loaded(code, *before[1:])
            if name == ATTRIBUTES or name == LINE and line_open and value == code.co_firstlineno:
                found.add(before[0])
                line_open = line_open and name != LINE
        before = (offset, op, arg)
    return found


def place(code):
    """(line, attributes) of a class body."""
    attributes = ()
    for _, offset, _, op, arg in decode(code.co_code):
        if op == STORE_NAME and code.co_names[arg] == ATTRIBUTES and before[1] == LOAD_CONST:
            attributes = code.co_consts[before[2]]
        before = (offset, op, arg)
    return code.co_firstlineno, attributes


def bodies(unit):
    """Class bodies that belong to a unit, in order: {(name, how many of this name came before): code}."""
    found, counts = {}, {}

    def walk(parent):
        for child in nested(parent):
            if not is_unit(child):
                if is_class_body(child):
                    count = counts[child.co_qualname] = counts.get(child.co_qualname, -1) + 1
                    found[child.co_qualname, count] = child
                walk(child)

    walk(unit)
    return found


def places(module):
    """What all classes of a file are told, to be compared with another version's."""
    return [(unit, key, line, sorted(told)) for unit, code in units_of(module).items() for key, body in bodies(code).items() for line, told in [place(body)]]


# ------------------------------------------------------------------ who may see it
def looks(code, frame):
    """Whether a unit that begins to run may look into classes."""
    if code.co_name in ("__prepare__", "__new__", "__init__") and _of_metaclass(code, frame):
        return True
    return _names_lookers(code)


def _names_lookers(code):
    names = set(code.co_names)
    if is_class_body(code):
        names -= {LINE, ATTRIBUTES}
        if any(bytes((LOAD_NAME, code.co_names.index(name) & 255)) in code.co_code for name in (LINE, ATTRIBUTES) if name in code.co_names):
            return True
    if not LOOKS_INTO.isdisjoint(names):
        return True
    for const in code.co_consts:
        if type(const) is str and const in LOOKS_INTO or type(const) is CodeType and not is_unit(const) and _names_lookers(const):
            return True
    return False


def _of_metaclass(code, frame):
    """A metaclass is given the names of a class when it makes one."""
    if code.co_name == "__prepare__":
        return True
    first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    kind = first if code.co_name == "__new__" else type(first)
    return issubclass(type(kind), type) and issubclass(kind, type)


def notice(code, frame):
    """A unit begins to run: from here on what classes are told counts as seen, where it may look at it."""
    if TOLD and not S.classes_seen and looks(code, frame):
        S.classes_seen = True
        for path in S.files:
            S.event("line", path, CLASSES)


def came(path):
    """A project file came in."""
    if S.classes_seen:
        S.event("line", path, CLASSES)


# ------------------------------------------------------------------ put in place after an edit
def _pairs(file, fresh, changed):
    """Class bodies that are told something else now: (old, new, whether they must do the same otherwise)."""
    for tree in file.trees if TOLD else ():
        for name, unit in units_of(tree).items():
            if name in fresh:
                theirs = bodies(fresh[name])
                for key, old in bodies(unit).items():
                    new = theirs.get(key)
                    if new is not None and place(old) != place(new):
                        yield old, new, name not in changed and id(unit) not in S.edited


def _alike(old, new):
    """Whether two class bodies differ in nothing but what they are told."""
    if old.co_names != new.co_names or len(old.co_code) != len(new.co_code):
        return False
    aside = told(old)
    if aside != told(new):
        return False
    for mine, theirs in zip(decode(old.co_code), decode(new.co_code)):
        if mine[:3] != theirs[:3]:
            return False
        if mine[1] in aside:
            continue
        if mine[3] != theirs[3]:
            return False
        if mine[3] in CONSTANTS:
            a, b = old.co_consts[mine[4]], new.co_consts[theirs[4]]
            if type(a) is not type(b) or (a.co_qualname != b.co_qualname if type(a) is CodeType else repr(a) != repr(b)):
                return False
        elif mine[4] != theirs[4]:
            return False
    return True


def refusal(file, fresh, changed):
    """Why classes cannot be told their new places in this process, or None."""
    moved = set()
    for old, new, same in _pairs(file, fresh, changed):
        if same and not _alike(old, new):
            return "the class %s moved, and its code with it" % old.co_qualname
        moved.add(id(old))
    frame = sys._getframe(1) if moved else None
    while frame is not None:
        code = frame.f_code
        if id(code) in moved or any(id(body) in moved and _being_made(code, body, frame.f_lasti) for body in nested(code)):
            return "a class that moved is being made"
        frame = frame.f_back
    return None


def _being_made(code, body, lasti):
    """Whether a frame is between the start of a class statement and the binding of its name."""
    begun = False
    for _, offset, _, op, arg in decode(code.co_code):
        if offset > lasti:
            break
        if op == LOAD_CONST and code.co_consts[arg] is body:
            begun = True
        elif begun and op in STORES:
            begun = (slots_of(code) if op in SLOTS else code.co_names)[arg] != body.co_name
    return begun


def relocate_classes(file, fresh, changed):
    """Prerequisite: `refusal` found nothing."""
    moves = {}
    for old, new, _ in _pairs(file, fresh, changed):
        moves.setdefault(old.co_firstlineno, {})[old.co_qualname] = place(new)
        if _alike(old, new):
            inner = iter(nested(old))
            rewrite(old, new.co_code, tuple(next(inner) if type(c) is CodeType else c for c in new.co_consts))
    if moves:
        modules = {names.get("__name__") for names in _modules() if names.get("__file__") == file.path}
        for cls in _classes():
            _move(cls, modules, moves)


def _modules():
    for module in list(sys.modules.values()):
        if issubclass(type(module), type(sys)):
            yield object.__getattribute__(module, "__dict__")


def _classes():
    todo, seen = [object], set()
    while todo:
        for cls in type.__subclasses__(todo.pop()):
            if id(cls) not in seen:
                seen.add(id(cls))
                todo.append(cls)
                yield cls


_names_of = type.__dict__["__dict__"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__


def _move(cls, modules, moves):
    names = _names_of(cls)
    line, module = names.get(LINE), names.get("__module__")
    if type(line) is not int or type(module) is not str or module not in modules:
        return
    found = moves.get(line, {}).get(_qualname_of(cls))
    if found is None:
        return
    line, attributes = found
    type.__setattr__(cls, LINE, line)
    if ATTRIBUTES in names:
        type.__setattr__(cls, ATTRIBUTES, attributes)


hide_module(globals())
