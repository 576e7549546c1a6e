import json
from functools import lru_cache, singledispatch

from hub import rule

with open("data/weights.json", encoding="utf-8") as _file:
    WEIGHTS = json.load(_file)


@lru_cache(maxsize=None)
def partitions(number, largest):
    if number == 0:
        return 1
    if largest == 0:
        return 0
    ways = partitions(number, largest - 1)
    if number >= largest:
        ways += partitions(number - largest, largest)
    return ways


@singledispatch
def weigh(value):
    return 0


@weigh.register
def _(value: int):
    return value % 5


@weigh.register
def _(value: str):
    return WEIGHTS.get(value, 2)


@rule("kind")
def by_kind(event):
    return sum(weigh(value) for value in event.values())


@rule("ways", priority=6)
def ways(event):
    return partitions(event["amount"] % 120, 60) % 11
