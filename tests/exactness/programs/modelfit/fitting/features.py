"""From columns to a design matrix."""

import itertools

import numpy as np


class Scaler:
    def __init__(self):
        self.mean = None
        self.spread = None

    def fit(self, rows):
        self.mean = rows.mean(axis=0)
        self.spread = np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1.0)
        return self

    def apply(self, rows):
        return (rows - self.mean) / self.spread

    def invert(self, rows):
        return rows * self.spread + self.mean


def powers(names, degree):
    """Combinations of columns up to a degree, as tuples of indices."""
    for order in range(1, degree + 1):
        yield from itertools.combinations_with_replacement(range(len(names)), order)


def label(names, combination):
    return "*".join(names[index] for index in combination)


def waves(rows, count, generator):
    """Random Fourier features of a Gaussian kernel."""
    directions = generator.normal(scale=0.4, size=(rows.shape[1], count))
    shift = generator.uniform(0, 2 * np.pi, count)
    return np.sqrt(2 / count) * np.cos(rows @ directions + shift)


def expand(rows, names, degree, count, generator):
    columns = [np.ones(len(rows))]
    labels = ["1"]
    for combination in powers(names, degree):
        columns.append(np.prod(rows[:, combination], axis=1))
        labels.append(label(names, combination))
    found = waves(rows, count, generator)
    labels += [f"wave{index}" for index in range(count)]
    return np.ascontiguousarray(np.hstack([np.column_stack(columns), found])), labels
