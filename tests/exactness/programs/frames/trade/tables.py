from pathlib import Path

import pandas as pd

DATA = Path("data")


def orders():
    table = pd.read_csv(DATA / "orders.csv", parse_dates=["day"])
    return table.sort_values(["day", "order"], ignore_index=True)


def customers():
    table = pd.read_csv(DATA / "customers.csv")
    table["initial"] = table["name"].str[0]
    return table


def prices():
    return pd.read_csv(DATA / "prices.csv", index_col="product")


def export_json(table, path):
    table.to_json(path, orient="records")
