"""A shop that loads its parts when they are needed."""

__version__ = "1.4"
__all__ = ["Order", "statistics"]

from .model import Order


def __getattr__(name):
    if name == "statistics":
        import importlib

        return importlib.import_module(".statistics", __name__)
    raise AttributeError(name)
