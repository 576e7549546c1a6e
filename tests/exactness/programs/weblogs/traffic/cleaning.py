"""Takes out what no visitor asked for."""

import re
from urllib.parse import unquote_plus

from .tools import cached, stage

BOT = re.compile(r"bot|crawl|curl|spider", re.IGNORECASE)


@cached(256)
def is_bot(agent):
    return BOT.search(agent) is not None


@cached(512)
def plain_path(path):
    return unquote_plus(path).lower()


def without_repeats(requests):
    seen = set()
    for request in requests:
        key = (request.host, request.time, request.path, request.took)
        if key in seen:
            continue
        seen.add(key)
        yield request


class Filter:
    """Counts what it drops, by the name of the rule."""

    def __init__(self):
        self.rules = []
        self.dropped = {}

    def rule(self, function):
        self.rules.append(function)
        self.dropped[function.__name__] = 0
        return function

    def apply(self, requests):
        for request in requests:
            for rule in self.rules:
                if rule(request):
                    self.dropped[rule.__name__] += 1
                    break
            else:
                yield request


def standard_filter(routes):
    chosen = Filter()

    @chosen.rule
    def bots(request):
        return is_bot(request.agent)

    @chosen.rule
    def assets(request):
        return routes.section(request.path) == "static"

    @chosen.rule
    def too_slow(request):
        return request.took > 5000

    return chosen


@stage("cleaned")
def clean(requests, routes):
    chosen = standard_filter(routes)
    kept = [one._replace(path=plain_path(one.path)) for one in chosen.apply(without_repeats(requests))]
    kept.sort(key=lambda one: (one.time, one.host, one.path))
    for name, count in chosen.dropped.items():
        print(f"  dropped as {name}: {count}")
    return kept
