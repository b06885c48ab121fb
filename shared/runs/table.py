"""All finished runs of a paper as two tidy tables, from the run folders or from the W&B server."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from shared.runs import api
from shared.runs.cache import Cache, Entry
from shared.runs.frames import history_frames, join_histories, row_of, rows_frame
from shared.runs.read import read_run, wandb_files
from shared.runs.schema import RunRecord
from shared.spec import PRESETS

log = logging.getLogger(__name__)
_OUTCOMES = ("finished", "diverged")


def collate(
    results_dir: Path | str, paper_key: str, preset: str | None = None, runs: Collection[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``(rows, history)`` of the runs that have a ``done.json``; ``runs`` restricts them to declared run_ids.

    What cannot be read is left out, with one warning each in the log and in ``rows.attrs["problems"]``.
    """
    frames, rows, problems = [], [], []
    for name in [preset] if preset else PRESETS:
        folder = Path(results_dir, "runs", paper_key, name)
        if folder.is_dir():
            entries, history, found = _collate_preset(folder, None if runs is None else set(runs))
            rows += [entry.row for entry in entries if entry.row]
            frames.append(history)
            problems += found
    return _finish(rows, frames, problems)


def collate_api(
    path: str, paper_key: str, preset: str | None = None, known: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same tables from online runs of the project ``path`` (``entity/project``), without those that ``known`` has
    (see ``api.fetch``)."""
    rows, frames, problems = [], [], []
    for record in api.fetch(path, paper_key, preset, known=known):
        if problem := _unfit(record):
            problems.append(problem)
        else:
            rows.append(row_of(record))
            frames.append((record.run_id, record.history))
    return _finish(rows, [history_frames(frames)], problems)


def _finish(rows: list[dict], frames: list[pd.DataFrame], problems: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    for problem in problems:
        log.warning(problem)
    table = rows_frame(rows)
    table.attrs["problems"] = problems
    return table, join_histories(frames)


def _collate_preset(folder: Path, runs: set[str] | None) -> tuple[list[Entry], pd.DataFrame, list[str]]:
    """Cached entries where the files are as they were, fresh ones for the rest, read in parallel."""
    cache = Cache.load(folder / ".collated.parquet")
    keys = {name: _fingerprint(folder / name) for name in _done(folder)}
    stale = [name for name, key in keys.items() if not cache.holds(name, key)]
    wanted = [name for name in stale if runs is None or name in runs]
    if wanted:
        with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
            fresh = list(pool.map(lambda name: _read(folder / name, keys[name]), wanted))
        cache = cache.with_runs(fresh)
    kept = [name for name in keys if cache.holds(name, keys[name])]
    cache = cache.only(kept)
    cache.store()
    entries = [cache.entries[name] for name in kept if runs is None or name in runs]
    history = cache.history
    if runs is not None and len(history):
        history = history[history["run_id"].isin({e.row["run_id"] for e in entries if e.row})]
    return entries, history, [e.problem for e in entries if e.problem]


def _done(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as found:
        names = sorted(e.name for e in found if e.is_dir() and not e.name.startswith("."))
    return (name for name in names if (folder / name / "done.json").exists())


def _fingerprint(run_dir: Path) -> str:
    """Changes whenever a W&B file or ``done.json`` of the run does."""
    parts = [(p.relative_to(run_dir).as_posix(), p.stat()) for p in [*wandb_files(run_dir), run_dir / "done.json"]]
    return json.dumps([[name, stat.st_mtime_ns, stat.st_size] for name, stat in parts])


def _read(run_dir: Path, key: str) -> tuple[Entry, pd.DataFrame]:
    nothing = pd.DataFrame()
    try:
        done = json.loads((run_dir / "done.json").read_text())
        status, named = done["status"], done["run_id"]
    except (OSError, ValueError, KeyError, TypeError):
        damage = f"{run_dir}/done.json is damaged; the run is left out: delete that file and run it again"
        return Entry(run_dir.name, key, None, damage), nothing
    record = read_run(run_dir)
    problem = _unfit(record)
    if problem is None and not run_dir.name == named == record.run_id:
        problem = f"{run_dir} holds run {record.run_id}, done.json names {named}; the run is left out: was it renamed?"
    if problem is None and status not in _OUTCOMES:
        problem = f"{run_dir}/done.json has the unknown status {status!r}; the run is left out: delete it, run it again"
    if problem:
        return Entry(run_dir.name, key, None, problem), nothing
    extra = {k: done[k] for k in ("wall_s", "images_per_s") if k in done and k not in record.summary}
    return Entry(run_dir.name, key, row_of(record) | extra | {"status": status}, None), record.history


def _unfit(record: RunRecord) -> str | None:
    """Why a record may not stand in a table."""
    remedy = "the run is left out: delete its folder and run it again"
    if record.problem:
        return f"{record.problem}; {remedy}"
    if not record.finished:
        return f"{record.run_id} has no exit record in W&B; {remedy}"
    return None
