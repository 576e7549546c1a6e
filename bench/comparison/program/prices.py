import random

from memo import remembered


def step(draw, price):
    return max(1.0, price * (1 + (draw.random() - 0.4999) / 50))


@remembered
def path(days, seed):
    draw = random.Random(seed)
    price = 100.0
    found = []
    for _ in range(days):
        for _ in range(4):
            price = step(draw, price)
        found.append(price)
    return found
