"""Numbers for people."""


class Table:
    def __init__(self, *header):
        self.header = header
        self.rows = []

    def row(self, *values):
        self.rows.append(values)

    def show(self):
        print(" ".join(f"{name:>12}" for name in self.header))
        for row in self.rows:
            print(" ".join(f"{value:12.5f}" for value in row))


def show_coefficients(model, labels, ranks, count=10):
    pairs = sorted(zip(labels, model.weights, ranks), key=lambda triple: -triple[2])
    with open("coefficients.txt", "w", encoding="utf-8") as file:
        for label, weight, rank in pairs:
            file.write(f"{label}\t{weight:.6f}\t{rank:.6f}\n")
    for label, weight, rank in pairs[:count]:
        print(f"{label:>18} {weight:10.4f} {rank:10.4f}")
