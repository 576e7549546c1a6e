import json
import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pricing

with open("orders.json", encoding="utf-8") as file:
    ORDERS = json.load(file)


class Desk:
    def __init__(self, count):
        self.orders = queue.Queue()
        self.workers = [threading.Thread(target=self.work, daemon=True) for _ in range(count)]
        for worker in self.workers:
            worker.start()

    def work(self):
        while True:
            name, number = self.orders.get()
            pricing.add(name, pricing.discount(pricing.price(name, number), number % 5))
            self.orders.task_done()

    def serve(self, names, number):
        for name in names[: ORDERS["limit"]]:
            self.orders.put((name, number))
        self.orders.join()

    def empty(self):
        while not self.orders.empty():
            self.orders.get()


def grind(count, seed):
    for i in range(count):
        seed = (seed * 1103515245 + i) % 2147483648
    return seed


def longest(name):
    return len(name) * grind(300, len(name)) % 1009


def lengths(pool, names):
    return list(pool.map(longest, names))


def summary(ledger):
    shown = pricing.totals()
    for name, value in shown.items():
        ledger.note("total", name, value)
    return sum(shown.values())


def opening(ledger):
    ledger.note("opened", len(ORDERS["names"]))
    return grind(700000, 1)


def middle(ledger, number):
    ledger.note("middle", number)
    return grind(500000, number)


def closing(ledger):
    ledger.note("closed")
    return grind(600000, 3) % 100


def rounds(desk, pool, ledger):
    for number in range(ORDERS["rounds"]):
        desk.serve(ORDERS["names"], number)
        print("round", number, sum(lengths(pool, ORDERS["names"])), middle(ledger, number) % 1000)


def written(path):
    with open(path, encoding="utf-8") as file:
        return len(file.readlines())


def main():
    ledger = pricing.Ledger("ledger.txt")
    desk = Desk(3)
    with ThreadPoolExecutor(max_workers=2) as pool:
        print("opening", opening(ledger) % 1000)
        rounds(desk, pool, ledger)
        print("summary", summary(ledger))
        print("level", os.environ.get("EXACTNESS_LEVEL", "unset"))
        print("closing", closing(ledger), threading.active_count() > 3)
    ledger.close()
    print("lines", written("ledger.txt"), pricing.Ledger.opened)


if __name__ == "__main__":
    main()
