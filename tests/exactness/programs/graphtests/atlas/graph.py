class NoSuchNode(KeyError):
    def __str__(self):
        return f"there is no node {self.args[0]!r}"


class Graph:
    """Nodes of any hashable kind, edges with weights."""

    def __init__(self, directed=False):
        self.directed = directed
        self._edges = {}

    @classmethod
    def of(cls, edges, directed=False):
        graph = cls(directed)
        for source, target, weight in edges:
            graph.connect(source, target, weight)
        return graph

    def add(self, node):
        self._edges.setdefault(node, {})
        return node

    def connect(self, source, target, weight=1):
        self.add(source)
        self.add(target)
        self._edges[source][target] = weight
        if not self.directed:
            self._edges[target][source] = weight

    def disconnect(self, source, target):
        del self._edges[source][target]
        if not self.directed:
            del self._edges[target][source]

    def neighbours(self, node):
        try:
            return self._edges[node].items()
        except KeyError:
            raise NoSuchNode(node) from None

    def weight(self, source, target):
        return self._edges[source][target]

    @property
    def nodes(self):
        return list(self._edges)

    def edges(self):
        seen = set()
        for source, targets in self._edges.items():
            for target, weight in targets.items():
                if self.directed or (target, source) not in seen:
                    seen.add((source, target))
                    yield source, target, weight

    def reversed(self):
        if not self.directed:
            return self
        turned = Graph.of(((target, source, weight) for source, target, weight in self.edges()), True)
        for node in self.nodes:
            turned.add(node)
        return turned

    def without(self, node):
        return Graph.of((edge for edge in self.edges() if node not in edge[:2]), self.directed)

    def __len__(self):
        return len(self._edges)

    def __contains__(self, node):
        return node in self._edges
