"""Many trees, each grown on its own random draw of the days."""

import random
from dataclasses import dataclass

from rain import tree

FEATURES_PER_FORK = 4


@dataclass
class Forest:
    trees: list

    @property
    def leaves(self):
        return sum(one.leaves for one in self.trees)

    def probability(self, values):
        return sum(tree.probability(one, values) for one in self.trees) / len(self.trees)


def train(samples, trees, seed):
    chance = random.Random(seed)
    return Forest([tree.grow(draw(samples, chance), chance, FEATURES_PER_FORK) for _ in range(trees)])


def draw(samples, chance):
    return chance.choices(samples, k=len(samples))
