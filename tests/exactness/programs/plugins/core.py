"""What plugins are made of."""
import functools
from collections import defaultdict

registry = {}
handlers = defaultdict(list)
DEFAULTS = {"depth": 2, "name": "plain"}


class Plugin:
    order = 0

    def __init_subclass__(cls, /, name=None, **settings):
        super().__init_subclass__()
        cls.settings = {**DEFAULTS, **settings}
        registry[name or cls.__name__.lower()] = cls

    def __init__(self, words):
        self.words = words

    def run(self):
        result = self.words
        for _ in range(self.settings["depth"]):
            result = [self.step(word) for word in result]
        return " ".join(result)[:60]

    def step(self, word):
        raise NotImplementedError


def on(event, *, once=False):
    def decorate(function):
        @functools.wraps(function)
        def called(*arguments):
            if once:
                handlers[event].remove(called)
            return function(*arguments)

        handlers[event].append(called)
        return called

    return decorate


def emit(event, *arguments):
    return [handler(*arguments) for handler in list(handlers.get(event, ()))]
