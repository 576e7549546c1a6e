"""Graphs for tests, the same every time."""

import itertools
import random

from atlas import Graph


def grid(width, height, seed=3):
    source = random.Random(seed)
    graph = Graph()
    for x, y in itertools.product(range(width), range(height)):
        if x:
            graph.connect((x - 1, y), (x, y), source.randint(1, 9))
        if y:
            graph.connect((x, y - 1), (x, y), source.randint(1, 9))
    return graph


def scattered(count, edges, seed, directed=False):
    source = random.Random(seed)
    graph = Graph(directed)
    for node in range(count):
        graph.add(node)
    for _ in range(edges):
        first, second = source.sample(range(count), 2)
        graph.connect(first, second, source.randint(1, 30))
    return graph


def brute_force(graph, start):
    """Bellman and Ford's, as slow as it is plain."""
    known = {start: 0}
    edges = [(a, b, w) for a in graph.nodes for b, w in graph.neighbours(a)]
    for _ in graph.nodes:
        for source, target, weight in edges:
            if source in known and known[source] + weight < known.get(target, float("inf")):
                known[target] = known[source] + weight
    return known


def slow_mark(function):
    function.slow = True
    return function
