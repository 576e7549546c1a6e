import csv


class Account:
    kind = "plain"

    def __init__(self, name, balance):
        self.name = name
        self.balance = balance
        self.notes = []

    def book(self, amount, note):
        self.balance += amount
        self.notes.append(note)


def opened(path):
    with open(path, newline="") as file:
        return [Account(row["name"], float(row["balance"])) for row in csv.DictReader(file)]
