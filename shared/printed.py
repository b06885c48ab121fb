"""What a paper prints or plots: the rows of its ``reference/*.csv``, looked up by arm and metric."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Row = dict[str, str]


@cache
def read(file: Path) -> tuple[Row, ...]:
    with file.open(newline="") as lines:
        return tuple(csv.DictReader(lines))


@dataclass(frozen=True)
class Printed:
    """The tables and digitised figures of one replication, by the names of their files."""

    folder: Path
    """The replication's; the files lie in its ``reference/``."""
    metric: str = ""
    """The one meant when none is named."""

    def rows(self, name: str) -> tuple[Row, ...]:
        return read(self.folder / "reference" / f"{name}.csv")

    def entry(self, name: str, arm: str, metric: str = "", **at: float) -> Row:
        """The first row of an arm and a metric at the given coordinates; LookupError names what lacks."""
        metric = metric or self.metric
        for row in self.rows(name):
            if row["arm"] == arm and row["metric"] == metric and all(float(row[k]) == v for k, v in at.items()):
                return row
        raise LookupError(f"reference/{name}.csv has no {metric} of {arm} {at or ''}")

    def mean(self, name: str, arm: str, metric: str = "", **at: float) -> float:
        return float(self.entry(name, arm, metric, **at)["mean"])

    def mean_sd(self, name: str, arm: str, metric: str = "", **at: float) -> tuple[float, float]:
        """Mean and standard deviation; 0 for one that is not printed."""
        row = self.entry(name, arm, metric, **at)
        return float(row["mean"]), float(row["sd"] or 0)
