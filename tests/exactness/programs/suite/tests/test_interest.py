import pytest
from bank.interest import compound, plan


def test_cases(cases):
    for case in cases:
        assert compound(case["principal"], case["rate"], int(case["years"])) == case["expected"]


@pytest.mark.parametrize(("rate", "years"), [(5, 15), (7, 11), (2, 36)])
def test_doubling(rate, years):
    assert plan(100, rate, 200) == years


def test_long_plan(tmp_path):
    years = plan(100, 1, 300)
    (tmp_path / "plan.txt").write_text(str(years))
    assert (tmp_path / "plan.txt").read_text() == "111"
