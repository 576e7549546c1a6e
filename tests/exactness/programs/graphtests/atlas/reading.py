from .graph import Graph


class BadLine(ValueError):
    pass


def parse(lines):
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        words = text.split()
        if len(words) != 3:
            raise BadLine(f"line {number}: {len(words)} words, not 3")
        yield words[0], words[1], int(words[2])


def read(path, directed=False):
    with open(path, encoding="utf-8") as file:
        return Graph.of(parse(file), directed)


def write(graph, path):
    with open(path, "w", encoding="utf-8") as file:
        for source, target, weight in graph.edges():
            file.write(f"{source} {target} {weight}\n")


def to_dot(graph):
    edges = "".join(f'  "{a}" -- "{b}" [label={w}];\n' for a, b, w in graph.edges())
    return "graph {\n" + edges + "}\n"
