import pytest
from atlas import Graph
from atlas.ordering import Cycle, components, topological

from .making import scattered


def test_order():
    graph = Graph.of([("shirt", "tie", 1), ("tie", "coat", 1), ("shirt", "belt", 1)], directed=True)
    order = topological(graph)
    assert order.index("shirt") < order.index("tie") < order.index("coat")


def test_cycle():
    with pytest.raises(Cycle) as caught:
        topological(Graph.of([(1, 2, 1), (2, 3, 1), (3, 1, 1)], directed=True))
    assert caught.value.nodes == [1, 2, 3, 1]


@pytest.mark.parametrize(("edges", "parts"), [(0, 300), (2400, 1)])
def test_extremes(edges, parts):
    assert len(components(scattered(300, edges, 2, directed=True))) == parts


def test_components_cover(pipes):
    found = components(pipes)
    assert sorted(node for part in found for node in part) == sorted(pipes.nodes)


@pytest.mark.slow
def test_same_component_both_ways():
    graph = scattered(1500, 2600, 5, directed=True)
    assert components(graph) == components(graph.reversed())
