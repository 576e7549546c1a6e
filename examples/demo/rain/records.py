"""Daily weather records, as they stand in the data file."""

import csv
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Day:
    place: str
    date: date
    precipitation: float  # mm
    warmest: float  # degrees Celsius
    coldest: float
    wind: float  # m/s

    @property
    def wet(self):
        return self.precipitation > 0


def read(path):
    """All days, in the order of the file: by place, then by date."""
    with open(path, newline="", encoding="utf-8") as file:
        return [parse(row) for row in csv.DictReader(file)]


def parse(row):
    return Day(
        place=row["location"],
        date=date.fromisoformat(row["date"]),
        precipitation=float(row["precipitation"]),
        warmest=float(row["temp_max"]),
        coldest=float(row["temp_min"]),
        wind=float(row["wind"]),
    )
