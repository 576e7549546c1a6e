SCALE = 3


def read(path):
    with open(path, encoding="utf-8") as file:
        return [int(line) for line in file if line.strip()]


def slow_root(number):
    root = 0
    while (root + 1) * (root + 1) <= number:
        root += 1
    return root * SCALE


def prepare(count):
    total = 0
    for number in range(count):
        total = (total * 17 + number * SCALE) % 65521
    return total
