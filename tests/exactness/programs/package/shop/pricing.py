import json

from .settings import DISCOUNT, ROUNDS

with open("data/prices.json", encoding="utf-8") as _file:
    PRICES = json.load(_file)


def price(order):
    base = PRICES[order.item] * order.count
    if order.count > 5:
        base = base * (1 - DISCOUNT)
    return int(base)


def search_best_split(orders, target):
    """Subset of order prices whose sum comes closest to target, by dynamic programming."""
    reachable = {0}
    for order in orders:
        reachable |= {value + price(order) for value in reachable if value < target}
        if len(reachable) > 4000:
            reachable = set(sorted(reachable)[:4000])
    return min(reachable, key=lambda value: (abs(target - value), value))


def total(orders):
    amount = sum(price(order) for order in orders)
    split = search_best_split(orders[:40], amount // 4)
    print("split", split, "of", amount, "after", ROUNDS)
    return amount


def legacy_total(orders):
    return sum(order.count for order in orders) * 100
