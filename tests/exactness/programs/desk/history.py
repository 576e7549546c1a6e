import copy
import functools


class History:
    def __init__(self, limit=10):
        self.limit = limit
        self.steps = []

    def push(self, name, book):
        self.steps.append((name, copy.deepcopy(book)))
        del self.steps[: -self.limit]

    def undo(self, desk):
        name, desk.book = self.steps.pop()
        return name

    def __str__(self):
        return f"{len(self.steps)} steps: {[name for name, _ in self.steps]}"


def recorded(method):
    @functools.wraps(method)
    def wrapper(self, line):
        self.history.push(method.__name__.partition("_")[2], self.book)
        return method(self, line)

    return wrapper
