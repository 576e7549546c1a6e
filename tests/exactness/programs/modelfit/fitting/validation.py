"""How far a fit can be trusted."""

import numpy as np

from . import optimise
from .loss import Ridge


def folds(count, parts):
    """Pairs of row numbers, for fitting and for testing."""
    numbers = np.arange(count)
    for part in range(parts):
        inside = numbers % parts != part
        yield numbers[inside], numbers[~inside]


def error(design, target, weights):
    return float(np.sqrt(np.mean((design @ weights - target) ** 2)))


def cross_validate(design, target, parts, make_loss, minimise):
    inside, outside = [], []
    for chosen, rest in folds(len(design), parts):
        loss = make_loss().bind(design[chosen], target[chosen])
        minimum = minimise(loss, np.zeros(design.shape[1]))
        inside.append(error(design[chosen], target[chosen], minimum.weights))
        outside.append(error(design[rest], target[rest], minimum.weights))
    return float(np.mean(inside)), float(np.mean(outside))


def resample(count, generator):
    return generator.integers(0, count, count)


def bootstrap(design, target, penalty, parameters, generator):
    """Quantiles of each weight over resampled rows."""
    found = []
    for number in range(parameters["resamples"]):
        chosen = resample(len(design), generator)
        loss = Ridge(penalty).bind(design[chosen], target[chosen])
        found.append(optimise.Lbfgs(rounds=25)(loss, np.zeros(design.shape[1])).weights)
        if number % 12 == 11:
            print("resampled", number + 1)
    return np.quantile(found, parameters["levels"], axis=0)


def permutation_importance(model, design, target, generator, rounds):
    """How much worse the model is without each column's order."""
    usual = error(design, target, model.weights)
    losses = np.zeros(design.shape[1])
    for column in range(1, design.shape[1]):
        shuffled = design.copy()
        for _ in range(rounds):
            generator.shuffle(shuffled[:, column])
            losses[column] += error(shuffled, target, model.weights) - usual
    return losses / rounds
