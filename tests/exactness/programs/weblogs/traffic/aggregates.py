"""Tables of the report, each from the cleaned requests."""

from collections import Counter

from .clock import Clock
from .tools import grouped, percentile, stage


@stage("hours")
def by_hour(requests, smoothing):
    clock = Clock()
    counts = Counter(clock.hour(request.time) for request in requests)
    if not counts:
        return []
    rows, level = [], None
    for hour in range(min(counts), max(counts) + 1):
        count = counts.get(hour, 0)
        level = count if level is None else smoothing * count + (1 - smoothing) * level
        rows.append((clock.label(hour), count, round(level, 3)))
    return rows


@stage("pages")
def by_page(requests, percentiles):
    rows = []
    for path, group in grouped(requests, lambda one: one.path.split("?")[0]).items():
        times = sorted(request.took for request in group)
        failed = sum(request.failed for request in group)
        rows.append((path, len(group), failed, [round(percentile(times, one), 1) for one in percentiles]))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


@stage("searches")
def by_search(requests):
    words = Counter()
    for request in requests:
        if "?q=" in request.path:
            words.update(request.path.split("?q=", 1)[1].split())
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))


def rank_pages(pairs, rounds=120, damping=0.85):
    """Weight of each page by where visitors go, as PageRank does it."""
    pages = sorted({page for pair in pairs for page in pair})
    leaving = Counter()
    for (source, _), count in pairs.items():
        leaving[source] += count
    weights = dict.fromkeys(pages, 1 / max(1, len(pages)))
    for _ in range(rounds):
        after = dict.fromkeys(pages, (1 - damping) / len(pages))
        for (source, target), count in pairs.items():
            after[target] += damping * weights[source] * count / leaving[source]
        weights = after
    return sorted(weights.items(), key=lambda item: -item[1])


class Anomalies:
    """Hours far from what the same hour of other days had."""

    def __init__(self, limit=2.0):
        self.limit = limit

    def expected(self, rows, index):
        others = [rows[place][1] for place in range(index % 24, len(rows), 24) if place != index]
        mean = sum(others) / len(others)
        spread = (sum((one - mean) ** 2 for one in others) / len(others)) ** 0.5
        return mean, spread

    def find(self, rows):
        found = []
        for index, (label, count, _) in enumerate(rows):
            try:
                mean, spread = self.expected(rows, index)
            except ZeroDivisionError:
                continue
            if spread and abs(count - mean) / spread > self.limit:
                found.append((label, count, round(mean, 1)))
        return found
