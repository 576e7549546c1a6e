"""The most that can flow from a source to a sink."""

import math
from collections import deque


class Network:
    def __init__(self, graph):
        self.left = {node: dict(graph.neighbours(node)) for node in graph.nodes}
        for node in graph.nodes:
            for other, _ in graph.neighbours(node):
                self.left[other].setdefault(node, 0)

    def levels(self, source):
        found = {source: 0}
        waiting = deque([source])
        while waiting:
            node = waiting.popleft()
            for other, left in self.left[node].items():
                if left > 0 and other not in found:
                    found[other] = found[node] + 1
                    waiting.append(other)
        return found

    def push(self, node, sink, amount, levels, untried):
        if node == sink:
            return amount
        while untried[node]:
            other = untried[node][-1]
            if self.left[node][other] > 0 and levels.get(other) == levels[node] + 1:
                moved = self.push(other, sink, min(amount, self.left[node][other]), levels, untried)
                if moved:
                    self.left[node][other] -= moved
                    self.left[other][node] += moved
                    return moved
            untried[node].pop()
        return 0

    def run(self, source, sink):
        flow = 0
        while sink in (levels := self.levels(source)):
            untried = {node: list(self.left[node]) for node in levels}
            while moved := self.push(source, sink, math.inf, levels, untried):
                flow += moved
        return flow

    def cut(self, source):
        """The nodes on the source's side of a least cut."""
        return set(self.levels(source))


def maximum(graph, source, sink):
    return Network(graph).run(source, sink)
