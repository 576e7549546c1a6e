import accounts
import prices
import pytest
import report
import rules


@pytest.fixture(scope="module")
def path():
    return prices.path(days=250_000, seed=11)


@pytest.fixture
def account():
    return accounts.Account("test", 100.0)


def test_prices_stay_above_one(path):
    assert min(path) >= 1.0


def test_prices_are_seeded(path):
    assert path[:50] == prices.path(days=50, seed=11)


def test_booking(account):
    account.book(5.0, "gift")
    assert (account.balance, account.notes) == (105.0, ["gift"])


def test_rules_are_noted(account, path):
    for rule in rules.RULES:
        rule(account, path)
    assert account.notes == ["trade", "fee"]


def test_fee_is_a_quarter_for_each_booking(account, path):
    account.book(0.0, "gift")
    rules.fee(account, path)
    assert account.balance == 99.75


def test_line(account):
    assert report.line(account).split() == ["test", "plain", "100.00"]


def test_total(account):
    assert report.total([account, account]) == "total     200.00"
