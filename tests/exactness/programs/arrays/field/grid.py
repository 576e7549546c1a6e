import numpy as np


class Grid:
    """A square field of numbers with the operations of a heat equation."""

    RATE = 0.2

    def __init__(self, size, generator):
        self.values = generator.normal(size=(size, size))

    def step(self):
        v = self.values
        around = np.roll(v, 1, 0) + np.roll(v, -1, 0) + np.roll(v, 1, 1) + np.roll(v, -1, 1)
        self.values = v + self.RATE * (around - 4 * v)

    def transpose(self):
        return self.values.T.copy()

    def covariance(self):
        centred = self.values - self.values.mean(axis=0)
        return centred.T @ centred / len(centred)

    @property
    def energy(self):
        return float((self.values**2).sum())
