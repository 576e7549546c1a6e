"""How good the forecasts were."""

from dataclasses import dataclass


@dataclass
class Result:
    days: int
    right: int
    warned: int
    false_alarms: int
    surprises: int
    brier: float
    brier_guess: float


def evaluate(forecasts):
    outcomes = [(says_rain(probability), sample.wet) for sample, probability in forecasts]
    share_wet = sum(wet for _, wet in outcomes) / len(outcomes)
    return Result(
        days=len(outcomes),
        right=sum(said == wet for said, wet in outcomes),
        warned=sum(said for said, _ in outcomes),
        false_alarms=sum(said and not wet for said, wet in outcomes),
        surprises=sum(wet and not said for said, wet in outcomes),
        brier=brier((probability, sample.wet) for sample, probability in forecasts),
        brier_guess=brier((share_wet, wet) for _, wet in outcomes),
    )


def says_rain(probability):
    return probability >= 0.5


def brier(pairs):
    """Mean squared distance between the probability and what happened."""
    squares = [(probability - wet) ** 2 for probability, wet in pairs]
    return sum(squares) / len(squares)
