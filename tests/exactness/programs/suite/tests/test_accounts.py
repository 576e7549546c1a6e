import pytest
from bank.accounts import FEE, Account, Overdrawn, Savings


def test_deposit(account):
    account.deposit(5)
    assert account.balance == 105
    assert account.history == [("deposit", 5)]


@pytest.mark.parametrize("amount", [0, -1, -50])
def test_bad_deposit(account, amount):
    with pytest.raises(ValueError, match="positive"):
        account.deposit(amount)


def test_limits(any_account):
    any_account.withdraw(10)
    assert any_account.balance in (40, 40 - FEE)


class TestSavings:
    rate = 3

    def setup_method(self):
        self.savings = Savings("cy", 1000)

    def test_grow(self):
        assert self.savings.grow(self.rate, 10) == pytest.approx(1343.92)

    def test_overdrawn(self):
        with pytest.raises(Overdrawn) as caught:
            self.savings.withdraw(999)
        assert "cy has 1000" in str(caught.value)


def test_prints(capsys):
    print(Account("di").owner)
    assert capsys.readouterr().out == "di\n"
