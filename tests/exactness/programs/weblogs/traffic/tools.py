"""Helpers of all stages."""

import functools
import math
from collections import OrderedDict

STAGES = OrderedDict()


def stage(name):
    """Registers a stage and prints how many records it gave."""

    def decorate(function):
        @functools.wraps(function)
        def counted(*args, **options):
            result = function(*args, **options)
            size = len(result) if hasattr(result, "__len__") else 1
            STAGES[name] = STAGES.get(name, 0) + size
            print(f"[{name}] {size}")
            return result

        return counted

    return decorate


def cached(size):
    """The last `size` results of a function of one argument."""

    def decorate(function):
        known = OrderedDict()

        @functools.wraps(function)
        def look(key):
            if key in known:
                known.move_to_end(key)
                return known[key]
            value = function(key)
            known[key] = value
            if len(known) > size:
                known.popitem(last=False)
            return value

        look.known = known
        return look

    return decorate


def grouped(records, key):
    groups = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def percentile(ordered, share):
    """Linear between neighbours, of a sorted list."""
    if not ordered:
        return math.nan
    place = (len(ordered) - 1) * share / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def human(size):
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            break
        size /= 1000
    return f"{size:.1f} {unit}"
