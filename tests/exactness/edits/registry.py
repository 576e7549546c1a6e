"""The table of kinds: every kind of edit is a function (project, random) -> Edit or None."""

KINDS = {}


class Edit:
    """What one edit does: path -> new bytes (None: removed); `touched` paths get a new time only."""

    def __init__(self, what, changes, touched=()):
        self.what = what
        self.changes = changes
        self.touched = list(touched)


def kind(name, weight=1.0, compiles=True):
    """Registers a kind. `compiles` False: the edit is meant to break the syntax."""

    def register(function):
        if name in KINDS:
            raise ValueError(f"two kinds are called {name}")
        KINDS[name] = (function, weight, compiles)
        return function

    return register


def shuffled(random, items):
    items = list(items)
    random.shuffle(items)
    return items
