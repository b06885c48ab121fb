"""How far the sweeps of a paper are, as rows for the screen or for a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shared.paper import Paper
from shared.workflow.suite import ERROR, run_dir

STATES = ("finished", "diverged", "running", "resumable", "waiting", "damaged")
"""``damaged``: a done.json that cannot be read; delete it and the run is made again."""


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
            state = state_of(home)
            row["runs"] += 1
            row[state] += 1
            row["failed"] += state in ("resumable", "waiting") and (home / ERROR).exists()
    return list(rows.values())


def state_of(home: Path) -> str:
    """One of ``STATES`` from a run folder alone, which may not exist: cheap enough to poll."""
    try:
        state = json.loads((home / "done.json").read_text())["status"]
        return state if state in ("finished", "diverged") else "damaged"
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        return "damaged"
    if held(home / "lock"):
        return "running"
    return "resumable" if any(home.glob("checkpoints/*.ckpt")) else "waiting"


def held(lock: Path) -> bool:
    """Whether another process holds the lock at this moment."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0, is_singleton=False):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read: nothing of ours is running in it
        return False
