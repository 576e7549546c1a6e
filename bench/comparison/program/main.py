"""What a year of trades comes to, account by account.

Run it with: python3 main.py
"""
import accounts
import prices
import report
import rules


def main():
    path = prices.path(days=250_000, seed=11)
    print(f"prices    {len(path)} days, the last at {path[-1]:.2f}")
    book = accounts.opened("trades.csv")
    for account in book:
        for rule in rules.RULES:
            rule(account, path)
    for account in book:
        print(report.line(account))
    print(report.total(book))


if __name__ == "__main__":
    main()
