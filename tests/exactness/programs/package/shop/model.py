import csv


class Order:
    """One line of an order."""

    unit = "piece"

    def __init__(self, customer, item, count):
        self.customer = customer
        self.item = item
        self.count = count

    def key(self):
        return (self.count, self.customer, self.item)


def read_orders(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [Order(row["customer"], row["item"], int(row["count"])) for row in csv.DictReader(file)]
