"""Plans a freight, then prints what each module holds, in its order."""
import sys

import freight
import units


def read(path):
    out = []
    with open(path) as file:
        for line in file:
            weight, kind = line.split()
            out.append((int(weight), kind))
    return out


def report(loads):
    lines = []
    for load in loads:
        total = load.total()
        lines.append("%-8s %8.2f %8.2f" % (load.name, total, freight.price(int(total))))
        freight.spin(50000)
    return lines


def described(module):
    kinds = []
    for name, value in vars(module).items():
        if not name.startswith("__"):
            kinds.append("%s:%s" % (name, type(value).__name__))
    return "%s holds %s" % (module.__name__, " ".join(kinds))


def main():
    weights = read("weights.txt")
    loads = freight.plan(weights)
    for line in report(loads):
        print(line)
    for weight, kind in weights:
        print(kind, units.convert(weight, units.KILOGRAM), units.DEFAULT.steps(weight))
        freight.spin(40000)
    print(described(units))
    print(described(freight))
    print(described(sys.modules["__main__"]))
    print(" ".join(freight.registry), list(vars(freight.Load)))


if __name__ == "__main__":
    main()
