"""What a program that fails, or hangs, is asked: where each of its frames stands and what the variables there hold. Only in
branches that were started with that wish. Nothing of the program's runs for it: of objects that are not made of built-in types
only the type is told."""
import faulthandler
import sys

from . import loader
from .layout import hide_module
from .state import S

FRAMES, EXCEPTIONS, TESTS = 48, 4, 20
NAMES, ITEMS, TEXT, DEPTH = 40, 12, 400, 3
# Bytes of all values together.
BUDGET = 96 * 1024

SCALARS = (int, float, complex, bool, type(None), type(...), range)
MODULES = type(sys)
CODE = (type(lambda: 0), type(len), MODULES, type)


class _Text:
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


def _frame(frame, line, text):
    code = frame.f_code
    project = loader.classify(code.co_filename) == "project"
    shown = _locals(frame, text) if project else {}
    name = getattr(code, "co_qualname", code.co_name)
    return {"file": code.co_filename, "line": line or 0, "function": name, "project": project, "locals": shown}


def _bounded(frames):
    """The outermost and the innermost ones: between them a recursion repeats itself."""
    return frames if len(frames) <= FRAMES else frames[: FRAMES // 3] + frames[-(FRAMES - FRAMES // 3):]


def _traced(error, text):
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    # The innermost first: they matter most when the budget is short.
    frames = [_frame(frame, line, text) for frame, line in reversed(_bounded(places))]
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else "%s.%s" % (kind.__module__, kind.__qualname__)
    return {"type": name, "message": _said(error), "frames": frames[::-1]}


def failed(error):
    """The program is about to end with this exception."""
    if not S.diagnose or S.inert or S.wire is None:
        return
    if isinstance(error, KeyboardInterrupt) or isinstance(error, SystemExit) and error.code in (None, 0):
        return
    S.busy += 1
    try:
        chain = _chain(error, _Text())
        S.flush()
        S.wire.send({"t": "failure", "kind": "exit" if isinstance(error, SystemExit) else "exception", "exceptions": chain})
    except Exception as why:
        # A program that fails must fail as it would without us.
        S.wire.send({"t": "failure", "kind": "exception", "exceptions": [{"type": type(error).__name__, "message": "not told: %s" % why, "frames": []}]})
    finally:
        S.busy -= 1


def failed_test(name, error):
    """A test has failed, and the program goes on."""
    global _tests
    if S.inert or S.wire is None or _tests == TESTS or _of_tests.left <= 0:
        return
    S.busy += 1
    try:
        _tests += 1
        chain = _chain(error, _of_tests)
        S.flush()
        S.wire.send({"t": "failure", "kind": "test", "test": name, "exceptions": chain})
    except Exception:
        # It is told by its runner all the same.
        pass
    finally:
        S.busy -= 1


def _chain(error, text):
    """An exception, then what it came from."""
    chain = []
    while error is not None and len(chain) < EXCEPTIONS:
        chain.append(_traced(error, text))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def standing(frame):
    """The daemon asks where a program is that does not end."""
    text, places = _Text(), []
    while frame is not None:
        places.insert(0, (frame, frame.f_lineno))
        frame = frame.f_back
    frames = [_frame(where, line, text) for where, line in reversed(_bounded(places))]
    S.flush()
    S.wire.send({"t": "failure", "kind": "standing", "exceptions": [{"type": "", "message": "", "frames": frames[::-1]}]})


_ours = False
# Of all tests of this process together.
_tests, _of_tests = 0, _Text()


def begin(wanted):
    """In a restored process: whether this branch is one that is asked. Where a signal ends it, the interpreter writes its stack
    on the line to the daemon, unless the program has other plans for that."""
    global _ours
    S.diagnose = wanted
    if faulthandler.is_enabled() and not _ours:
        return
    if wanted and S.wire.fd >= 0:
        faulthandler.enable(file=S.wire.fd, all_threads=False)
        _ours = True
    elif _ours:
        faulthandler.disable()
        _ours = False


hide_module(globals())
