"""Made-up finished runs of Smith et al. that look as the paper says: one curve against epochs, fewer updates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from replications.smith_b import PAPER
from replications.smith_b.experiments import SETUPS, WINDOWS, SmithBSpec
from replications.smith_b.method import noise_scale
from shared.pace import Pace
from shared.runs.frames import cells
from shared.spec import Preset, flatten

END = {"higher-momentum": 5.0, "higher-lr-twice": 1.0, "constant": 8.0, "beyond": 30.0, "equal-updates": 4.0,
       "no-ghost": 2.0}  # fmt: skip
"""Points of error above the decaying schedule's 40."""


def made_up(preset: Preset = "reduced") -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows, history) as ``shared.runs`` tidies them, of every declared run on CIFAR-10."""
    rows, history = [], []
    for number, (run_id, spec) in enumerate(PAPER.runs(preset).items()):
        if spec.data.name == "imagenet":
            continue
        rng = np.random.default_rng(number)
        points = [_point(spec, i, SETUPS[preset].n, rng) for i in range(1, 21)]
        summary = {k: v for k, v in points[-1].items() if k not in ("epoch", "trainer/global_step")}
        length = points[-1]["epoch"]
        for name, (start, end) in WINDOWS.items():
            inside = [p for p in points if start <= round(p["epoch"] / length, 6) <= end]
            if inside:
                medians = {m: float(np.median([p[m] for p in inside])) for m in ("val/error", "train/loss")}
                summary |= {f"{name}/{metric}": value for metric, value in medians.items()}
        summary["val/error_last5_median"] = float(np.median([p["val/error"] for p in points[-5:]]))
        history += [{"run_id": run_id, **point} for point in points]
        columns = cells(flatten(spec))
        rows.append({
            "run_id": run_id, **columns, "sweep": PAPER.sweep_of(run_id, preset), "status": "finished",
            "wall_s": 100.0, "execution.threads": 1, "execution.devices": 1, "execution.nodes": 1,
            "provenance.git_sha": "0123456789abcdef" * 2, "provenance.git_dirty": False, "provenance.cpu": "A CPU",
            "provenance.data_name": "cifar10-jpeg", "updates": points[-1]["trainer/global_step"], **summary,
        })  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(history)


def _point(spec: SmithBSpec, i: int, n: int, rng: np.random.Generator) -> dict[str, float]:
    progress, pace = i / 20, Pace(n, spec)
    step = pace.before(round(progress * spec.epochs)) if spec.epochs else round(progress * (spec.updates or 0))
    lr, batch, momentum = spec.rule.at(min(progress - 0.01, 1.0))
    drops = 0 if spec.schedule == "constant" else sum(progress > d for d in spec.drops)
    rate = math.log2(spec.lr / 0.1) if spec.arm.startswith("lr-") else 0.0
    error = 40 + 20 * math.exp(-8 * progress) + (10, 2, 0.5, 0)[drops] + END.get(spec.arm, 0.0) + max(0.0, rate - 1)
    error += rng.normal(0, (3, 1, 0.4, 0.4)[drops])
    return {
        "trainer/global_step": step, "epoch": pace.epochs(step), "samples": pace.samples(step),
        "train/loss": error / 40, "train/error": error - 5, "val/loss": error / 35, "val/error": error, "lr": lr,
        "batch": float(batch), "momentum": momentum, "noise/exact": noise_scale(lr, batch, momentum, n),
        "noise/approximate": noise_scale(lr, batch, momentum, n, exact=False), "images_per_s": 2000.0,
    }  # fmt: skip
