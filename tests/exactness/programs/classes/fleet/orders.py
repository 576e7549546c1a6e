from dataclasses import dataclass, field
from functools import total_ordering


@dataclass(frozen=True)
class Route:
    name: str
    length: int
    toll: int = 0

    def hours(self, speed):
        return self.length / max(1, speed)


@total_ordering
@dataclass(eq=False)
class Job:
    number: int
    load: int
    route: Route
    weight: float = 1.5
    notes: list = field(default_factory=list)

    def __eq__(self, other):
        return self.key() == other.key()

    def __lt__(self, other):
        return self.key() < other.key()

    def key(self):
        return (-self.load * self.weight, self.number)

    def strand(self):
        self.notes.append("stranded")


class Ledger:
    __slots__ = ("entries", "total")

    def __init__(self):
        self.entries = []
        self.total = 0.0

    def add(self, job, vehicle, cost):
        self.entries.append((job.number, vehicle.name, round(cost, 2)))
        self.total += cost

    def __len__(self):
        return len(self.entries)

    def __iter__(self):
        return iter(sorted(self.entries))
