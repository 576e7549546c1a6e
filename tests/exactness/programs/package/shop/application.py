"""The stages of the shop's day."""

from . import __version__
from .model import Order, read_orders
from .settings import CURRENCY, PLUGINS


def load_plugin(name):
    import importlib

    return importlib.import_module(f".plugins.{name}", package=__package__)


def run(orders):
    results = {}
    for name in PLUGINS:
        plugin = load_plugin(name)
        results[name] = plugin.apply(orders)
        print(f"{name}: {results[name]}")
    return results


def refund(order):
    order.count = -order.count
    return order


def main(arguments):
    print("shop", __version__)
    orders = read_orders(arguments[0])
    print(len(orders), "orders")
    from .pricing import total

    amount = total(orders)
    print(f"total {amount / 100:.2f} {CURRENCY}")
    results = run(orders)
    import shop

    spread = shop.statistics.spread([order.count for order in orders])
    print("spread", round(spread, 4))
    from .store.archive import save

    path = save(orders, results, amount)
    print("saved", path)
    if amount < 0:
        return 1
    last = max(orders, key=Order.key)
    print("largest order", last.customer, last.item, last.count)
    return 0
