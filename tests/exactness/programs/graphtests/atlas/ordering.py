"""Orders of directed graphs, and their parts."""


class Cycle(ValueError):
    def __init__(self, nodes):
        super().__init__(" -> ".join(map(str, nodes)))
        self.nodes = nodes


def topological(graph):
    state, order = {}, []

    def visit(node, trail):
        if state.get(node) == "done":
            return
        if state.get(node) == "open":
            raise Cycle(trail[trail.index(node) :] + [node])
        state[node] = "open"
        for other, _ in graph.neighbours(node):
            visit(other, trail + [node])
        state[node] = "done"
        order.append(node)

    for node in graph.nodes:
        visit(node, [])
    return order[::-1]


def components(graph):
    """Strongly connected parts, without recursion (Kosaraju's)."""
    finished, seen = [], set()
    for start in graph.nodes:
        if start in seen:
            continue
        seen.add(start)
        trail = [(start, iter(graph.neighbours(start)))]
        while trail:
            node, rest = trail[-1]
            for other, _ in rest:
                if other not in seen:
                    seen.add(other)
                    trail.append((other, iter(graph.neighbours(other))))
                    break
            else:
                finished.append(node)
                trail.pop()
    turned, parts, taken = graph.reversed(), [], set()
    for start in reversed(finished):
        if start in taken:
            continue
        part, waiting = [], [start]
        taken.add(start)
        while waiting:
            node = waiting.pop()
            part.append(node)
            fresh = [other for other, _ in turned.neighbours(node) if other not in taken]
            taken.update(fresh)
            waiting.extend(fresh)
        parts.append(sorted(part))
    return sorted(parts)
