import csv
import time


def load(path):
    print("loading", path, flush=True)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    time.sleep(0.5)
    return rows


def clean(rows):
    print("cleaning", flush=True)
    time.sleep(0.5)
    return [row for row in rows if row["units"]]


def summarise(rows):
    totals = {}
    for row in rows:
        totals[row["region"]] = totals.get(row["region"], 0) + int(row["unit"])
    return sorted(totals.items())
