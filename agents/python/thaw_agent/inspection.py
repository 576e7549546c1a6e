"""A program that looks at code, frames and line numbers, its own or another's: what it saw must still be so."""
import sys
import warnings

from .arming import disarm_all
from .layout import FunctionType, hide, hide_module
from .state import S
from .traps import FILE, UNIT, trap_of

getframe = sys._getframe

# Who reads a function's __code__ for its parameters only: these belong to the statement that defines it.
HEADER_ONLY = {
    "_signature_from_function", "_signature_from_callable", "_signature_is_functionlike", "_has_code_flag", "iscoroutinefunction",
    "isgeneratorfunction", "isasyncgenfunction", "unwrap", "isfunction", "ismethod", "_is_wrapper", "getfullargspec", "update_wrapper",
    "_get_globals", "_has_coroutine_mark", "_inspect_func",
}
# Who asks for a frame only to learn a module's name.
NAME_ONLY = {
    ("namedtuple", "collections/__init__.py"), ("_caller", "typing.py"), ("__init__", "typing.py"), ("_create_", "enum.py"),
    ("__call__", "enum.py"), ("__set_name__", "enum.py"), ("NewType", "typing.py"), ("_make_nmtuple", "typing.py"), ("__new__", "typing.py"),
    ("TypedDict", "typing.py"), ("NamedTuple", "typing.py"), ("_find_caller_module", "abc.py"), ("make_dataclass", "dataclasses.py"),
    ("_currentframe", "warnings.py"),
}


def unit_of(code):
    """(file, unit) of project code, or None."""
    trap = trap_of(code)
    return (trap[FILE], trap[UNIT]) if trap is not None else None


def _asks_for_line(code):
    """pytest looks up where a test begins, and keeps nothing else of its code."""
    if code.co_name != "getrawcode" or not code.co_filename.endswith("/_pytest/_code/source.py"):
        return False
    # getrawcode, from_function, and who wants to know.
    frame = getframe(3)
    return frame.f_code.co_name == "getfslineno"


_starts = set()


def on_attribute(args):
    subject, name = args[0], args[1]
    if name == "__code__":
        if type(subject) is not FunctionType:
            return
        unit = unit_of(subject.__code__)
        if unit is None:
            return
        caller = getframe(1).f_code
        if caller.co_name in HEADER_ONLY and caller.co_filename.endswith(("inspect.py", "functools.py", "coroutines.py")):
            return
        if _asks_for_line(caller):
            if unit not in _starts:
                _starts.add(unit)
                S.event("start", *unit)
            return
        if id(subject.__code__) in S.edited:
            subject.__code__ = S.edited[id(subject.__code__)]
        S.event("code", *unit)
    elif name == "tb_frame" or name.endswith("_frame"):
        frame = getattr(subject, name, None)
        if frame is not None:
            line_seen(frame)


_lines = set()


def line_seen(frame):
    """The position of a frame was observed."""
    code = frame.f_code
    unit = unit_of(code)
    if unit is None:
        # A class body, lambda or comprehension: it belongs to the unit around it.
        unit = (code.co_filename, MODULE_LINES) if code.co_filename in S.files else None
    if unit is not None and unit not in _lines:
        _lines.add(unit)
        S.event("line", *unit)


MODULE_LINES = "*"


def on_getframe(args):
    frame = getframe(1)
    code = frame.f_code
    for name, file in NAME_ONLY:
        if code.co_name == name and code.co_filename.endswith(file):
            return
    # A log record takes the first line outside logging itself.
    logging = code.co_filename if code.co_filename.endswith("logging/__init__.py") else None
    while frame is not None:
        if frame.f_code.co_filename != logging:
            line_seen(frame)
            if logging is not None:
                return
        frame = frame.f_back


def wrap_shown_warnings():
    """A warning that is shown tells the line it comes from, and is shown once a line."""
    original = warnings._showwarnmsg

    def shown(message):
        if not S.busy and not S.inert and message.filename in S.files:
            S.busy += 1
            try:
                frame = getframe(1)
                while frame is not None and (frame.f_code.co_filename, frame.f_lineno) != (message.filename, message.lineno):
                    frame = frame.f_back
                if frame is not None:
                    line_seen(frame)
                elif (message.filename, MODULE_LINES) not in _lines:
                    _lines.add((message.filename, MODULE_LINES))
                    S.event("line", message.filename, MODULE_LINES)
            finally:
                S.busy -= 1
        original(message)

    shown.__name__ = shown.__qualname__ = "_showwarnmsg"
    shown.__module__ = "warnings"
    hide(shown.__code__)
    warnings._showwarnmsg = shown


def on_watcher(what):
    """Somebody else wants to see every step: what the agent does would show, and what it may do would not be known."""

    def handler(args):
        if getframe(1).f_code.co_filename.endswith("threading.py"):
            return
        give_up(what)
        disarm_all()

    return handler


def give_up(why):
    """From here on nothing is known of what the program does."""
    S.event("opaque", why)
    S.opaque = True


HANDLERS = {
    "object.__getattr__": on_attribute,
    "sys._getframe": on_getframe,
    "sys.settrace": on_watcher("a tracer was installed"),
    "sys.setprofile": on_watcher("a profiler was installed"),
    "sys.monitoring.register_callback": on_watcher("a monitoring tool was installed"),
    "sys.addaudithook": on_watcher("an audit hook was installed"),
    # From 3.14 on another process may have a script run in this one.
    "cpython.remote_debugger_script": lambda args: give_up("a debugger ran a script in the program"),
}
for _handler in HANDLERS.values():
    hide(_handler.__code__)
hide_module(globals())
