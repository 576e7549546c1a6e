import csv
import os

import pytest
from bank.accounts import Account, Savings


@pytest.fixture
def account():
    return Account("ada", 100)


@pytest.fixture(params=[Account, Savings], ids=lambda kind: kind.__name__)
def any_account(request):
    return request.param("bo", 50)


@pytest.fixture(scope="session")
def cases():
    path = os.path.join(os.path.dirname(__file__), "cases.csv")
    with open(path, newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def table():
    rows = {}
    for number in range(120000):
        rows[number] = number * number % 97
    yield rows
    rows.clear()
