"""What happens to every account, in this order."""
from settings import FEE

RULES = []


def rule(function):
    RULES.append(function)
    return function


@rule
def trade(account, path):
    share = account.balance / path[0] / 10
    account.book(share * (path[-1] - path[0]), "trade")


@rule
def fee(account, path):
    account.book(-FEE * len(account.notes), "fee")
