import os
import sys

import pandas as pd

from . import tables
from .ledger import Ledger

pd.set_option("display.width", 120)


def title(text):
    print()
    print(text.upper())
    print("-" * len(text))


def weights(ledger):
    heavy = ledger.table.assign(total=lambda t: t["quantity"] * t["weight"])
    return heavy.groupby("initial")["total"].describe().round(2)


def repeat(ledger):
    days = ledger.table.groupby("customer")["day"].apply(lambda column: column.sort_values().diff().dt.days.median())
    return days.round(1).value_counts().sort_index()


def streaks(ledger, times=40):
    found = 0.0
    for shift in range(1, times):
        found += float(ledger.table["value"].rolling(shift).sum().max())
    return round(found, 2)


def report(ledger):
    title("regions")
    print(ledger.by_region())
    title("months")
    print(ledger.by_month())
    title("products")
    print(ledger.pivot().to_string())
    title("best customers")
    print(ledger.best())
    title("weights")
    print(weights(ledger))
    title("days between orders")
    print(repeat(ledger).head(8).to_dict())
    print("discounted", ledger.discounted().sum().round(2), "streaks", streaks(ledger))


def main():
    ledger = Ledger(tables.orders(), tables.customers(), tables.prices())
    print(len(ledger.table), "orders", ", ".join(ledger.table.columns))
    report(ledger)
    os.makedirs("out", exist_ok=True)
    ledger.by_region().to_csv("out/regions.csv")
    print("written", os.path.getsize("out/regions.csv"), "bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
