import json
from collections import Counter


class Shortage(Exception):
    def __init__(self, item, missing):
        super().__init__(f"{missing} of {item} missing")
        self.item = item
        self.missing = missing


class Depot:
    """What is in stock, and a journal of what came and went."""

    limit = 500

    def __init__(self, name, notify=None):
        self.name = name
        self.stock = Counter()
        self.journal = []
        self.notify = notify or (lambda text: None)

    def receive(self, item, count):
        if self.stock[item] + count > self.limit:
            raise ValueError(f"no room for {count} of {item}")
        self.stock[item] += count
        self.journal.append(("in", item, count))

    def issue(self, item, count):
        missing = count - self.stock[item]
        if missing > 0:
            self.notify(f"{self.name}: {missing} {item}")
            raise Shortage(item, missing)
        self.stock[item] -= count
        self.journal.append(("out", item, count))
        return self.stock[item]

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"name": self.name, "stock": self.stock}, file, sort_keys=True)

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        depot = cls(told["name"])
        depot.stock.update(told["stock"])
        return depot

    def relocate(self, name):
        self.name = name
