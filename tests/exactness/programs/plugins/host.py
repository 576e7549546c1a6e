import importlib
import importlib.metadata
import importlib.resources
import os
import pkgutil
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "site"))

import extras
from core import Plugin, registry, emit, handlers


def discover():
    names = []
    for info in pkgutil.iter_modules(extras.__path__, extras.__name__ + "."):
        if info.ispkg:
            continue
        module = importlib.import_module(info.name)
        names.append((info.name, getattr(module, "PRIORITY", 0)))
    return sorted(names, key=lambda pair: (-pair[1], pair[0]))


def external():
    for point in importlib.metadata.entry_points(group="host.plugins"):
        if not point.name.startswith("toy"):
            continue
        yield point.name, point.load()


def words():
    text = importlib.resources.files("extras.data").joinpath("words.txt").read_text()
    return text.split()


def never():
    return registry.clear()


def main():
    for name, priority in discover():
        print("module", name, priority)
    for name, loaded in external():
        print("external", name, loaded.__name__, loaded.label if hasattr(loaded, "label") else "-")
    for name, kind in sorted(registry.items()):
        plugin = kind(words())
        print(name, plugin.run(), plugin.settings)
    print(emit("start", 1), emit("stop"), emit("nothing"))
    print(extras.LAZY, extras.answer, "answer" in dir(extras))
    try:
        extras.missing
    except AttributeError as error:
        print(error)
    found = runpy.run_path(str(HERE / "script_config.py"), init_globals={"SCALE": 3})
    print({name: value for name, value in found.items() if name.isupper()})
    print(sorted(handlers), os.environ.get("HOST_LEVEL", "unset"))
    print([kind.__qualname__ for kind in Plugin.__subclasses__()])


if __name__ == "__main__":
    main()
