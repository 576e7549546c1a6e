"""Where a failing program stands and what its variables hold, as data. Nothing of the program's runs for it: of objects that are
not made of built-in types only the type is told."""
import sys

FRAMES, EXCEPTIONS = 48, 4
NAMES, ITEMS, TEXT, DEPTH = 40, 12, 400, 3
# Bytes of all values together.
BUDGET = 96 * 1024

SCALARS = (int, float, complex, bool, type(None), type(...), range)
MODULES = type(sys)
CODE = (type(lambda: 0), type(len), MODULES, type)


class Text:
    """Values as text, until the budget is used up."""

    def __init__(self):
        self.left = BUDGET

    def of(self, value):
        if self.left <= 0:
            return "..."
        text = show(value, DEPTH)
        if len(text) > TEXT:
            text = "%s... (%d characters)" % (text[:TEXT], len(text))
        self.left -= len(text)
        return text


def show(value, depth):
    kind = type(value)
    if kind in SCALARS:
        # The text of a very long number takes very long, or is refused.
        return "<int of %d bits>" % value.bit_length() if kind is int and value.bit_length() > 2000 else repr(value)
    if kind is str or kind is bytes:
        return repr(value) if len(value) <= TEXT else "%r... (%d)" % (value[:TEXT], len(value))
    if kind in (list, tuple, set, frozenset, dict):
        return _container(value, kind, depth)
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return "<numpy.ndarray %s %s>" % (value.shape, value.dtype)
    return _object(value, kind, depth)


def _container(value, kind, depth):
    if depth == 0:
        return "%s of %d" % (kind.__name__, len(value))
    shown = []
    for item in value:
        if len(shown) == ITEMS:
            shown.append("... (%d)" % len(value))
            break
        text = show(item, depth - 1)
        # Not by key: that may call code of the program's.
        shown.append(text)
    if kind is dict:
        values = [show(item, depth - 1) for item, _ in zip(value.values(), range(ITEMS))]
        shown = ["%s: %s" % pair for pair in zip(shown, values)] + shown[ITEMS:]
    left, right = {list: "[]", tuple: "()", dict: "{}"}.get(kind, ("%s({" % kind.__name__, "})"))
    return left + ", ".join(shown) + right


def _object(value, kind, depth):
    name = "%s.%s" % (kind.__module__, kind.__qualname__)
    try:
        fields = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        fields = None
    if depth == 0 or type(fields) is not dict or isinstance(value, CODE):
        return "<%s>" % name
    shown = ["%s=%s" % (key, show(item, depth - 1)) for (key, item), _ in zip(fields.items(), range(ITEMS)) if type(key) is str]
    return "<%s%s>" % (name, "".join(" " + text for text in shown))


def _said(error):
    """What an exception says, where that calls nothing of the program's."""
    kind = type(error)
    where = next(base for base in kind.__mro__ if "__str__" in vars(base))
    if where.__module__ == "builtins" and all(type(arg) in SCALARS + (str, bytes) for arg in error.args):
        text = str(error)
    else:
        text = ", ".join(show(arg, DEPTH) for arg in error.args)
    return text if len(text) <= 4 * TEXT else text[: 4 * TEXT] + "..."


def _locals(frame, text):
    found, module = {}, frame.f_code.co_name == "<module>"
    for name, value in list(frame.f_locals.items()):
        if type(name) is not str or len(found) == NAMES:
            continue
        if name.startswith("__") or module and isinstance(value, CODE):
            continue
        found[name] = text.of(value)
    return found


def told(frame, line, text, is_project):
    code = frame.f_code
    project = is_project(code.co_filename)
    shown = _locals(frame, text) if project else {}
    name = getattr(code, "co_qualname", code.co_name)
    return {"file": code.co_filename, "line": line or 0, "function": name, "project": project, "locals": shown}


def bounded(frames):
    """The outermost and the innermost ones: between them a recursion repeats itself."""
    return frames if len(frames) <= FRAMES else frames[: FRAMES // 3] + frames[-(FRAMES - FRAMES // 3):]


def _traced(error, text, is_project):
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    # The innermost first: they matter most when the budget is short.
    frames = [told(frame, line, text, is_project) for frame, line in reversed(bounded(places))]
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else "%s.%s" % (kind.__module__, kind.__qualname__)
    return {"type": name, "message": _said(error), "frames": frames[::-1]}


def chain(error, text, is_project):
    """An exception, then what it came from."""
    found = []
    while error is not None and len(found) < EXCEPTIONS:
        found.append(_traced(error, text, is_project))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found
