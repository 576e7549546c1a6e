"""Generators that feed one another."""

from contextlib import contextmanager

LIMIT = 950


def lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                yield line.strip()


def parse(source):
    for line in source:
        sensor, value = line.split()
        yield sensor, int(value)


def within(source, limit=LIMIT):
    dropped = 0
    for sensor, value in source:
        if value > limit:
            dropped += 1
            continue
        yield sensor, value
    print("dropped", dropped)


def windows(source, size=4):
    window = []
    for item in source:
        window.append(item)
        if len(window) == size:
            yield tuple(window)
            window.pop(0)


def averages():
    """A coroutine in the old style: send values, receive the running mean."""
    total, count, mean = 0, 0, None
    while True:
        value = yield mean
        total += value
        count += 1
        mean = total / count


def flatten(nested):
    for item in nested:
        if isinstance(item, (list, tuple)):
            yield from flatten(item)
        else:
            yield item


@contextmanager
def stage(name):
    print("begin", name)
    try:
        yield name.upper()
    finally:
        print("end", name)
