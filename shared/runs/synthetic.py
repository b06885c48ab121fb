"""Made-up finished runs in the real form, written through W&B: to time and test collating without training."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

from shared.paper import Paper
from shared.runs import provenance, record
from shared.spec import Execution, Preset, RunSpec
from shared.workflow.suite import run_dir


def write_runs(results_dir: Path, paper: Paper, runs: int, preset: Preset = "smoke", rows: int = 30) -> list[str]:
    """Write so many runs of ``rows`` evaluations each, with curves that depend on the seed alone; return their ids.

    The specs are the declared ones first, then the same arms with further seeds.
    """
    facts = provenance.collect("0" * 64, "synthetic")
    made = list(itertools.islice(_specs(paper, preset), runs))
    for spec in made:
        folder = run_dir(results_dir, spec)
        run = record.start(spec, Execution(), folder, "synthetic", facts)
        for i in range(1, rows + 1):
            run.log(_row(spec, i))
        last = _row(spec, rows)
        summary = {"status": "finished", "wall_s": 1.0, "images_per_s": 1000.0, "updates": rows}
        summary |= {"val/error": last["val/error"], "val/error_last5_median": last["val/error"] + 0.01}
        record.finish(run, summary)
        done = {"run_id": spec.run_id, "status": "finished", "wall_s": 1.0, "images_per_s": 1000.0}
        (folder / "done.json").write_text(json.dumps(done))
    return [spec.run_id for spec in made]


def _specs(paper: Paper, preset: Preset) -> Iterator[RunSpec]:
    declared = list(paper.runs(preset).values())
    yield from declared
    arms = {spec.arm: spec for spec in declared}.values()
    for seed in itertools.count(1 + max(spec.seed for spec in declared)):
        for spec in arms:
            yield spec.but(seed=seed)


def _row(spec: RunSpec, i: int) -> dict[str, float | int]:
    error = 90 * math.exp(-i / 10) + 0.1 * spec.seed
    return {
        "trainer/global_step": i,
        "epoch": float(i),
        "samples": i * spec.batch_size,
        "train/loss": error / 30,
        "train/error": error - 0.5,
        "val/loss": error / 25,
        "val/error": error,
        "lr": spec.lr,
        "grad_norm": 1.0 / i,
        "weight_norm": 10.0 + i,
        "images_per_s": 1000.0,
    }
