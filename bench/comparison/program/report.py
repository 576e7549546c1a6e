from memo import rounded


@rounded
def worth(account):
    return account.balance


def line(account):
    return f"{account.name:<10}{account.kind:<8}{worth(account):>10.2f}  {', '.join(account.notes)}"


def total(book):
    return f"total     {sum(worth(account) for account in book):.2f}"
