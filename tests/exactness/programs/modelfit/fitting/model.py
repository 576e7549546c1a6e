import numpy as np


class Model:
    version = 2

    def __init__(self, weights, penalty):
        self.weights = weights
        self.penalty = float(penalty)

    def predict(self, design):
        return design @ self.weights

    def __eq__(self, other):
        return self.penalty == other.penalty and np.array_equal(self.weights, other.weights)

    def save(self, path, scaler):
        np.savez(path, weights=self.weights, penalty=self.penalty, mean=scaler.mean, version=self.version)

    @classmethod
    def load(cls, path):
        with np.load(path) as kept:
            if int(kept["version"]) != cls.version:
                raise ValueError(f"{path} is of version {kept['version']}")
            return cls(kept["weights"], kept["penalty"])

    def copy(self):
        return Model(self.weights.copy(), self.penalty)
