"""Notices what modules are looked for, by whatever way, and changes those that need it right after they are executed."""
import sys

from . import lookers, observe, pytest_support, test_results
from .layout import hide, hide_module
from .state import S

ADAPT = {pytest_support.TARGET: pytest_support.adapt, **dict.fromkeys(lookers.METHODS, lookers.adapt),
         **dict.fromkeys(test_results.ADAPT, test_results.adapt)}


class Watch:
    """A finder that finds nothing of its own."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if S.inert:
            return None
        if not S.busy:
            observe.looked_for(name, path)
        adapt = ADAPT.get(name)
        if adapt is None:
            return None
        for finder in sys.meta_path:
            if finder is not Watch and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    break
        else:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            S.busy += 1
            try:
                adapt(module)
            finally:
                S.busy -= 1
            del spec.loader.exec_module

        hide(exec_module.__code__)
        spec.loader.exec_module = exec_module
        return spec


def install():
    sys.meta_path.insert(0, Watch)


hide(Watch.find_spec.__code__)
hide_module(globals())
