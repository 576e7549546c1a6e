"""Minimisers. Each is called with a loss and a start."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

OPTIMISERS = {}


def optimiser(name):
    def register(kind):
        OPTIMISERS[name] = kind
        return kind

    return register


def by_name(name):
    try:
        return OPTIMISERS[name]()
    except KeyError:
        raise LookupError(f"no optimiser {name}, only {', '.join(sorted(OPTIMISERS))}") from None


@dataclass
class Minimum:
    weights: np.ndarray
    value: float
    rounds: int
    converged: bool = True
    history: list = field(default_factory=list, repr=False)

    def __str__(self):
        state = "converged" if self.converged else "stopped"
        return f"{state} after {self.rounds} rounds at {self.value:.6f}"


@optimiser("descent")
class GradientDescent:
    """With Nesterov's momentum and restarts."""

    def __init__(self, rounds=400, tolerance=1e-7):
        self.rounds = rounds
        self.tolerance = tolerance

    def __call__(self, loss, start):
        weights, ahead, momentum = start, start, 1.0
        rate = 1 / loss.curvature
        history = []
        for number in range(1, self.rounds + 1):
            value, gradient = loss(ahead)
            if history and value > history[-1]:
                momentum = 1.0
            after = ahead - rate * gradient
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = after + (momentum - 1) / following * (after - weights)
            weights, momentum = after, following
            history.append(value)
            if np.linalg.norm(gradient) < self.tolerance * (1 + abs(value)):
                return Minimum(weights, value, number, True, history)
        return Minimum(weights, history[-1], self.rounds, False, history)


@optimiser("lbfgs")
class Lbfgs:
    def __init__(self, memory=8, rounds=150, tolerance=1e-6):
        self.memory = memory
        self.rounds = rounds
        self.tolerance = tolerance

    def direction(self, gradient, steps):
        """The two-loop recursion."""
        result = -gradient
        kept = []
        for moved, turned in reversed(steps):
            weight = moved @ result / (moved @ turned)
            kept.append(weight)
            result = result - weight * turned
        if steps:
            moved, turned = steps[-1]
            result = result * (moved @ turned / (turned @ turned))
        for (moved, turned), weight in zip(steps, reversed(kept)):
            result = result + moved * (weight - turned @ result / (moved @ turned))
        return result

    def __call__(self, loss, start):
        weights = start
        value, gradient = loss(weights)
        steps = deque(maxlen=self.memory)
        for number in range(1, self.rounds + 1):
            if np.linalg.norm(gradient) < self.tolerance * (1 + abs(value)):
                return Minimum(weights, value, number)
            direction = self.direction(gradient, steps)
            rate = line_search(loss, weights, value, gradient, direction)
            if rate == 0:
                return Minimum(weights, value, number, False)
            moved = rate * direction
            value, after = loss(weights + moved)
            if moved @ (after - gradient) > 1e-12:
                steps.append((moved, after - gradient))
            weights, gradient = weights + moved, after
        return Minimum(weights, value, self.rounds, False)


def line_search(loss, weights, value, gradient, direction, shrink=0.5, wanted=1e-4):
    """Backtracking until Armijo's condition holds; 0 where it never does."""
    slope = float(gradient @ direction)
    if slope >= 0:
        return 0.0
    rate = 1.0
    for _ in range(40):
        if loss(weights + rate * direction)[0] <= value + wanted * rate * slope:
            return rate
        rate *= shrink
    return 0.0


def plain_search(loss, weights, direction):
    rates = np.logspace(-6, 0, 30)
    return min(rates, key=lambda rate: loss(weights + rate * direction)[0])
