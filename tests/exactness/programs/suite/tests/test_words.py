import bank.words
import pytest
from bank.words import spell


def test_table(table):
    assert table[10] == 3
    assert sum(table.values()) > 0


@pytest.mark.parametrize("number", [0, 3, 10])
def test_names(number):
    assert spell(number) == bank.words.NAMES[number]


def test_digits():
    assert spell(12) == "one-two"


def test_patched(monkeypatch):
    monkeypatch.setitem(bank.words.NAMES, 4, "four")
    assert spell(42) == "four-two"


@pytest.mark.skipif(not bank.words.NAMES, reason="no names")
def test_unknown():
    assert spell(99) == "9-9"


@pytest.mark.xfail(reason="not spelled yet")
def test_teens():
    assert spell(13) == "thirteen"
