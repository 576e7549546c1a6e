from bank.interest import compound

FEE = 2


class Overdrawn(Exception):
    pass


class Account:
    limit = -100

    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = []

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("deposit must be positive")
        self.balance += amount
        self.history.append(("deposit", amount))

    def withdraw(self, amount):
        if self.balance - amount < self.limit:
            raise Overdrawn(f"{self.owner} has {self.balance}")
        self.balance -= amount
        self.history.append(("withdraw", amount))

    def grow(self, rate, years):
        self.balance = compound(self.balance, rate, years)
        return self.balance

    def close_account(self):
        self.balance = 0


class Savings(Account):
    limit = 0

    def withdraw(self, amount):
        super().withdraw(amount + FEE)
