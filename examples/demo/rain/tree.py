"""One decision tree: split where the two sides differ most."""

from dataclasses import dataclass

SMALLEST_LEAF = 12
DEEPEST = 9


@dataclass
class Leaf:
    probability: float
    leaves: int = 1


@dataclass
class Fork:
    feature: int
    threshold: float
    low: "Leaf | Fork"
    high: "Leaf | Fork"

    @property
    def leaves(self):
        return self.low.leaves + self.high.leaves


def grow(samples, chance, tried, depth=0):
    """A tree for these samples; each fork looks at `tried` features drawn by `chance`."""
    wet = sum(sample.wet for sample in samples)
    if depth == DEEPEST or wet in (0, len(samples)) or len(samples) < 2 * SMALLEST_LEAF:
        return Leaf(wet / len(samples))
    features = chance.sample(range(len(samples[0].values)), tried)
    best = min((split(samples, feature, wet) for feature in features), key=lambda found: found[0])
    impurity, feature, threshold = best
    if threshold is None:
        return Leaf(wet / len(samples))
    low = [sample for sample in samples if sample.values[feature] <= threshold]
    high = [sample for sample in samples if sample.values[feature] > threshold]
    return Fork(feature, threshold, grow(low, chance, tried, depth + 1), grow(high, chance, tried, depth + 1))


def split(samples, feature, wet):
    """The best threshold of one feature: (Gini impurity, feature, threshold or None)."""
    pairs = sorted((sample.values[feature], sample.wet) for sample in samples)
    total = len(pairs)
    best = (float("inf"), feature, None)
    left = left_wet = 0
    for (value, is_wet), (following, _) in zip(pairs, pairs[1:]):
        left += 1
        left_wet += is_wet
        right = total - left
        if value == following or left < SMALLEST_LEAF or right < SMALLEST_LEAF:
            continue
        right_wet = wet - left_wet
        impurity = left_wet * (left - left_wet) / left + right_wet * (right - right_wet) / right
        if impurity < best[0]:
            best = (impurity, feature, value)
    return best


def probability(tree, values):
    while isinstance(tree, Fork):
        tree = tree.low if values[tree.feature] <= tree.threshold else tree.high
    return tree.probability
