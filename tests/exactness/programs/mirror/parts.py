"""Parts that are looked at."""
import functools
scale = 3  # the third line


def helper(value):
    """Helps."""
    return value * scale


class Thing:
    """A thing."""

    size: int = 1
    tag = "t"

    def __init__(self, name):
        self.name = name

    @property
    def area(self):
        return self.size**2

    def grow(self, by: "int" = 1) -> "Thing":
        """Makes it larger."""
        self.size += by
        return self


def numbers(limit):
    for number in range(limit):
        doubled = number * 2
        yield doubled


def broken(value):
    def inner():
        return scale / value

    return functools.reduce(lambda a, b: a + b, [inner()])


def late(first, second=4):
    return first + second
