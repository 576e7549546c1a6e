import json
import os
import sys

import numpy as np

from field import Grid, peaks, smooth

with open("settings.json", encoding="utf-8") as file:
    SETTINGS = json.load(file)


def build(seed):
    generator = np.random.default_rng(seed)
    return Grid(SETTINGS["size"], generator), generator


def evolve(grid, rounds):
    for number in range(rounds):
        grid.step()
        if number % 5 == 4:
            print("round", number + 1, "energy", round(grid.energy, 9))
    return grid.energy


def modes(matrix, count):
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1][:count], vectors[:, ::-1][:, :count]


def fit(matrix, target):
    weights = np.linalg.solve(matrix + np.eye(len(matrix)), target)
    rest = float(np.linalg.norm(matrix @ weights + weights - target))
    print("rest is small", rest < 1e-6)
    return weights


def keep(weights):
    np.save("weights.npy", weights)
    again = np.load("weights.npy", mmap_mode="r")
    return float(again.sum())


def quantiles(values):
    return dict(zip(SETTINGS["levels"], np.quantile(values, SETTINGS["levels"]).round(9).tolist()))


def main(seed):
    grid, generator = build(seed)
    print("energy", round(evolve(grid, SETTINGS["rounds"]), 9))
    covariance = grid.covariance()
    values, vectors = modes(covariance, SETTINGS["modes"])
    print("modes", values.round(9).tolist())
    print("projected", (covariance @ vectors).tobytes().hex()[:40])
    target = generator.normal(scale=SETTINGS["noise"], size=len(covariance))
    weights = fit(covariance, target)
    print("kept", keep(weights).hex())
    print("peaks", peaks(grid.values, 4))
    for line in range(3):
        print("line", line, smooth(grid.values[line])[:4].round(6).tolist())
    print("quantiles", quantiles(grid.values))
    singular = np.linalg.svd(grid.values[:200, :160], compute_uv=False)
    print("singular", singular[0].hex(), singular[-1].hex())
    os.makedirs("out", exist_ok=True)
    np.savetxt("out/summary.txt", np.column_stack([weights, target])[:20], fmt="%.9f")
    print("random", generator.integers(0, 1000, 5).tolist())


if __name__ == "__main__":
    main(int(sys.argv[1]))
