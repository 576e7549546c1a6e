"""Small figures for the report."""

MODULUS = 1_000_003
FILL = "#"


def bar(value, largest, width):
    filled = int(value / largest * width)
    return (FILL * filled).ljust(width, ".")


def smooth(series, weight):
    """Each value moves towards its neighbours."""
    result = []
    for index, value in enumerate(series):
        before = series[index - 1] if index else value
        after = series[index + 1] if index + 1 < len(series) else value
        result.append(value * (1 - weight) + weight * (before + after) / 2)
    return result


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def checksum(seed, number):
    for factor in (31, 37, 41):
        seed = (seed * factor + number * 7 + 1) % MODULUS
    return seed


def old_layout(rows):
    for row in rows:
        print(row)
    return len(rows)
