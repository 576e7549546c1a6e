"""Visitors who look at the same pages."""

import math
from collections import Counter

from .tools import stage


def profile(session):
    counts = Counter(request.path for request in session.requests)
    length = math.sqrt(sum(count * count for count in counts.values()))
    return {path: count / length for path, count in counts.items()}


def cosine(one, other):
    if len(other) < len(one):
        one, other = other, one
    return sum(value * other[path] for path, value in one.items() if path in other)


@stage("clusters")
def clusters(sessions, count=6, rounds=4):
    """Centres found in turns, the first ones being the longest sessions."""
    profiles = [profile(session) for session in sessions if not session.bounced]
    centres = sorted(profiles, key=len, reverse=True)[:count]
    sizes = []
    for _ in range(rounds):
        members = [[] for _ in centres]
        for one in profiles:
            best = max(range(len(centres)), key=lambda index: cosine(one, centres[index]))
            members[best].append(one)
        centres = [centre_of(group) if group else centre for group, centre in zip(members, centres)]
        sizes = [len(group) for group in members]
    return [(size, strongest(centre)) for size, centre in sorted(zip(sizes, centres), key=lambda pair: -pair[0])]


def centre_of(group):
    total = Counter()
    for one in group:
        total.update(one)
    length = math.sqrt(sum(value * value for value in total.values()))
    return {path: value / length for path, value in total.items()}


def strongest(centre, count=3):
    return [path for path, _ in sorted(centre.items(), key=lambda item: (-item[1], item[0]))[:count]]
