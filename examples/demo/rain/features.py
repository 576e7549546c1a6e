"""What the forest may look at: the last two weeks before each day."""

import math
from dataclasses import dataclass

from rain.records import Day

WINDOW = 14
NAMES = (
    "season_sin",
    "season_cos",
    "rain_1",
    "rain_2",
    "rain_3",
    "rain_14",
    "wet_days_7",
    "warmest",
    "coldest",
    "spread",
    "warming",
    "wind",
    "wind_change",
    "days_since_rain",
)


@dataclass(frozen=True)
class Sample:
    day: Day
    values: tuple[float, ...]
    wet: bool


def build(days):
    """A sample for every day that has WINDOW days of the same place before it."""
    samples = []
    for index in range(WINDOW, len(days)):
        past = days[index - WINDOW : index]
        today = days[index]
        if past[0].place == today.place:
            samples.append(Sample(today, describe(past, today), today.wet))
    return samples


def describe(past, today):
    last, before = past[-1], past[-2]
    season = 2 * math.pi * today.date.timetuple().tm_yday / 365.25
    return (
        math.sin(season),
        math.cos(season),
        last.precipitation,
        before.precipitation,
        past[-3].precipitation,
        sum(day.precipitation for day in past),
        float(sum(day.wet for day in past[-7:])),
        last.warmest,
        last.coldest,
        last.warmest - last.coldest,
        last.warmest - before.warmest,
        last.wind,
        last.wind - before.wind,
        days_since_rain(past),
    )


def days_since_rain(past):
    for distance, day in enumerate(reversed(past)):
        if day.wet:
            return float(distance)
    return float(len(past))
