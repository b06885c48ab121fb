"""Chance level of an error in percent: where a net stands that has learnt nothing, and above which nothing can rise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from shared.datasets import KNOWN

CHANCE = "val/error"
"""The column in which a diverged run has it."""

NEAR = 1.0
"""Points below chance level that still count as chance."""


def at_chance(error: float, data: object) -> bool:
    """Whether an error in percent lies within NEAR of 100·(1 − 1/classes), or above; False for unknown data."""
    known = KNOWN.get(data) if isinstance(data, str) else None
    return known is not None and error >= 100 * (1 - 1 / known.classes) - NEAR


def with_lost(values: pd.Series, runs: pd.DataFrame, metric: str) -> pd.Series:
    """A metric of some runs, in which a diverged one without it stands at chance level if it is an error (or 100 minus
    one); of another metric it has none."""
    if "error" not in metric or CHANCE not in runs:
        return values
    chance = pd.to_numeric(runs[CHANCE], errors="coerce")
    lost = (runs["status"] == "diverged") & ~np.isfinite(values)
    return values.where(~lost, 100 - chance if metric.startswith("100-") else chance)
