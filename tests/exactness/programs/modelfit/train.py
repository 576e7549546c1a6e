"""Fits a price model, says how good it is, and keeps it."""

import argparse
import json
import sys

import numpy as np

from fitting import Model, features, optimise, validation
from fitting.loss import Huber, Ridge
from fitting.report import Table, show_coefficients
from fitting.tables import BadTable, read_table, synthetic


def options(arguments):
    parser = argparse.ArgumentParser(prog="train")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--table", default="houses.csv")
    parser.add_argument("--model", default="model.npz")
    parser.add_argument("--quiet", action="store_true")
    return parser.parse_args(arguments)


def load(path, parameters, generator):
    rows, target, names = read_table(path)
    print(f"{len(rows)} rows of {len(names)} columns from {path}")
    more, more_target = synthetic(rows, target, parameters["extra_rows"], parameters["noise"], generator)
    return np.vstack([rows, more]), np.concatenate([target, more_target]), names


def select(design, target, parameters, folds):
    """The penalty with the least error over all folds."""
    table = Table("penalty", "train", "test")
    best = None
    for penalty in parameters["penalties"]:
        inside, outside = validation.cross_validate(
            design, target, folds, lambda: Ridge(penalty), optimise.by_name(parameters["optimiser"])
        )
        table.row(penalty, inside, outside)
        if best is None or outside < best[1]:
            best = penalty, outside
    table.show()
    return best[0]


def train(design, target, penalty, parameters):
    optimiser = optimise.by_name(parameters["optimiser"])
    start = np.zeros(design.shape[1])
    ridge = optimiser(Ridge(penalty).bind(design, target), start)
    print("ridge:", ridge)
    robust = optimise.GradientDescent(rounds=260)(Huber(parameters["huber"], penalty).bind(design, target), ridge.weights)
    print("robust:", robust)
    return Model(robust.weights, penalty)


def assess(model, design, target, parameters, generator):
    rest = target - model.predict(design)
    print("error", round(float(np.sqrt(np.mean(rest**2))), 6), "bias", round(float(rest.mean()), 6))
    print("explained", round(1 - float(rest.var() / target.var()), 6))
    low, middle, high = validation.bootstrap(design, target, model.penalty, parameters, generator)
    order = np.argsort(-np.abs(middle))[:6]
    for index in order:
        print(f"  weight {index:3d} {low[index]:9.4f} {middle[index]:9.4f} {high[index]:9.4f}")
    ranks = validation.permutation_importance(model, design, target, generator, rounds=3)
    return rest, ranks


def main(arguments):
    given = options(arguments)
    with open("parameters.json", encoding="utf-8") as file:
        parameters = json.load(file)
    generator = np.random.default_rng(parameters["seed"])
    try:
        rows, target, names = load(given.table, parameters, generator)
    except BadTable as error:
        print("train:", error, file=sys.stderr)
        return 1
    scaler = features.Scaler().fit(rows)
    design, labels = features.expand(scaler.apply(rows), names, parameters["degree"], parameters["waves"], generator)
    print("design", design.shape, "condition", f"{np.linalg.cond(design[:400]):.3e}")
    penalty = select(design, target, parameters, given.folds)
    model = train(design, target, penalty, parameters)
    rest, ranks = assess(model, design, target, parameters, generator)
    if not given.quiet:
        show_coefficients(model, labels, ranks)
    model.save(given.model, scaler)
    again = Model.load(given.model)
    print("kept", again == model, "worst rows", np.argsort(-np.abs(rest))[:5].tolist())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
