"""A paper with two arms and three seeds, and the writing of its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.paper import Paper, Sweep
from shared.runs import record
from shared.spec import DataSpec, Execution, ModelSpec, OptimizerSpec, RunSpec

FACTS = {"git_sha": "0123456789abcdef0123", "started_at": "2026-01-01T09:00:00+00:00", "git_dirty": False,
         "cuda": "13.0", "threads": 1, "host": "box",
         "command": "python -m replications run --data /home/me/data/set", "data_sha256": "12" * 32}  # fmt: skip


def spec(seed: int = 1, arm: str = "small", preset: Any = "smoke") -> RunSpec:
    return RunSpec(
        paper="toy", arm=arm, preset=preset, seed=seed, protocol=3, model=ModelSpec(name="mlp", args={"width": 8}),
        data=DataSpec(name="digits"), batch_size=32, epochs=2, lr=1.0,
        optimizer=OptimizerSpec(decay_skip=("bn", "bias")),
    )  # fmt: skip


def _sweeps(preset: Any) -> tuple[Sweep, ...]:
    return (Sweep("main", "what is tested", tuple(spec(s, a, preset) for a in ("small", "large") for s in (1, 2, 3))),)


PAPER = Paper(
    key="toy", title="Toy", authors="Nobody", arxiv="0000.00000", year=2026, protocol=3, spec=RunSpec, sweeps=_sweeps,
    roles=lambda preset: {}, counterpart=lambda s: None, folder=Path(__file__).parent,
)  # fmt: skip


def folder(results: Path, made: RunSpec) -> Path:
    return results / "runs" / made.paper / made.preset / made.run_id


def rows(count: int, offset: float = 0.0) -> list[dict[str, Any]]:
    return [{"trainer/global_step": 10 * i, "samples": 320 * i, "val/error": 100.0 / i + offset}
            for i in range(1, count + 1)]  # fmt: skip


def write(
    run_dir: Path, made: RunSpec, logged: list[dict[str, Any]], exit_code: int = 0, extra: dict[str, Any] | None = None
) -> None:
    """One session of a run: its rows, its summary if it ends well, its exit record."""
    run = record.start(made, Execution(), run_dir, "main", FACTS, extra)
    for row in logged:
        run.log(row)
    last = [row["val/error"] for row in logged if "val/error" in row][-1:]
    summary = {"status": "finished", "val/error": last[0] if last else 90.0, "updates": 10 * len(logged), "wall_s": 2.0}
    record.finish(run, summary if exit_code == 0 else None, exit_code)


def write_done(results: Path, made: RunSpec, count: int = 3, status: str = "finished") -> Path:
    """A run that is done, as training leaves it."""
    run_dir = folder(results, made)
    write(run_dir, made, rows(count, made.seed))
    text = json.dumps({"run_id": made.run_id, "status": status, "wall_s": 2.0, "images_per_s": 50.0})
    (run_dir / "done.json").write_text(text)
    return run_dir
