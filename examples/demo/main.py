"""Will it rain tomorrow? Trains a forest of decision trees on four years of
daily weather in two cities, and tests it on the last year.

Run it with: python3 main.py
"""

from pathlib import Path

from rain import features, forest, records, report, scores

HERE = Path(__file__).parent
TREES = 140
TEST_YEAR = 2015


def main():
    days = records.read(HERE / "data" / "weather.csv")
    print(f"read      {len(days)} days of {len({day.place for day in days})} cities")

    samples = features.build(days)
    training = [sample for sample in samples if sample.day.date.year < TEST_YEAR]
    testing = [sample for sample in samples if sample.day.date.year == TEST_YEAR]
    print(f"features  {len(features.NAMES)} a day, {len(training)} days to learn from, {len(testing)} to test on")

    model = forest.train(training, trees=TREES, seed=2012)
    print(f"forest    {TREES} trees, {model.leaves} leaves")

    forecasts = [(sample, model.probability(sample.values)) for sample in testing]
    result = scores.evaluate(forecasts)
    report.show(result)

    path = report.write(HERE / "forecasts.csv", forecasts)
    print(f"wrote     {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
