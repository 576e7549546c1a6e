"""The result, for people and as a file."""

import csv

from rain import scores


def show(result):
    print(f"forecast  {percent(result.right, result.days)} of {result.days} days right")
    print(f"          {result.warned} umbrellas carried, {result.false_alarms} of them for nothing")
    print(f"          {result.surprises} days of rain without an umbrella")
    print(f"          Brier score {result.brier:.4f} ({result.brier_guess:.4f} for always saying the yearly share)")


def percent(part, whole):
    return f"{100 * part / whole:.1f} %"


def write(path, forecasts):
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["place", "date", "probability", "says_rain", "rained"])
        for sample, probability in forecasts:
            day = sample.day
            rows.writerow([day.place, day.date, f"{probability:.3f}", scores.says_rain(probability), day.wet])
    return path
