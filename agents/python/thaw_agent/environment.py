"""The environment variables that a program reads."""
import os

import _sha1

from .layout import hide_module
from .state import S


def shown(value):
    return None if value is None else os.fsdecode(value)


class Environment(dict):
    """os.environ's own dictionary, which notes what is read."""

    own = set()
    seen = set()
    everything = False
    # As the caller gave it, whatever the program or the interpreter made of it since.
    outer = {}

    def peek(self, key):
        value = dict.get(self, key)
        return shown(value)

    def note(self, key):
        if key not in Environment.seen and key not in Environment.own and not S.busy and not S.inert:
            S.busy += 1
            Environment.seen.add(key)
            S.event("env", shown(key), shown(Environment.outer.get(key)))
            S.busy -= 1

    def note_all(self):
        if not Environment.everything and not S.busy and not S.inert:
            S.busy += 1
            Environment.everything = True
            pairs = sorted(k + b"=" + v for k, v in Environment.outer.items())
            S.event("env", "*", _sha1.sha1(b"\0".join(pairs)).hexdigest())
            S.busy -= 1

    def __getitem__(self, key):
        self.note(key)
        return dict.__getitem__(self, key)

    def __contains__(self, key):
        self.note(key)
        return dict.__contains__(self, key)

    def get(self, key, default=None):
        self.note(key)
        return dict.get(self, key, default)

    def __setitem__(self, key, value):
        Environment.own.add(key)
        dict.__setitem__(self, key, value)

    def __delitem__(self, key):
        self.note(key)
        Environment.own.add(key)
        dict.__delitem__(self, key)

    def __len__(self):
        self.note_all()
        return dict.__len__(self)

    def __iter__(self):
        self.note_all()
        return dict.__iter__(self)

    def keys(self):
        self.note_all()
        return dict.keys(self)

    def values(self):
        self.note_all()
        return dict.values(self)

    def items(self):
        self.note_all()
        return dict.items(self)

    def copy(self):
        self.note_all()
        return dict(dict.items(self))


def install():
    """Put the watching dictionary below os.environ."""
    if type(os.environ._data) is not Environment:
        os.environ._data = os.environb._data = Environment(os.environ._data)
        with open("/proc/self/environ", "rb") as file:
            pairs = [entry.partition(b"=") for entry in file.read().split(b"\0") if b"=" in entry]
        Environment.outer.update((name, value) for name, _, value in pairs if name != b"THAW_AGENT")


hide_module(globals())
