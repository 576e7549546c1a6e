import importlib

LAZY = "not so lazy"
_lazy = {"answer": "extras.numbers"}


def __getattr__(name):
    if name in _lazy:
        return getattr(importlib.import_module(_lazy[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_lazy])
