import random
from dataclasses import dataclass

STEP = 0.5


@dataclass
class Walker:
    number: int
    x: float
    drift: float = 0.01

    def move(self):
        self.x += random.uniform(-STEP, STEP) + self.drift


def spread(walkers):
    mean = sum(walker.x for walker in walkers) / len(walkers)
    return sum((walker.x - mean) ** 2 for walker in walkers) / len(walkers)
