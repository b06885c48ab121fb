"""What ``--set`` changed: its runs, which no table or claim reads, beside the declared ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from shared.paper import Paper
from shared.spec import RunSpec

METRICS = ("train/error", "val/error", "val/loss")


def changed_rows(paper: Paper, specs: Iterable[RunSpec], results: Path) -> list[dict[str, Any]]:
    """One row for an arm and a metric: mean ± standard deviation (runs) as set, and as declared over the same seeds.

    ``specs`` are those of the command. Runs that are done are read from their folders, declared ones without one from
    the snapshot. Metrics are METRICS and the one by which the paper's settings are chosen, where a run has them.
    """
    from shared.runs import table
    from shared.workflow.outcome import stored

    presets = {s.run_id: s.preset for s in specs}
    declared = {run_id for preset in set(presets.values()) for run_id in paper.runs(preset)}
    both, _ = table.collate(results, paper.key, runs=declared | set(presets))
    if not len(both) or not both["run_id"].isin(presets).any():
        return []
    mine, here = both[both["run_id"].isin(presets)], both[both["run_id"].isin(declared)]
    kept, _ = stored(paper, results)
    if len(kept):
        kept = kept[kept["run_id"].isin(declared - set(here["run_id"]))]
    theirs = pd.concat([part for part in (here, kept) if len(part)]) if len(here) or len(kept) else kept
    metrics = [m for m in dict.fromkeys((*METRICS, paper.chosen_by)) if m in mine and mine[m].notna().any()]
    found = []
    for (preset, arm), runs in mine.groupby(["preset", "arm"], sort=False):
        same = theirs
        if len(theirs):
            same = theirs[(theirs["preset"] == preset) & (theirs["arm"] == arm) & theirs["seed"].isin(runs["seed"])]
        found += [{"arm": arm, "preset": preset, "metric": m, "as set": _said(runs, m), "as declared": _said(same, m)}
                  for m in metrics]  # fmt: skip
    return found


def _said(rows: pd.DataFrame, metric: str) -> str:
    values = pd.to_numeric(rows[metric], errors="coerce").dropna() if metric in rows else pd.Series(dtype=float)
    if not len(values):
        return "–"
    spread = f" ± {values.std():.4g}" if len(values) > 1 else ""
    return f"{values.mean():.4g}{spread} ({len(values)})"
