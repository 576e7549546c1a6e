"""Spanning trees."""

from .heap import Heap


class Union:
    def __init__(self):
        self.parent = {}
        self.size = {}

    def find(self, item):
        self.parent.setdefault(item, item)
        self.size.setdefault(item, 1)
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def join(self, one, other):
        one, other = self.find(one), self.find(other)
        if one == other:
            return False
        if self.size[one] < self.size[other]:
            one, other = other, one
        self.parent[other] = one
        self.size[one] += self.size[other]
        return True


def kruskal(graph):
    union = Union()
    ordered = sorted(graph.edges(), key=lambda edge: edge[2])
    return [edge for edge in ordered if union.join(edge[0], edge[1])]


def prim(graph, start=None):
    if not len(graph):
        return []
    start = graph.nodes[0] if start is None else start
    heap, tree, inside, via = Heap(), [], set(), {}
    heap.push(0, start)
    while heap:
        weight, node = heap.pop()
        inside.add(node)
        if node in via:
            tree.append((via[node], node, weight))
        for other, cost in graph.neighbours(node):
            if other in inside:
                continue
            if other not in heap or cost < graph.weight(via[other], other):
                via[other] = node
                heap.push(cost, other)
    return tree


def total(tree):
    return sum(weight for _, _, weight in tree)
