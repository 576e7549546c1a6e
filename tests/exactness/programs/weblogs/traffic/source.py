"""Makes the access log of a week, as the shop's servers would have written it."""

import itertools
import random

from .clock import stamp
from .tools import stage

START = 1_710_115_200
WEEK = 7 * 86_400
STATUS = [200] * 90 + [304] * 5 + [404] * 3 + [500] * 2
WORDS = ("lamp", "oak", "chair", "small desk", "rug", "vase", "shelf")


def address(number):
    return f"10.{number // 62_500 % 250}.{number // 250 % 250}.{number % 250 + 1}"


def query(random_source):
    word = random_source.choice(WORDS)
    return "?q=" + word.replace(" ", "+")


def visits(settings, source):
    """Pairs of visitor and time; visitors come in bursts."""
    left = settings.requests
    while left > 0:
        visitor = int(source.triangular(0, settings.visitors, 0))
        moment = START + source.random() * WEEK
        for _ in range(min(left, 1 + int(source.expovariate(0.2)))):
            yield visitor, moment
            moment += source.expovariate(1 / 40)
            left -= 1


def line(visitor, moment, route, agent, source):
    path = route.path
    if route.section == "search":
        path += query(source)
    status = source.choice(STATUS)
    took = max(1, int(source.gauss(route.mean_ms, route.mean_ms / 4)))
    size = 0 if status == 304 else int(route.size * (0.9 + 0.2 * source.random()))
    return f'{address(visitor)} - - [{stamp(int(moment))}] "GET {path} HTTP/1.1" {status} {size} "{agent}" {took}\n'


@stage("made")
def make(settings, routes, agents):
    source = random.Random(settings.seed)
    chosen_agents = {}
    lines = []
    totals = list(itertools.accumulate(routes.weights))
    shares = [share for _, share, _ in agents]
    for visitor, moment in visits(settings, source):
        if visitor not in chosen_agents:
            chosen_agents[visitor] = source.choices(agents, shares)[0][2]
        route = source.choices(routes.routes, cum_weights=totals)[0]
        text = line(visitor, moment, route, chosen_agents[visitor], source)
        if source.random() < 0.002:
            text = text[: len(text) // 2] + "\n"
        lines.append(text)
        if source.random() < 0.01:
            lines.append(text)
    return lines
