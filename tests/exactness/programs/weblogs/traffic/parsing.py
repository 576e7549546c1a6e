import re
from typing import NamedTuple

from .clock import parse_stamp
from .tools import stage

PATTERN = re.compile(
    r"(?P<host>\S+) \S+ \S+ \[(?P<time>[^]]+)\] "
    r'"(?P<method>[A-Z]+) (?P<path>\S+) (?P<protocol>[^"]*)" '
    r'(?P<status>\d{3}) (?P<size>\d+|-) "(?P<agent>[^"]*)" (?P<took>\d+)$'
)


class Request(NamedTuple):
    host: str
    time: int
    path: str
    status: int
    size: int
    agent: str
    took: int

    @property
    def failed(self):
        return self.status >= 500


class Malformed(ValueError):
    def __init__(self, number, text):
        super().__init__(f"line {number}: {text[:30]!r}...")
        self.number = number


def parse_line(number, text):
    match = PATTERN.match(text)
    if match is None:
        raise Malformed(number, text)
    host, time, _, path, _, status, size, agent, took = match.groups()
    return Request(host, parse_stamp(time), path, int(status), 0 if size == "-" else int(size), agent, int(took))


@stage("parsed")
def parse_log(path):
    requests, malformed = [], []
    with open(path, encoding="ascii") as file:
        for number, text in enumerate(file, 1):
            try:
                requests.append(parse_line(number, text.rstrip("\n")))
            except Malformed as error:
                malformed.append(error)
    for error in malformed[:3]:
        print("skipped", error)
    if len(malformed) > 3:
        print("skipped", len(malformed) - 3, "more")
    return requests
