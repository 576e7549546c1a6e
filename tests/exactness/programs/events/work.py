SEED = 7


def reading(name, number, weight):
    total = SEED + len(name)
    for step in range(weight * 3):
        total = (total * 31 + step * number) % 1000003
    return total


def checksum(parts, weight):
    total = 0
    for _ in range(weight // 10):
        for part in parts:
            total = (total * 17 + sum(part)) % 65521
    return total
