"""Names and value types that the writer and the readers of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

PROJECT = "large-batch-replications"
STEP = "trainer/global_step"
"""Updates done: the key on which rows of one run are merged."""
FLOAT_KEYS = "float_keys"
"""Config key that lists the fields which are floats (W&B writes 1.0 as 1)."""
INTEGERS = (STEP, "samples", "updates")
"""Metrics that count something; every other number in history and summary is a float."""
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(frozen=True)
class RunRecord:
    """One run, from files or from the server, in one form."""

    run_id: str
    config: dict[str, Any]
    """Flat, dotted keys; ints, floats, bools, strings, None and lists as they were logged."""
    summary: dict[str, Any]
    history: pd.DataFrame
    """One row per ``trainer/global_step`` (rising); missing values are NaN."""
    finished: bool
    """The run was closed with exit code 0. Without an exit record it is not."""
    problem: str | None = None
    """What could not be read, and from which file."""


def number(value: Any) -> Any:
    """W&B writes NaN and infinities as strings: back to floats; anything else is left alone."""
    return _SPECIAL.get(value, value) if isinstance(value, str) else value


def config_values(raw: dict[str, Any]) -> dict[str, Any]:
    """The config as it was given to W&B: floats are floats again, W&B's own keys are gone."""
    floats = set(raw.get(FLOAT_KEYS) or ())
    kept = {k: v for k, v in _flat(raw).items() if k != FLOAT_KEYS and not k.startswith("_")}
    return {k: _as_float(v) if k in floats else v for k, v in kept.items()}


def metric_values(raw: dict[str, Any]) -> dict[str, Any]:
    """Summary or history values: counts are ints, other numbers floats, W&B's own keys (``_step`` …) are gone."""
    return {k: _metric(k, number(v)) for k, v in _flat(raw).items() if not k.startswith("_")}


def history_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows in the order they were logged → one row per step; a later value of the same key and step wins.

    Rows without the step are no measurements (W&B's own bookkeeping) and are left out.
    """
    merged: dict[int, dict[str, Any]] = {}
    for row in rows:
        values = metric_values(row)
        if isinstance(step := values.get(STEP), int) and not isinstance(step, bool):
            merged.setdefault(step, {}).update(values)
    if not merged:
        return pd.DataFrame({STEP: pd.Series(dtype="int64")})
    frame = pd.DataFrame([merged[step] for step in sorted(merged)])
    return frame[[STEP, *sorted(c for c in frame.columns if c != STEP)]]


def _flat(raw: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in raw.items():
        if isinstance(value, dict) and value:
            out |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            out[f"{prefix}{key}"] = value
    return out


def _as_float(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_float(v) for v in value]
    value = number(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _metric(key: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if key in INTEGERS and float(value).is_integer():
        return int(value)
    return float(value)
