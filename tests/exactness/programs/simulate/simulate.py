import json
import math
import random
import sys

import history
import lattice
from walk import Walker, spread

PARAMETERS = json.load(open("parameters.json", encoding="utf-8"))


def estimate_pi(samples, generator):
    inside = 0
    for _ in range(samples):
        x, y = generator.random(), generator.random()
        if x * x + y * y < 1:
            inside += 1
    return 4 * inside / samples


def evolve(walkers, steps):
    for step in range(steps):
        for walker in walkers:
            walker.move()
        if step % 100 == 99:
            print("step", step + 1, "spread", round(spread(walkers), 6))
    return spread(walkers)


def plot(values):
    for value in values:
        print("*" * int(value))


def integrate(function, low, high, parts=60000):
    width = (high - low) / parts
    return sum(function(low + (index + 0.5) * width) for index in range(parts)) * width


def main(seed):
    random.seed(seed)
    print("parameters", sorted(PARAMETERS))
    generator = random.Random(seed + 1)
    print("pi", estimate_pi(PARAMETERS["samples"], generator))
    walkers = [Walker(number, random.random()) for number in range(PARAMETERS["walkers"])]
    final = evolve(walkers, PARAMETERS["steps"])
    print("integral", round(integrate(lambda x: math.exp(-x * x), -3, 3), 8))
    grid = lattice.Lattice(PARAMETERS["grid"], PARAMETERS["coupling"])
    energies = [grid.sweep() for _ in range(80)]
    print("energy", energies[-1], "lowest", min(energies))
    print("a last number", round(random.gauss(0, 1), 12), random.randrange(10**6))
    history.append("history.log", f"seed {seed} spread {final:.6f} energy {energies[-1]}")
    print("lines in the log", history.length("history.log"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
