"""A long job with a fault in its last step: `thaw repair --with ./repairer.py job.py`."""
import time


def load():
    print("loading", flush=True)
    # Stands for minutes of work that nobody wants to repeat.
    time.sleep(3)
    return [{"name": "tea", "price": 3}, {"name": "bread", "price": 4}]


def total(items):
    # There is no such key.
    return sum(item["amount"] for item in items)


print("total", total(load()))
