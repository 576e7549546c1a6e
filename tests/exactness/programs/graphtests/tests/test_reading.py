import pytest
from atlas.reading import BadLine, parse, read, write


def test_round_trip(roads, tmp_path):
    write(roads, tmp_path / "again.txt")
    again = read(tmp_path / "again.txt")
    assert sorted(again.nodes) == sorted(roads.nodes)
    assert all(again.weight(a, b) == weight for a, b, weight in roads.edges())


def test_large(town, tmp_path):
    flat = town.of(((f"{a}".replace(" ", ""), f"{b}".replace(" ", ""), w) for a, b, w in town.edges()))
    write(flat, tmp_path / "town.txt")
    assert len(read(tmp_path / "town.txt")) == len(town)


@pytest.mark.parametrize("line", ["a b", "a b 1 2", "a"])
def test_bad(line):
    with pytest.raises(BadLine, match="line 2"):
        list(parse(["# head", line]))


def test_comments():
    assert list(parse(["a b 3 # near", "", "#"])) == [("a", "b", 3)]
