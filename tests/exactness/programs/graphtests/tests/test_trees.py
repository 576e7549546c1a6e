import pytest
from atlas import Graph
from atlas.trees import Union, kruskal, prim, total

from .making import grid


def check_tree(graph, tree):
    union = Union()
    assert all(union.join(a, b) for a, b, _ in tree)
    assert len(tree) == len(graph) - 1


@pytest.mark.parametrize("build", [kruskal, prim])
def test_known(build):
    graph = Graph.of([("a", "b", 1), ("b", "c", 2), ("a", "c", 3), ("c", "d", 4)])
    assert total(build(graph)) == 7


@pytest.mark.parametrize("build", [kruskal, prim])
def test_spans(build, town):
    check_tree(town, build(town))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_agree(seed):
    graph = grid(60, 50, seed)
    assert total(kruskal(graph)) == total(prim(graph)) == total(prim(graph, (59, 49)))


def test_empty():
    assert prim(Graph()) == kruskal(Graph()) == []


def test_roads(roads, expected):
    clean = Graph.of(roads.edges())
    assert total(kruskal(clean)) == expected["tree"]
