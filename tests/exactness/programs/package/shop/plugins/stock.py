from ..model import Order

START = 200


def left(orders, item):
    return START - sum(order.count for order in orders if order.item == item)


def apply(orders):
    items = sorted({order.item for order in orders})
    for _ in range(1500):
        result = [f"{item} {left(orders, item)} {Order.unit}s" for item in items]
    return ", ".join(result)
