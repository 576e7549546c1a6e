from .settings import ROUNDS


def mean(values):
    return sum(values) / len(values)


def spread(values):
    """Mean absolute deviation, made slowly on purpose."""
    result = 0.0
    for turn in range(ROUNDS):
        middle = mean(values[turn % 7 :])
        result += mean([abs(value - middle) for value in values])
    return result / ROUNDS
