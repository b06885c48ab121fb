"""Tidy tables from run records: column order and value types are the same from files, server, cache and snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from shared.runs.schema import INTEGERS, STEP, RunRecord

IDENTITY = ("run_id", "paper", "arm", "preset", "seed", "protocol", "sweep", "status")
_NOT_TEXT = ("provenance.threads", "provenance.git_dirty")


def row_of(record: RunRecord) -> dict[str, Any]:
    """One row of a record: the identity, the config, the summary metrics.

    Lists become JSON text. A planned count that the summary reports as reached (``updates``) is kept as
    ``config.updates``; the summary's own ``trainer/global_step`` repeats ``updates`` and is left out. A metric never
    hides a field of the spec: ``lr`` is the reference rate, and the last one used stands in the history.
    """
    config = {f"config.{k}" if k in INTEGERS else k: v for k, v in cells(record.config).items()}
    summary = {k: v for k, v in cells(record.summary).items() if k != STEP and k not in config}
    return config | summary | {"run_id": record.run_id}


def rows_frame(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] = ()) -> pd.DataFrame:
    """A row a run, sorted by preset, arm, seed, run_id; identity columns first, the rest by name.

    ``columns`` are there even if no row has a value for them.
    """
    rows = sorted((dict(r) for r in rows), key=_order)
    names = {name for row in rows for name in row} | {*columns}
    frame = pd.DataFrame(rows, columns=[*IDENTITY, *sorted(names - {*IDENTITY})])
    return frame.apply(_typed) if len(frame) else frame


def history_frames(frames: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """``(run_id, history)`` pairs as one table, sorted by run_id and step."""
    return join_histories(frame.assign(run_id=run_id) for run_id, frame in frames)


def join_histories(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of different runs, with their ``run_id``, as one, sorted by run_id and step."""
    kept = [frame for frame in frames if len(frame)]
    if not kept:
        return pd.DataFrame({"run_id": pd.Series(dtype="str"), STEP: pd.Series(dtype="int64")})
    return tidy_history(pd.concat(kept, ignore_index=True))


def tidy_history(history: pd.DataFrame) -> pd.DataFrame:
    """Columns ``run_id``, step, then by name; rows by run and step; counts as integers, other numbers as float64."""
    first = ["run_id", STEP]
    history = history[[*first, *sorted(c for c in history.columns if c not in first)]]
    history = history.sort_values(first, kind="stable", ignore_index=True)
    return history.apply(_typed)


def is_text(column: str) -> bool:
    """Whether a column of ``rows`` holds text even where it looks like a number (a CUDA version, a revision)."""
    textual = column in IDENTITY and column not in ("seed", "protocol")
    return textual or (column.startswith("provenance.") and column not in _NOT_TEXT)


def _order(row: Mapping[str, Any]) -> tuple[str, str, int, str]:
    return str(row.get("preset")), str(row.get("arm")), int(row.get("seed") or 0), str(row.get("run_id"))


def cells(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As they stand in a row: lists as JSON."""
    return {k: json.dumps(v) if isinstance(v, list | tuple) else v for k, v in fields.items()}


def _typed(column: pd.Series) -> pd.Series:
    """bool if all are, int64 if all are whole and none is missing, float64 for other numbers, else text.

    Text counts as numbers where all of it reads as such (``hidden="800"``): from a CSV file it comes back so.
    """
    if is_text(str(column.name)):
        return column.astype("str")
    present = column.dropna()
    if present.empty:
        return column.astype("float64")
    flags = present.map(lambda v: isinstance(v, bool)) if present.dtype == object else None
    if column.dtype == bool or (flags is not None and flags.all()):
        return column.astype("bool") if len(present) == len(column) else column.astype("str")
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("int64" if pd.api.types.is_integer_dtype(column) else "float64")
    if flags is not None and not flags.any() and present.map(lambda v: isinstance(v, int | float)).all():
        whole = len(present) == len(column) and present.map(lambda v: isinstance(v, int)).all()
        return column.astype("int64" if whole else "float64")
    if flags is not None and not flags.any() and pd.to_numeric(present, errors="coerce").notna().all():
        numbers = pd.to_numeric(column)
        return numbers if len(present) == len(column) else numbers.astype("float64")
    return column.astype("str")
