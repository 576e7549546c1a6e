"""Takes settings and members by names that stand elsewhere."""
import importlib
import re
import warnings


def work(rounds=30000):
    total = 0
    for step in range(rounds):
        total += step * step % 7
    return total


class Config(dict):
    def from_object(self, name):
        found = importlib.import_module(name)
        for key in dir(found):
            if key.isupper():
                self[key] = getattr(found, key)
        return found.helper()

    def shown(self):
        return " ".join(f"{key}={self[key]!r}" for key in sorted(self))


class Order:
    currency = "EUR"
    price = 12

    def __init__(self, customer, quantity):
        self.customer, self.quantity = customer, quantity

    def total(self):
        return self.price * self.quantity

    def refund(self):
        return -self.total()


class Lines:
    """A file to those who print into it, a mapping to those who ask for keys."""

    def __init__(self):
        self.kept = []

    def write(self, text):
        self.kept.append(text)

    def keys(self):
        return ["first", "last"]

    def __getitem__(self, key):
        return self.kept[0 if key == "first" else -1]


def fill(template, order):
    return template.format(order=order)


def reach(template, order):
    return re.sub(r"@(\w+)", lambda found: str(getattr(order, found.group(1), "-")), template)


def inject(module, values):
    for key, value in values.items():
        setattr(module, key, value)


def careful(text):
    warnings.warn(text, stacklevel=2)
