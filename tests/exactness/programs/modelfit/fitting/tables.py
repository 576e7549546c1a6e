"""Tables in, with what is missing filled."""

import csv

import numpy as np

KINDS = ("flat", "house", "farm", "loft")


class BadTable(Exception):
    pass


def number(text, row, column):
    if text == "":
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise BadTable(f"row {row}: {column} is {text!r}, not a number") from None


def one_hot(kind, row):
    if kind not in KINDS:
        raise BadTable(f"row {row}: unknown kind {kind!r}")
    return [float(kind == one) for one in KINDS[1:]]


def fill(rows):
    """Missing values become the column's median."""
    medians = np.nanmedian(rows, axis=0)
    holes = np.isnan(rows)
    print("filled", int(holes.sum()), "holes")
    return np.where(holes, medians, rows)


def read_table(path):
    rows, target = [], []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = [name for name in reader.fieldnames if name not in ("kind", "price")]
        for index, row in enumerate(reader, 2):
            values = [number(row[column], index, column) for column in columns]
            rows.append(values + one_hot(row["kind"], index))
            target.append(number(row["price"], index, "price"))
    return fill(np.array(rows)), np.array(target), columns + [f"is_{kind}" for kind in KINDS[1:]]


def synthetic(rows, target, count, noise, generator):
    """More rows like the given ones: each a mixture of two."""
    first, second = generator.integers(0, len(rows), (2, count))
    share = generator.random((count, 1))
    mixed = share * rows[first] + (1 - share) * rows[second]
    wanted = share[:, 0] * target[first] + (1 - share[:, 0]) * target[second]
    spread = noise * rows.std(axis=0)
    mixed = mixed + generator.normal(size=mixed.shape) * spread
    return mixed, wanted + generator.normal(scale=noise * target.std(), size=count)


def describe_columns(rows, names):
    for name, column in zip(names, rows.T):
        print(f"{name:>10} {column.min():10.3f} {column.mean():10.3f} {column.max():10.3f}")
