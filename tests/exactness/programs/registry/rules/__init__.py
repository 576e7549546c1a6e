"""Every module beside this one is loaded, in order of name."""

import importlib
import os


def load_all():
    names = sorted(entry[:-3] for entry in os.listdir(os.path.dirname(__file__)) if entry.endswith(".py"))
    loaded = []
    for name in names:
        if name != "__init__":
            loaded.append(importlib.import_module(f"{__name__}.{name}"))
    return [module.__name__ for module in loaded]
