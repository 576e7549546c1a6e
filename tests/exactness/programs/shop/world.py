"""An event simulation: generators, coroutines, context managers alive all the time."""
import heapq
import itertools
import random
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from functools import cached_property, lru_cache, partial, singledispatchmethod, total_ordering


class Mood(Enum):
    CALM = 0
    BUSY = 1
    IDLE = CALM

    @classmethod
    def _missing_(cls, value):
        return cls.BUSY


class Access(Flag):
    READ = auto()
    WRITE = auto()
    BOTH = READ | WRITE


@total_ordering
@dataclass(eq=False)
class Event:
    time: float
    action: object = field(repr=False)
    number: int = field(default_factory=itertools.count().__next__)

    def __lt__(self, other):
        return (self.time, self.number) < (other.time, other.number)


class Clock:
    def __init__(self, seed):
        self.now = 0.0
        self.rng = random.Random(seed)
        self.queue = []
        self.log = []

    def after(self, delay, action):
        heapq.heappush(self.queue, Event(self.now + delay, action))

    def run(self, until):
        while self.queue and self.queue[0].time <= until:
            event = heapq.heappop(self.queue)
            self.now = event.time
            try:
                delay = event.action.send(None)
            except StopIteration as stop:
                self.log.append((round(self.now, 3), stop.value))
            else:
                self.after(delay, event.action)

    @singledispatchmethod
    def tell(self, thing):
        return f"thing {thing}"

    @tell.register
    def _(self, thing: int):
        return f"number {thing}"

    @tell.register(list)
    def _(self, thing):
        return f"list of {len(thing)}"


def customer(clock, name, shop):
    yield clock.rng.expovariate(1 / 5)
    with shop.queueing(name):
        while shop.full:
            yield 1
        shop.inside += 1
    yield from shopping(clock, name, clock.rng.randint(1, 4))
    shop.inside -= 1
    return f"{name} left, {shop.inside} inside"


def shopping(clock, name, things):
    for thing in range(things):
        yield clock.rng.uniform(1, 3)
        clock.log.append((round(clock.now, 3), clock.tell(thing if thing % 2 else [name] * thing)))


class Shop:
    capacity = 3

    def __init__(self):
        self.inside = 0
        self.waiting = []

    @property
    def full(self):
        return self.inside >= self.capacity

    @contextmanager
    def queueing(self, name):
        self.waiting.append(name)
        try:
            yield
        finally:
            self.waiting.remove(name)

    @cached_property
    def sign(self):
        return f"at most {self.capacity}"


@lru_cache(maxsize=128)
def weight(n):
    return n if n < 2 else weight(n - 1) + weight(n - 2)


def grind(n=300000):
    total = 0
    for i in range(n):
        total = (total * 13 + i) % 99991
    return total


def averages():
    total = count = 0
    value = None
    while True:
        value = yield total / count if count else 0
        total += value
        count += 1


async def ticker(n):
    for i in range(n):
        await Sleep(i)
    return n


class Sleep:
    def __init__(self, n):
        self.n = n

    def __await__(self):
        got = yield self.n
        return got
