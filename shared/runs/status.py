"""How far a preset of a paper is: run by run, from the folders alone (no torch, no W&B, cheap enough to poll)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from shared.paper import Paper

STATES = ("finished", "diverged", "running", "resumable", "waiting", "damaged")
"""``damaged``: a done.json that cannot be read; delete it and the run is made again."""


@dataclass(frozen=True)
class RunStatus:
    run_id: str
    arm: str
    seed: int
    preset: str
    state: str
    """One of ``STATES``."""
    wall_s: float | None = None
    """Wall seconds of a run that is done."""

    @property
    def done(self) -> bool:
        return self.state in ("finished", "diverged")


def status(
    paper: Paper, preset: str, results_dir: Path | str, seeds: int | None = None, sweep: str | None = None
) -> list[RunStatus]:
    """The state of every declared run, in declared order."""
    folder = Path(results_dir, "runs", paper.key, preset)
    found = []
    for run_id, spec in paper.runs(preset, seeds, sweep).items():
        state, wall_s = state_of(folder / run_id)
        found.append(RunStatus(run_id, spec.arm, spec.seed, preset, state, wall_s))
    return found


def counts(statuses: Iterable[RunStatus]) -> dict[str, int]:
    """``{state: how many}``, every state named."""
    found = Counter(s.state for s in statuses)
    return {state: found[state] for state in STATES}


def state_of(run_dir: Path) -> tuple[str, float | None]:
    """``(state, wall seconds if done)`` of one run folder, which may not exist."""
    try:
        done = json.loads((run_dir / "done.json").read_text())
        state, wall_s = str(done["status"]), done.get("wall_s")
        return (state, wall_s) if state in ("finished", "diverged") else ("damaged", None)
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, AttributeError):
        return "damaged", None
    if _held(run_dir / "lock"):
        return "running", None
    return ("resumable" if any(run_dir.glob("checkpoints/*.ckpt")) else "waiting"), None


def _held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read: nothing of ours is running in it
        return False
