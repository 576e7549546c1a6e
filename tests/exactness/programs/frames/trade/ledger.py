import pandas as pd

DISCOUNT = 0.05


class Ledger:
    """Orders with what they are worth."""

    LARGE = 300

    def __init__(self, orders, customers, prices):
        joined = orders.merge(customers, on="customer", how="left").merge(prices, left_on="product", right_index=True)
        joined["value"] = (joined["quantity"] * joined["price"]).round(2)
        self.table = joined.sort_values("order", ignore_index=True)

    def discounted(self):
        large = self.table["value"] > self.LARGE
        return self.table["value"].where(~large, self.table["value"] * (1 - DISCOUNT)).round(2)

    def by_region(self):
        return self.table.groupby("region")["value"].agg(["count", "sum", "mean", "max"]).round(3)

    def by_month(self):
        months = self.table.groupby(self.table["day"].dt.month)["value"].sum()
        return pd.DataFrame({"value": months, "rolling": months.rolling(3).mean()}).round(2)

    def pivot(self):
        return self.table.pivot_table(index="product", columns="region", values="quantity", aggfunc="sum", fill_value=0)

    def best(self, count=5):
        totals = self.table.groupby(["customer", "name"])["value"].sum()
        return totals.sort_values(ascending=False).head(count)

    def refund(self, order):
        self.table.loc[self.table["order"] == order, "value"] = 0.0
