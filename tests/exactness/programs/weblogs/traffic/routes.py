import csv


class Route:
    __slots__ = ("path", "section", "weight", "mean_ms", "size")

    def __init__(self, path, section, weight, mean_ms, size):
        self.path = path
        self.section = section
        self.weight = int(weight)
        self.mean_ms = float(mean_ms)
        self.size = int(size)

    def __repr__(self):
        return f"Route({self.path!r})"


class RouteTable:
    def __init__(self, routes):
        self.routes = list(routes)
        self.by_path = {route.path: route for route in self.routes}

    @classmethod
    def read(cls, path):
        with open(path, newline="", encoding="utf-8") as file:
            return cls(Route(**row) for row in csv.DictReader(file))

    def section(self, path):
        route = self.by_path.get(path)
        if route is None:
            head = path.split("?", 1)[0]
            route = self.by_path.get(head)
        return route.section if route else "other"

    @property
    def weights(self):
        return [route.weight for route in self.routes]

    def reload(self, path):
        self.__init__(RouteTable.read(path).routes)


def read_agents(path):
    agents = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            name, share, agent = line.rstrip("\n").split(" ", 2)
            agents.append((name, int(share), agent))
    return agents
