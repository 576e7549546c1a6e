import math
import random


class Lattice:
    """Spins on a square, after Ising."""

    def __init__(self, size, coupling):
        self.size = size
        self.coupling = coupling
        self.cells = [[random.choice((-1, 1)) for _ in range(size)] for _ in range(size)]

    def around(self, row, column):
        size, cells = self.size, self.cells
        return (
            cells[row - 1][column]
            + cells[(row + 1) % size][column]
            + cells[row][column - 1]
            + cells[row][(column + 1) % size]
        )

    def sweep(self):
        for row in range(self.size):
            for column in range(self.size):
                change = 2 * self.cells[row][column] * self.around(row, column)
                if change <= 0 or random.random() < math.exp(-self.coupling * change):
                    self.cells[row][column] *= -1
        return self.energy()

    def energy(self):
        rows = range(self.size)
        return -sum(self.cells[r][c] * self.around(r, c) for r in rows for c in rows) // 2


def temperature_in_fahrenheit(kelvin):
    return kelvin * 9 / 5 - 459.67
