"""Made-up finished runs of Keskar et al.: LB sharper and worse than SB, one SB run whose sharpness is found as 0."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from replications.keskar import PAPER
from replications.keskar.arms import KeskarSpec
from shared.runs.frames import cells
from shared.spec import Preset, flatten

STUCK = ("f1-sb-path", 1)
"""Arm and seed whose last ``sharp10k/full@0.001`` is exactly 0."""


def own_scale() -> tuple[pd.DataFrame, pd.DataFrame]:
    """What one command leaves: F1 at the paper's scale, everything of the reduced preset."""
    own = {s.arm for sweep in PAPER.sweeps("paper") if sweep.name in PAPER.own_scale for s in sweep.specs}
    parts = made_up("paper", lambda spec: spec.arm in own), made_up("reduced")
    return tuple(pd.concat(pair, ignore_index=True) for pair in zip(*parts, strict=True))


def made_up(preset: Preset, wanted: Callable[[KeskarSpec], bool] = lambda spec: True) -> tuple:
    """(rows, history) as ``shared.runs`` tidies them, of the declared runs that are wanted."""
    rows, history = [], []
    for number, (run_id, spec) in enumerate(PAPER.runs(preset).items()):
        if not wanted(spec):
            continue
        rng = np.random.default_rng(number)
        points = _slice(rng) if spec.task in ("line", "curve") else []
        summary = {} if points else _measured(spec, 1.0, rng)
        if spec.task == "dinh":
            names = ("sb", "sb-rescaled", "lb", "lb-matched")
            summary |= {f"{m}/{n}": 10 ** rng.normal() for m in ("full", "adaptive", "hessian") for n in names}
        if spec.task == "train":
            points = _training(spec, rng)
            last = {k: v for k, v in points[-1].items() if not math.isnan(v)}
            summary |= {**last, "val/error_last5_median": last["val/error"], "updates": len(points), "samples": 1000}
            summary = {k: v for k, v in summary.items() if k not in ("epoch", "trainer/global_step")}
        history += [{"run_id": run_id, **point} for point in points]
        spec_columns = cells(flatten(spec))
        rows.append({
            "run_id": run_id, **spec_columns, "sweep": PAPER.sweep_of(run_id, preset), "status": "finished",
            "wall_s": 60.0, "execution.threads": 1, "execution.devices": 1, "execution.nodes": 1,
            "provenance.git_sha": "0123456789abcdef" * 2, "provenance.git_dirty": False, "provenance.cpu": "A CPU",
            "provenance.data_name": spec.data.name.removesuffix("-any"), **summary,
        })  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(history)


def _large(spec: KeskarSpec) -> bool:
    return spec.arm.split("-")[1] == "lb"


def _measured(spec: KeskarSpec, progress: float, rng: np.random.Generator) -> dict[str, float]:
    found = {
        "full/train_loss": 2.0 * 10 ** (-4 * progress),
        "full/train_accuracy": 100 - 30 * 10 ** (-2.5 * progress),
        "full/test_accuracy": 98.0 - 0.3 * _large(spec) - 5 * (1 - progress) + rng.normal(0, 0.05),
        "distance": 20.0 - 12 * _large(spec) + rng.normal(0, 0.3),
    }
    for measure in filter(None, (spec.measure, spec.second)):
        for sharp in measure.sharp:
            key = measure.column(sharp)
            level = 2.2 * progress if _large(spec) else 1.2 - 1.5 * progress
            found[key] = 10 ** (level - 0.6 * (sharp.eps < 1e-3) + rng.normal(0, 0.05))
            if (spec.arm, spec.seed) == STUCK and progress == 1 and key == "sharp10k/full@0.001":
                found[key] = 0.0
            found[f"{key}/at_bound"] = float(found[key] > 0)
    return found


def _training(spec: KeskarSpec, rng: np.random.Generator) -> list[dict[str, float]]:
    epochs = min(spec.epochs or 6, 100 if spec.plateau is None else 30 + spec.seed)
    at = {e for m in (spec.measure, spec.second) if m for e in m.at}
    points = []
    for epoch in range(1, epochs + 1):
        falling = 10 ** (-2 * epoch / epochs)
        point = {"trainer/global_step": epoch * 10, "epoch": float(epoch), "train/loss": 2 * falling,
                 "train/error": 30 * falling, "val/error": 2 + 20 * falling + abs(rng.normal(0, 0.1))}  # fmt: skip
        due = epoch in at or (epoch == epochs and -1 in at)
        points.append(point | (_measured(spec, epoch / epochs, rng) if due else {}))
    return points


def _slice(rng: np.random.Generator) -> list[dict[str, float]]:
    points = []
    for index, alpha in enumerate(np.linspace(-1, 2, 25)):
        loss = 0.01 * abs(alpha) + 8 * max(0.0, alpha - 1) + abs(rng.normal(0, 0.01))
        points.append({"trainer/global_step": index, "alpha": alpha, "train/loss": loss, "test/loss": 1.1 * loss,
                       "train/accuracy": 100 / (1 + loss), "test/accuracy": 98 / (1 + loss)})  # fmt: skip
    return points
