import pytest
from atlas import Graph, NoSuchNode, distances, paths, route

from .making import brute_force


def shortest(graph, start, goal):
    return route(graph, start, goal)[0]


def test_roads(roads, expected):
    assert distances(roads, "ash") == {"ash": 0, **expected["ash"]}


def test_route(roads):
    assert route(roads, "dell", "glen") == (18, ["dell", "cove", "elm", "glen"])


def test_unknown(roads):
    with pytest.raises(NoSuchNode):
        distances(roads, "oak")


def test_no_route(roads):
    graph = Graph.of(roads.edges())
    graph.add("isle")
    with pytest.raises(paths.NoRoute, match="from ash to isle"):
        route(graph, "ash", "isle")


@pytest.mark.slow
def test_like_brute_force(mesh):
    for start in range(0, 105, 21):
        assert distances(mesh, start) == brute_force(mesh, start)


@pytest.mark.parametrize("goal", [(69, 59), (35, 30), (0, 59)])
def test_estimates_change_nothing(town, goal):
    def left(node):
        return abs(goal[0] - node[0]) + abs(goal[1] - node[1])

    length, steps = route(town, (0, 0), goal, left)
    assert length == shortest(town, (0, 0), goal)
    assert sum(town.weight(a, b) for a, b in zip(steps, steps[1:])) == length


@pytest.mark.slow
def test_all_pairs(mesh):
    best = paths.all_pairs(mesh)
    assert all(best[0, node] == length for node, length in distances(mesh, 0).items())


def test_negative(roads, monkeypatch):
    monkeypatch.setitem(roads._edges["ash"], "brook", -1)
    with pytest.raises(ValueError, match="ash to brook is negative"):
        distances(roads, "ash")
