"""A decorator that remembers results."""
import functools


def remembered(function):
    known = {}

    @functools.wraps(function)
    def called(*args, **keywords):
        key = args, tuple(sorted(keywords.items()))
        if key not in known:
            known[key] = function(*args, **keywords)
        return known[key]

    return called


def rounded(function):
    @functools.wraps(function)
    def called(*args):
        return round(function(*args), 2)

    return called
