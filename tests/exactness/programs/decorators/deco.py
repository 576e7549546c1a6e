import functools
import inspect
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar

depth = ContextVar("depth", default=0)
TRACE = []


def traced(function=None, /, *, label=None):
    if function is None:
        return functools.partial(traced, label=label)

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        token = depth.set(depth.get() + 1)
        TRACE.append("  " * depth.get() + (label or function.__name__))
        try:
            return function(*args, **kwargs)
        finally:
            depth.reset(token)
    wrapper.calls = 0
    return wrapper


class retry:
    def __init__(self, times=2, on=(ValueError,)):
        self.times, self.on = times, on

    def __call__(self, function):
        @functools.wraps(function)
        def attempt(*args):
            for n in range(self.times):
                with suppress(*self.on):
                    return function(*args, n)
            return f"gave up after {self.times}"
        return attempt


def validated(cls):
    original = cls.__init__

    def __init__(self, *args, **kwargs):
        bound = inspect.signature(original).bind(self, *args, **kwargs)
        bound.apply_defaults()
        for name, kind in original.__annotations__.items():
            if not isinstance(bound.arguments[name], kind):
                raise TypeError(f"{cls.__name__}.{name} must be {kind.__name__}")
        original(self, *args, **kwargs)
    cls.__init__ = __init__
    return cls


def spin(n=90000):
    total = 0
    for i in range(n):
        total = (total * 11 + i) % 30011
    return total
