from ..pricing import price

LEVELS = [(40000, "gold"), (20000, "silver"), (0, "none")]


def level(points):
    for bound, name in LEVELS:
        if points >= bound:
            return name
    return "debt"


def apply(orders):
    points = {}
    for _ in range(1500):
        points = {}
        for order in orders:
            points[order.customer] = points.get(order.customer, 0) + price(order)
    return {customer: level(points[customer]) for customer in sorted(points)}
