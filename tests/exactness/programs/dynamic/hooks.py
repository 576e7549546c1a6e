import importlib.abc
import importlib.util
import sys
from pathlib import Path


class ConfFinder(importlib.abc.MetaPathFinder):
    suffix = "_conf"

    def find_spec(self, name, path, target=None):
        if not name.endswith(self.suffix):
            return None
        file = Path(name.removesuffix(self.suffix) + ".conf")
        if not file.exists():
            return None
        return importlib.util.spec_from_loader(name, ConfLoader(file), origin=str(file))


class ConfLoader(importlib.abc.Loader):
    def __init__(self, file):
        self.file = file

    def exec_module(self, module):
        for line in self.file.read_text().splitlines():
            name, _, value = line.partition("=")
            setattr(module, name.strip(), convert(value.strip()))


def convert(value):
    if value in ("yes", "no"):
        return value == "yes"
    return int(value) if value.isdigit() else value


def install():
    sys.meta_path.append(ConfFinder())
    sys.path.append("parts-a")
    sys.path.append("parts-b")
