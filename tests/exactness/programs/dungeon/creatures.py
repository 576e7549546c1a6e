import json
from dataclasses import dataclass, field
from functools import total_ordering
from types import SimpleNamespace


@total_ordering
@dataclass(eq=False)
class Creature:
    name: str
    hp: int
    attack: int = 3
    place: tuple = field(default=(0, 0), repr=False)

    def __eq__(self, other):
        return (self.hp, self.attack) == (other.hp, other.attack)

    def __lt__(self, other):
        return (self.hp, self.attack) < (other.hp, other.attack)

    def __str__(self):
        return f"{self.name}({self.hp})"


class Hero(Creature):
    RESTED = 5

    def __init__(self, name, hp):
        super().__init__(name, hp, attack=6)
        self.most = hp
        self.victims = []

    def fight(self, other, random):
        while self.hp > 0 and other.hp > 0:
            other.hp -= random.randint(1, self.attack)
            if other.hp > 0:
                self.hp -= random.randint(0, other.attack)
        self.victims.append(other.name)
        return self.hp > 0

    def rest(self):
        self.hp = min(self.most, max(self.hp, 0) + self.RESTED)


def load(path):
    with open(path) as stream:
        return json.load(stream, object_hook=lambda values: SimpleNamespace(**values))


def monster_stream(kinds, random):
    weights = [1 / kind.hp for kind in kinds]
    level = 0
    while True:
        kind = random.choices(kinds, weights)[0]
        yield Creature(kind.name, kind.hp + level // 3, kind.attack)
        level += 1
