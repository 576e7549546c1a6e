"""What a program that fails, or hangs, is asked: where each of its frames stands and what the variables there hold. Only in
branches that were started with that wish. Nothing of the program's runs for it: of objects that are not made of built-in types
only the type is told."""
import faulthandler
import sys

from . import loader, telling
from .layout import hide_module
from .state import S
from .telling import Text

TESTS = 20


def _is_project(path):
    return loader.classify(path) == "project"


def failed(error):
    """The program is about to end with this exception."""
    if not S.diagnose or S.inert or S.wire is None:
        return
    if isinstance(error, KeyboardInterrupt) or isinstance(error, SystemExit) and error.code in (None, 0):
        return
    S.busy += 1
    try:
        chain = telling.chain(error, Text(), _is_project)
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
        chain = telling.chain(error, _of_tests, _is_project)
        S.flush()
        S.wire.send({"t": "failure", "kind": "test", "test": name, "exceptions": chain})
    except Exception:
        # It is told by its runner all the same.
        pass
    finally:
        S.busy -= 1


def standing(frame):
    """The daemon asks where a program is that does not end."""
    text, places = Text(), []
    while frame is not None:
        places.insert(0, (frame, frame.f_lineno))
        frame = frame.f_back
    frames = [telling.told(where, line, text, _is_project) for where, line in reversed(telling.bounded(places))]
    S.flush()
    S.wire.send({"t": "failure", "kind": "standing", "exceptions": [{"type": "", "message": "", "frames": frames[::-1]}]})


_ours = False
# Of all tests of this process together.
_tests, _of_tests = 0, Text()


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


hide_module(vars(telling))
hide_module(globals())
