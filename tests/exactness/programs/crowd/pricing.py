import threading

RATE = 7
_totals = {}
_lock = threading.Lock()


def price(name, number):
    value = 0
    for i in range(40 * len(name) + number):
        value = (value * 31 + i * RATE) % 9973
    return value


def discount(value, number):
    return value - value * number // 100


def add(name, value):
    with _lock:
        _totals[name] = _totals.get(name, 0) + value


def totals():
    with _lock:
        return dict(sorted(_totals.items()))


def refund(name):
    with _lock:
        return _totals.pop(name, None)


class Ledger:
    opened = 0

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.lock = threading.Lock()
        Ledger.opened += 1

    def note(self, *words):
        with self.lock:
            self.file.write(" ".join(str(word) for word in words) + "\n")

    def close(self):
        with self.lock:
            self.file.close()
