"""How far the sweeps of a paper are, as rows for the screen or for a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.paper import Paper
from shared.runs.status import STATES, state_of
from shared.workflow.suite import ERROR, run_dir


def status_rows(paper: Paper, preset: str, results: Path) -> list[dict[str, Any]]:
    """One row an arm, under the first sweep that holds it: runs by state, and how many of those left failed last."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    seen: set[str] = set()
    for sweep in paper.select(preset, None, True):
        for spec in sweep.specs:
            if spec.run_id in seen:
                continue
            seen.add(spec.run_id)
            start = {"paper": paper.key, "preset": preset, "sweep": sweep.name, "arm": spec.arm, "runs": 0}
            row = rows.setdefault((sweep.name, spec.arm), start | dict.fromkeys((*STATES, "failed"), 0))
            home = run_dir(results, spec)
            state, _ = state_of(home)
            row["runs"] += 1
            row[state] += 1
            row["failed"] += state in ("resumable", "waiting") and (home / ERROR).exists()
    return list(rows.values())
