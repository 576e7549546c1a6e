import pytest
from atlas import Graph
from atlas.flows import Network, maximum


@pytest.fixture
def small():
    edges = [("s", "a", 10), ("s", "b", 5), ("a", "b", 15), ("a", "t", 4), ("b", "t", 12)]
    return Graph.of(edges, directed=True)


def test_small(small):
    assert maximum(small, "s", "t") == 15


def test_nothing_flows(small):
    small.disconnect("a", "t")
    small.disconnect("b", "t")
    assert maximum(small, "s", "t") == 0


def test_levels(small):
    assert Network(small).levels("s") == {"s": 0, "a": 1, "b": 1, "t": 2}


@pytest.mark.slow
def test_flow_equals_cut(pipes):
    for sink in range(380, 400):
        network = Network(pipes)
        flow = network.run(0, sink)
        side = network.cut(0)
        assert flow == sum(weight for a, b, weight in pipes.edges() if a in side and b not in side)


def test_graph_is_left_alone(pipes):
    before = list(pipes.edges())
    maximum(pipes, 0, 399)
    assert list(pipes.edges()) == before
