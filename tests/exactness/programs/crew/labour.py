BASE = 11


def task(number):
    value = number
    for i in range(2000 * number):
        value = (value * BASE + i) % 65537
    return value


def check(number):
    return number % BASE


def weigh(values):
    return sum(value * i for i, value in enumerate(values))
