"""The committed tables: one CSV row a run that ``git diff`` can show, and the curves as parquet.

A report is made from what ``load`` returns, so that a fresh clone, which has nothing else, gets the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from shared.files import write_atomically
from shared.runs.frames import history_frames, is_text, join_histories, rows_frame, tidy_history

_DROPPED = ("provenance.host",)
_PATHS = ("provenance.command", "provenance.data_name", "data.name")
_FOLDERS = re.compile(r"(?<![\w./])/(?:[^/\s'\"]+/)+")


class SnapshotError(ValueError):
    """A committed table that cannot be read; the message names the file and the remedy."""


def save(
    rows: pd.DataFrame,
    history: pd.DataFrame,
    results_dir: Path | str,
    paper_key: str,
    keep: Collection[str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merge local runs into the snapshot, write it if it changed, and return what ``load`` now gives.

    Runs that are only in the snapshot stay: a fresh clone has no others. ``keep``, the declared run_ids, drops the
    runs of either side that it does not name.
    """
    rows, history = merge((rows, history), load(results_dir, paper_key), keep)
    csv, parquet = paths(results_dir, paper_key)
    csv.parent.mkdir(parents=True, exist_ok=True)
    _replace(csv, _csv(rows))
    _replace(parquet, _parquet(history))
    return load(results_dir, paper_key)


def load(results_dir: Path | str, paper_key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``(rows, history)`` of the snapshot, empty ones where there is none. Raises SnapshotError."""
    csv, parquet = paths(results_dir, paper_key)
    rows, history = rows_frame([]), history_frames([])
    try:
        if csv.exists():
            rows = _read_csv(csv)
    except (ValueError, KeyError) as error:
        raise _unreadable(csv, error) from error
    try:
        if parquet.exists():
            history = tidy_history(pd.read_parquet(parquet, engine="pyarrow"))
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise _unreadable(parquet, error) from error
    return rows, history


def merge(
    local: tuple[pd.DataFrame, pd.DataFrame],
    stored: tuple[pd.DataFrame, pd.DataFrame],
    keep: Collection[str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Local runs, and the stored ones that are not among them; a run's row and curve come from the same side."""
    mine = set(local[0]["run_id"])
    theirs = set(stored[0]["run_id"]) - mine
    if keep is not None:
        mine, theirs = mine & set(keep), theirs & set(keep)
    sides = ((local, mine), (stored, theirs))
    rows = [row for side, wanted in sides for row in _records(side[0][side[0]["run_id"].isin(wanted)])]
    history = join_histories(side[1][side[1]["run_id"].isin(wanted)] for side, wanted in sides)
    return rows_frame(rows, {*local[0].columns, *stored[0].columns}), history


def paths(results_dir: Path | str, paper_key: str) -> tuple[Path, Path]:
    """The CSV of rows and the parquet file of curves."""
    folder = Path(results_dir, "snapshot")
    return folder / f"{paper_key}.csv", folder / f"{paper_key}.history.parquet"


def _csv(rows: pd.DataFrame) -> bytes:
    """Numbers in 10 digits, floats recognisable as such (``1.0``), no host name, no folders of this machine."""
    out = rows.drop(columns=[c for c in _DROPPED if c in rows])
    for column in out.columns:
        if pd.api.types.is_float_dtype(out[column]):
            out[column] = out[column].map(_digits)
        elif column in _PATHS:
            out[column] = out[column].map(lambda v: v if pd.isna(v) else _FOLDERS.sub("", v))
    return out.to_csv(index=False, lineterminator="\n").encode()


def _digits(value: float) -> str | None:
    if np.isnan(value):
        return None
    text = f"{value:.10g}"
    return text if re.search(r"[.en]", text) else f"{text}.0"


def _read_csv(path: Path) -> pd.DataFrame:
    header = path.read_text(encoding="utf-8").partition("\n")[0]
    text = {c: "str" for c in header.split(",") if is_text(c)}
    rows = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], float_precision="round_trip")
    if missing := {"run_id", "paper", "preset", "arm", "seed"} - set(rows.columns):
        raise ValueError(f"no column {sorted(missing)[0]}")
    if rows["run_id"].duplicated().any():
        raise ValueError(f"run {rows['run_id'][rows['run_id'].duplicated()].iloc[0]} stands there twice")
    return rows_frame(_records(rows), rows.columns)


def _parquet(history: pd.DataFrame) -> bytes:
    """Seven digits are enough for curves; the same curves give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    small = {c: "float32" for c in history.columns if pd.api.types.is_float_dtype(history[c])}
    table = pa.Table.from_pandas(history.astype(small), preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=9, write_page_checksum=True)
    return buffer.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all, and untouched when nothing changed, so that make sees no news."""
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


def _records(frame: pd.DataFrame) -> list[dict]:
    """Rows without their missing values, so that a column one run lacks does not change the type of the others."""
    return [{k: v for k, v in row.items() if not pd.isna(v)} for row in frame.to_dict("records")]


def _unreadable(path: Path, error: Exception) -> SnapshotError:
    return SnapshotError(f"{path} cannot be read ({error}); restore it: git checkout -- {path.name}")
