import csv
import json
from typing import NamedTuple


class Hours(NamedTuple):
    client: str
    work: str
    count: int


def read_clients(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["code"]: row for row in csv.DictReader(file)}


def read_tariff(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_hours(stream):
    found = []
    for number, line in enumerate(stream, 1):
        parts = line.split()
        if len(parts) != 3:
            raise ValueError(f"line {number}: {line!r}")
        found.append(Hours(parts[0], parts[1], int(parts[2])))
    return found
