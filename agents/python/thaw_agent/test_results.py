"""Where the tests stand that fail: what pytest and unittest learn of a test's exception, told as of one that ends the program."""
import sys

from . import diagnosis
from .layout import hide, hide_module
from .state import S


def _pytest(module):
    """`from_item_and_call` makes the report of one phase of a test; what was expected to fail is known only afterwards."""
    cls = module.TestReport
    original = cls.__dict__["from_item_and_call"].__func__

    def from_item_and_call(cls, item, call):
        report = original(cls, item, call)
        if S.diagnose and report.outcome == "failed" and call.excinfo is not None:
            diagnosis.failed_test(report.nodeid, call.excinfo.value)
        return report

    _stand_in(original, from_item_and_call)
    cls.from_item_and_call = classmethod(from_item_and_call)


def _unittest(module):
    for name in ("addError", "addFailure"):
        _note(module.TestResult, name)


def _note(cls, name):
    original = cls.__dict__[name]

    def add(self, test, err):
        if S.diagnose and err[1] is not None:
            case = sys.modules["unittest.case"].TestCase
            # By the name that its runner shows, unless that is the program's own.
            if isinstance(test, case) and type(test).__str__ is case.__str__:
                diagnosis.failed_test(case.__str__(test), err[1])
        return original(self, test, err)

    _stand_in(original, add)
    setattr(cls, name, add)


def _stand_in(original, wrapper):
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(wrapper, name, getattr(original, name))
    hide(wrapper.__code__)


ADAPT = {"_pytest.reports": _pytest, "unittest.result": _unittest}


def adapt(module):
    """Prerequisite: the module is one of ADAPT, and has just been executed."""
    try:
        ADAPT[module.__name__](module)
    except (AttributeError, KeyError):
        # A version that is not known: nothing is told of its tests.
        pass


hide_module(globals())
