"""Units of weight, and how they convert."""
import math
from decimal import Decimal

GRAM = 1
KILOGRAM = 1000
TONNE = 1000 * KILOGRAM
NAMES = ("gram", "kilogram", "tonne")


def convert(amount, unit):
    return Decimal(amount) * unit


for _name in NAMES:
    longest = max(_name, NAMES[0], key=len)


def rounded(value, digits=2):
    return round(float(value), digits)


class Scale:
    step = 5

    def __init__(self, limit):
        self.limit = limit

    def fits(self, weight):
        return weight <= self.limit

    def steps(self, weight):
        return math.ceil(weight / self.step)


def unused_unit():
    return "stone"


DEFAULT = Scale(40)
if DEFAULT.limit > 30:
    HEAVY = True
try:
    LIMITS = {name: DEFAULT.limit * i for i, name in enumerate(NAMES)}
finally:
    CHECKED = True
