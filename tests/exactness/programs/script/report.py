"""Sales report: everything happens at the top level, as in a script that grew."""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

from figures import bar, checksum, median, smooth

HERE = Path(__file__).resolve().parent
WIDTH = 40 if "--wide" in sys.argv else 20
TITLE = "Sales by region"

with open(HERE / "data" / "rates.json", encoding="utf-8") as file:
    rates = json.load(file)
rounds = rates.pop("rounds")

rows = []
with open(HERE / "data" / "sales.csv", newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        row["units"] = int(row["units"])
        row["price"] = float(row["price"])
        rows.append(row)
print(f"{len(rows)} rows read")


def value(row):
    """Worth of a row in the region's own money."""
    return row["units"] * row["price"] * rates[row["region"]]


def explain_usage():
    print("usage: report.py [--wide]")
    return 2


if "--help" in sys.argv:
    sys.exit(explain_usage())

by_region = defaultdict(float)
for row in rows:
    by_region[row["region"]] += value(row)

print(TITLE)
print("=" * len(TITLE))
largest = max(by_region.values())
for region in sorted(by_region):
    print(f"{region:>8} {bar(by_region[region], largest, WIDTH)} {by_region[region]:.2f}")

series = [value(row) for row in rows]
for step in range(rounds // 10):
    series = smooth(series, 0.3)
print("median after smoothing", round(median(series), 3))

products = sorted({row["product"] for row in rows})
best = {}
for product in products:
    chosen = [row for row in rows if row["product"] == product]
    best[product] = max(chosen, key=lambda row: (value(row), -int(row["day"])))
    print(product, "best on day", best[product]["day"], "in", best[product]["region"])

digest = 0
for index in range(rounds * 20):
    digest = checksum(digest, index)
    if index % 10000 == 0:
        print("digest", index, digest)

pairs = [(a, b) for a in products for b in products if a < b]
for a, b in pairs:
    ratio = value(best[a]) / value(best[b])
    print(f"{a}/{b}: {ratio:.3f}")

with open(HERE / "summary.txt", "w", encoding="utf-8") as file:
    print(TITLE, file=file)
    for region, total in sorted(by_region.items(), key=lambda item: -item[1]):
        print(f"{region}\t{total:.2f}", file=file)
    print("digest", digest, file=file)
print("summary written")
