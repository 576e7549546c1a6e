PRIME = 1_000_003


def mix(rounds, *, seed=1, factor=33):
    value = seed
    for number in range(rounds * 8):
        value = (value * factor + number) % PRIME
    return value


def sieve(limit):
    flags = bytearray([1]) * limit
    count = 0
    for number in range(2, limit):
        if flags[number]:
            count += 1
            for multiple in range(number * 2, limit, number):
                flags[multiple] = 0
    return count


def shell_sort(values):
    gap = len(values) // 2
    while gap:
        for index in range(gap, len(values)):
            value, at = values[index], index
            while at >= gap and values[at - gap] > value:
                values[at] = values[at - gap]
                at -= gap
            values[at] = value
        gap //= 2
    return values
