from .errors import NameFault


class Scope:
    """Names of one function; those of functions around it are reached by depth."""

    def __init__(self, outer=None, known=()):
        self.outer = outer
        self.names = {name: place for place, name in enumerate(known)}

    def define(self, name):
        return self.names.setdefault(name, len(self.names))

    def find(self, name, line):
        scope, depth = self, 0
        while scope is not None:
            if name in scope.names:
                return depth, scope.names[name]
            scope, depth = scope.outer, depth + 1
        raise NameFault(f"{name} is not defined", line)

    def __len__(self):
        return len(self.names)
