"""Times call-heavy code once everything in it has run before; prints seconds."""

import time


class Counter:
    def __init__(self):
        self.total = 0

    def add(self, n):
        self.total += n
        return self


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def count(rounds):
    counter = Counter()
    for n in range(rounds):
        counter.add(n)
    return counter.total


def work():
    return fibonacci(24) + count(60_000)


def timed():
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


for _ in range(5):
    timed()
times = sorted(timed() for _ in range(31))
print(times[len(times) // 2])
