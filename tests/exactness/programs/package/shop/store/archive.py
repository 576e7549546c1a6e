import json
import os

from ..model import Order
from ..settings import CURRENCY


def encode(order: Order):
    return {"who": order.customer, "what": order.item, "count": order.count}


def save(orders, results, amount):
    os.makedirs("archive", exist_ok=True)
    path = os.path.join("archive", "day.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {"currency": CURRENCY, "amount": amount, "results": results, "orders": [encode(o) for o in orders]},
            file,
            indent=1,
        )
    with open(os.path.join("archive", "customers.txt"), "w", encoding="utf-8") as file:
        for customer in sorted({order.customer for order in orders}):
            file.write(customer + "\n")
    return path
