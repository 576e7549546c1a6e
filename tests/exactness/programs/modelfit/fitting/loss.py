"""What is minimised: a value and a gradient for given weights."""

from abc import ABC, abstractmethod

import numpy as np


class Loss(ABC):
    def __init__(self, penalty):
        self.penalty = penalty
        self.design = self.target = None
        self.calls = 0

    def bind(self, design, target):
        self.design, self.target = design, target
        return self

    def __call__(self, weights):
        self.calls += 1
        rest = self.design @ weights - self.target
        value, slope = self.measure(rest)
        free = np.concatenate([[0.0], weights[1:]])
        value += 0.5 * self.penalty * float(free @ free)
        return value, self.design.T @ slope / len(rest) + self.penalty * free

    @abstractmethod
    def measure(self, rest):
        """The mean loss of the residuals, and its slope for each."""

    @property
    def curvature(self):
        """An upper bound, by power iteration."""
        vector = np.ones(self.design.shape[1])
        for _ in range(30):
            vector = self.design.T @ (self.design @ vector)
            vector /= np.linalg.norm(vector)
        return float(np.linalg.norm(self.design @ vector) ** 2) / len(self.design) + self.penalty


class Ridge(Loss):
    def measure(self, rest):
        return 0.5 * float(rest @ rest) / len(rest), rest


class Huber(Loss):
    def __init__(self, limit, penalty):
        super().__init__(penalty)
        self.limit = limit
        self.scale = 10.0

    def measure(self, rest):
        bound = self.limit * self.scale
        inside = np.abs(rest) <= bound
        values = np.where(inside, 0.5 * rest**2, bound * (np.abs(rest) - 0.5 * bound))
        return float(values.mean()), np.clip(rest, -bound, bound)
