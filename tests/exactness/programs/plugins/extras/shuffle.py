import random
from core import Plugin, on

_random = random.Random("shuffle")


class Shuffle(Plugin, depth=3):
    """Letters in another order."""

    def step(self, word):
        letters = list(word)
        for _ in range(500):
            _random.shuffle(letters)
        return "".join(letters)


@on("stop", once=True)
def stopped():
    return Shuffle.__doc__
