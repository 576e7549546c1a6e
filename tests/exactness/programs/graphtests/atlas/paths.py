import math

from .graph import NoSuchNode
from .heap import Heap


class NoRoute(LookupError):
    pass


def search(graph, start, estimate=lambda node: 0, goal=None):
    """Distances and predecessors, best first; ends at the goal."""
    if start not in graph:
        raise NoSuchNode(start)
    known, before, done = {start: 0}, {}, set()
    heap = Heap()
    heap.push(estimate(start), start)
    while heap:
        _, node = heap.pop()
        if node == goal:
            break
        done.add(node)
        for other, weight in graph.neighbours(node):
            if weight < 0:
                raise ValueError(f"the edge from {node} to {other} is negative")
            reached = known[node] + weight
            if other not in done and reached < known.get(other, math.inf):
                known[other] = reached
                before[other] = node
                heap.push(reached + estimate(other), other)
    return known, before


def distances(graph, start):
    return search(graph, start)[0]


def route(graph, start, goal, estimate=lambda node: 0):
    known, before = search(graph, start, estimate, goal)
    if goal not in known:
        raise NoRoute(f"no way from {start} to {goal}")
    steps = [goal]
    while steps[-1] != start:
        steps.append(before[steps[-1]])
    return known[goal], steps[::-1]


def all_pairs(graph):
    """Floyd and Warshall's."""
    nodes = graph.nodes
    best = {(a, b): 0 if a == b else math.inf for a in nodes for b in nodes}
    for source in nodes:
        for target, weight in graph.neighbours(source):
            best[source, target] = weight
    for middle in nodes:
        for a in nodes:
            first = best[a, middle]
            if first == math.inf:
                continue
            for b in nodes:
                through = first + best[middle, b]
                if through < best[a, b]:
                    best[a, b] = through
    return best
