"""Work that takes a while."""


def collatz(number):
    steps = 0
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps += 1
        if steps > 500:
            break
    return steps


def score(sensor, value):
    total = 0
    for offset in range(30):
        total += collatz(value + offset + 1)
    return total + len(sensor)


def on_lost(sensor):
    print("lost", sensor)
