"""What a run is told by its configuration file."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path


class BadSettings(ValueError):
    pass


@dataclass
class Settings:
    seed: int = 1
    requests: int = 1000
    visitors: int = 100
    session_gap: int = 1800
    top: int = 10
    percentiles: list = field(default_factory=lambda: [50, 95])
    smoothing: float = 0.5
    out: str = "out"
    directory: Path = Path(".")

    def __post_init__(self):
        if not 0 <= self.smoothing <= 1:
            raise BadSettings(f"smoothing is {self.smoothing}, not between 0 and 1")
        if self.visitors < 1:
            raise BadSettings("a log needs a visitor")

    @classmethod
    def load(cls, path):
        path = Path(path)
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name for one in fields(cls)}
        for name in sorted(told):
            if name not in known:
                raise BadSettings(f"{path.name}: unknown setting {name}")
        return cls(**told, directory=path.parent)

    def describe(self):
        for one in fields(self):
            print(f"{one.name:>14} = {getattr(self, one.name)}")
