import pytest
from atlas import Graph, NoSuchNode


@pytest.mark.parametrize("directed", [False, True], ids=["both ways", "one way"])
class TestConnecting:
    def test_edges(self, directed):
        graph = Graph.of([(1, 2, 5), (2, 3, 6)], directed)
        assert list(graph.edges()) == [(1, 2, 5), (2, 3, 6)]

    def test_other_way(self, directed):
        graph = Graph(directed)
        graph.connect("a", "b")
        assert dict(graph.neighbours("b")) == ({} if directed else {"a": 1})

    def test_disconnect(self, directed):
        graph = Graph.of([(1, 2, 5)], directed)
        graph.disconnect(1, 2)
        assert len(graph) == 2
        assert not list(graph.edges())


def test_unknown():
    with pytest.raises(NoSuchNode, match="no node 'x'"):
        Graph().neighbours("x")


def test_reversed():
    graph = Graph.of([(1, 2, 5)], directed=True)
    assert list(graph.reversed().edges()) == [(2, 1, 5)]


def test_contains(roads):
    assert "ash" in roads
    assert "oak" not in roads
