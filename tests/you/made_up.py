"""Made-up finished runs of You et al.: a cliff without batch norm, LARS ahead at large batches, trials of all sorts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from replications.you import PAPER
from replications.you.cells import CHOSEN, PRINTED
from replications.you.figures import TENSORS
from replications.you.spec import YouSpec
from shared.runs.frames import cells
from shared.spec import Preset, flatten


def made_up(preset: Preset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows, history) as ``shared.runs`` tidies them, of every declared run."""
    rows, history = [], []
    home = {spec.run_id: s.name for s in reversed(PAPER.sweeps(preset)) for spec in s.specs}
    for number, (run_id, spec) in enumerate(PAPER.runs(preset).items()):
        rng = np.random.default_rng(number)
        summary = _task(spec, rng) if spec.task != "train" else _trained(spec, rng)
        points = _search(spec) if spec.task == "best-of" else _curve(spec, summary, rng)
        history += [{"run_id": run_id, **point} for point in points]
        spec_columns = cells(flatten(spec))
        rows.append({
            "run_id": run_id, **spec_columns, "sweep": home[run_id], "status": "finished",
            "wall_s": 20.0, "images_per_s": 5000.0, "execution.threads": 1, "execution.devices": 1,
            "execution.nodes": 1, "provenance.git_sha": "0123456789abcdef" * 2, "provenance.git_dirty": False,
            "provenance.cpu": "A CPU", "provenance.data_name": spec.data.name.removesuffix("-any"), "samples": 65536,
            **summary,
        })  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(history)


def accuracy(spec: YouSpec) -> float:
    """Percent: falls with the batch and, without batch norm or LARS, off a cliff above the best rate."""
    doublings = math.log2(spec.batch_size / (512 if spec.preset == "paper" else 16))
    lars, bn = spec.optimizer.name == "lars", spec.bn_batch is not None
    cell = f"{spec.arm.removeprefix('tune-').partition('-l')[0]}" + "-lars" * lars
    best = {"paper": PRINTED, "reduced": CHOSEN}[spec.preset].get(cell, spec.lr)
    off = math.log2(spec.lr / best)
    loss = (0.02 if lars else 0.1 if bn else 0.9) * doublings**2 + (0.5 if bn or lars else 2.0) * off**2
    longer = (spec.epochs or 1) / {"paper": 100, "reduced": 16}[spec.preset]
    return 10.0 if off > 1.5 and not (bn or lars) else max(10.0, (84.0 if bn else 81.0) - loss + longer)


def _trained(spec: YouSpec, rng: np.random.Generator) -> dict[str, float]:
    value = accuracy(spec) + rng.normal(0, 0.3)
    found = {"val/accuracy": value, "val/error": 100 - value, "val/error_last5_median": 100 - value,
             "log2_lr": math.log2(spec.lr), "loss_gap": 0.3 + rng.normal(0, 0.02), "updates": 64}  # fmt: skip
    found |= {"updates_to/75": 40.0} if value > 75 else {}
    for i, tensor in enumerate(TENSORS if spec.local_rates else ()):
        end = 0.5 / (i + 1) * (512 / spec.batch_size) ** 0.5
        found |= {f"local_rate/{tensor}": end, f"peak/local_rate/{tensor}": 6 * end}
    return found


def _task(spec: YouSpec, rng: np.random.Generator) -> dict[str, float]:
    if spec.task == "best-of-4":
        return {"best-of-4": 75 + 3 * ("lars" in spec.arm) + rng.normal(0, 2)}
    if spec.task == "best-of":
        return {"best-of/32": 80.0, "best-of/4": 76.0, "diverged": 12.5}
    found = {}
    for i, tensor in enumerate(TENSORS):
        w, g = 0.1 * (i + 1), 0.01 * rng.uniform(0.9, 1.1)
        found |= {f"weight_norm/{tensor}": w, f"gradient_norm/{tensor}": g, f"norm_ratio/{tensor}": w / g}
    return found | {"log10_spread/all": 2.2, "log10_spread/weight": 1.1, "log10_spread/bias": 2.1}


def _search(spec: YouSpec) -> list[dict[str, float]]:
    level = 82 if "adam" not in spec.arm else 78
    curve = [(k, level - 30 / (k + 1)) for k in range(1, 33)]
    ends = [(k, a, a - 9 / k, a + 2 / k) for k, a in curve]
    return [{"trainer/global_step": k, "k": float(k), "accuracy": a, "accuracy/low": low, "accuracy/high": high}
            for k, a, low, high in ends]  # fmt: skip


def _curve(spec: YouSpec, summary: dict[str, float], rng: np.random.Generator) -> list[dict[str, float]]:
    points = []
    for epoch in range(spec.eval_every, (spec.epochs or 0) + 1, spec.eval_every):
        slow = math.exp(-4 * epoch / (spec.epochs or 1))
        point = {"trainer/global_step": epoch * 4, "epoch": float(epoch),
                 "val/error": summary["val/error"] + 40 * slow + abs(rng.normal(0, 0.4)),
                 "loss_gap": summary["loss_gap"] + 0.2 * rng.random()}  # fmt: skip
        rates = (k for k in summary if k.startswith("local_rate/"))
        points.append(point | {k: summary[k] * (1 + 5 * slow) for k in rates})
    return points
