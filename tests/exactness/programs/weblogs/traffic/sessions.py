from dataclasses import dataclass, field

from .tools import grouped, stage

FUNNEL = ("/products", "/basket", "/checkout", "/thanks")


@dataclass
class Session:
    host: str
    requests: list = field(default_factory=list)

    @property
    def start(self):
        return self.requests[0].time

    @property
    def seconds(self):
        return self.requests[-1].time - self.start

    @property
    def bounced(self):
        return len(self.requests) == 1

    def depth(self):
        """How far through the funnel it went."""
        reached = 0
        for request in self.requests:
            if reached < len(FUNNEL) and request.path.startswith(FUNNEL[reached]):
                reached += 1
        return reached

    def __len__(self):
        return len(self.requests)


def split(host, requests, gap):
    session = Session(host)
    for request in requests:
        if session.requests and request.time - session.requests[-1].time > gap:
            yield session
            session = Session(host)
        session.requests.append(request)
    yield session


@stage("sessions")
def find_sessions(requests, gap):
    sessions = []
    for host, theirs in sorted(grouped(requests, lambda one: one.host).items()):
        sessions.extend(split(host, theirs, gap))
    sessions.sort(key=lambda one: (one.start, one.host))
    return sessions


def funnel(sessions):
    reached = [0] * (len(FUNNEL) + 1)
    for session in sessions:
        reached[session.depth()] += 1
    counts, rest = [], 0
    for count in reversed(reached):
        rest += count
        counts.append(rest)
    return list(zip(("visit",) + FUNNEL, reversed(counts)))


def transitions(sessions):
    """From one section's page to the next, as counts."""
    counts = {}
    for session in sessions:
        for one, other in zip(session.requests, session.requests[1:]):
            pair = one.path.split("?")[0], other.path.split("?")[0]
            counts[pair] = counts.get(pair, 0) + 1
    return counts
