"""Made-up finished runs of Smith and Le 2017 whose truth is known: the paper's, or one in which B_opt obeys no law."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from replications.smith_a import PAPER, method
from replications.smith_a.spec import SmithASpec
from shared.runs.frames import cells
from shared.spec import Preset, flatten

Row = dict[str, float]
PEAK, FULL_LOSS = 30.0, 6.0
"""B_opt at ε = 1, m = 0.9, N = 1,000, and points lost by the full batch there."""


def best_batch(spec: SmithASpec, lawful: bool = True) -> float:
    """By the exact law in ε and 1/(1 − m), ∝ N^0.55 up to 20,000 images and ∝ N from there, ∝ N at equal time,
    ∝ width^−0.3."""
    if not lawful:
        return PEAK
    summed = spec.optimizer.momentum_form == "reference"
    rate = spec.lr * (spec.gain if summed else 1)
    grown = method.predicted_exact(PEAK, rate, 1000)
    if (spec.updates or 0) * spec.lr > 10_000:
        return grown * spec.images / 1000
    grown *= (min(spec.images, 20000) / 1000) ** 0.55 * max(1.0, spec.images / 20000)
    return grown * ((800 / spec.width) ** 0.3 if spec.width else 1)


def error(spec: SmithASpec, lawful: bool = True) -> float:
    """A parabola in ln B around the best batch; a batch far below it does not train."""
    if spec.model.name == "linear":
        return 14.0
    if spec.arm.startswith("tuned"):
        return 9.2
    best = best_batch(spec, lawful)
    if spec.batch_size < best / 2.6:
        return 85.0
    scale = FULL_LOSS / math.log(1000 / PEAK) ** 2 * (1000 / spec.images) ** 0.25
    depth = 9.0 + 2.0 * (spec.lr > 3) - math.log10(spec.images / 1000)
    size = 0.3 if spec.optimizer.weight_decay else 1.0
    more = 3.0 * (spec.arm == "epochs-b-1000") - 2.0 * (spec.arm == "replacement-b-1000")
    return depth + size * scale * math.log(spec.batch_size / best) ** 2 + more


def trained(spec: SmithASpec, rng: np.random.Generator, lawful: bool) -> tuple[Row, list[Row]]:
    shift = np.random.default_rng(spec.seed).normal(0, 1)  # of the images of that seed
    end = error(spec, lawful) + shift * 0.5 + rng.normal(0, 0.002)
    decayed, full = spec.optimizer.weight_decay > 0, spec.batch_size == 1000
    rise = 0.0 if decayed else 0.1
    rows = []
    for u in range(spec.eval_every, (spec.updates or 0) + 1, spec.eval_every):
        late = u / (spec.updates or 1)
        rows.append({
            "trainer/global_step": u, "epoch": float(u * spec.batch_size / spec.images),
            "val/error": min(90.0, end + 60 * math.exp(-u / (150 if full else 300))),
            "val/loss": 0.4 + 0.1 * full + math.exp(-u / 200) + rise * late,
        })  # fmt: skip
    at = {f"error@{u}": v for u, v in ((100, 30.0 - 5 * full), (1000, end + 0.5), (5000, end))}
    chance = {"val/error": end, "val/error_last5_median": end}
    return chance | at | {
        "end/error": end, "end/accuracy": 100 - end, "end/loss": 0.5 + 0.1 * full + rng.normal(0, 0.005),
        "end/loss_rise": rise + abs(rng.normal(0, 0.001)), "end/trained": float(end < 35),
        "end/converged_at": 1000.0 + (500 if decayed and full else 0) + rng.normal(0, 20),
    }, rows  # fmt: skip


def evidence(spec: SmithASpec, rng: np.random.Generator) -> tuple[Row, list[Row]]:
    true = spec.evidence.labels == "true"
    rows = []
    for i, log in enumerate(np.linspace(-9, 5, 57)):
        weak = max(0.0, -log) / 9
        rows.append({
            "trainer/global_step": i, "lambda": float(10**log), "train/error": 0.0 if true else 50 * (1 - weak),
            "test/error": 0.3 if true else 50.0, "train/loss": 0.69 * (1 - weak) + 1e-4,
            "test/loss": 0.01 + 0.02 * log**2 if true else 0.6931 + 5 * weak**2, "margin": 3 - weak - (not true),
            "test/margin": 2.9 - weak - (not true), "evidence": -500 + 8 * log**2 if true else 900 * weak,
            "confidence": weak, "curvature/largest": 10.0 * weak + 1, "curvature/effective": 700 * weak,
        })  # fmt: skip
    noise = abs(rng.normal(0, 0.01))
    return {
        "weak/train_error": noise if true else 0.1 + noise, "weak/test_error": 0.3 if true else 50 + noise,
        "tuning_gain": noise, "evidence_negative": 50.0 if true else 0.0, "evidence_min": -500.0 if true else noise,
        "evidence_rise": -noise, "weak/evidence": 900 + noise, "weak/train_loss": 1e-4, "weak/test_loss": 5.0,
        "strong/test_loss": 0.6931 + noise / 10, "evidence_inside": 1.0, "test_loss_inside": 1.0,
        "minima_distance": 0.25, "tracking": 0.97, "margin_fall": 1.0 + noise, "evidence_at": 0.0,
        "test_loss_at": 0.25, "weak/margin": (3 if true else 2) + noise,
    }, rows  # fmt: skip


def peak(parents: list[tuple[SmithASpec, Row]]) -> Row:
    spec = parents[0][0]
    batches, errors = [s.batch_size for s, _ in parents], [r["end/error"] for _, r in parents]
    best = method.peak(batches, [100 - e for e in errors])
    averaging = spec.optimizer.momentum_form == "averaging"
    g = method.noise_scale(spec.lr, spec.images, best.batch, spec.optimizer.momentum, averaging=averaging)
    held = {"held_out/b_opt": float(best.batch), "held_out/error": 100 - best.accuracy,
            "held_out/b_opt/low": float(best.low), "held_out/b_opt/high": float(best.high),
            "held_out/inside": float(best.inside), "held_out/gain": errors[-1] - 100 + best.accuracy}  # fmt: skip
    return held | {
        "b_opt": float(best.batch), "b_opt/low": float(best.low), "b_opt/high": float(best.high),
        "b_opt/vertex": best.vertex, "b_opt/inside": float(best.inside), "peak/error": 100 - best.accuracy,
        "peak/gain": held["held_out/gain"], "noise_scale": g, "momentum_gain": spec.gain,
    }  # fmt: skip


def histogram(rng: np.random.Generator) -> tuple[Row, list[Row]]:
    z = np.linspace(-3, 3, 60)
    rows = [{"trainer/global_step": i, "gradient": float(v), "example/density": 0.5 * math.exp(-abs(v)),
             "batch/density": 0.4 * math.exp(-v * v / 2)} for i, v in enumerate(z)]  # fmt: skip
    return {"batch/ks": 0.02 + abs(rng.normal(0, 0.002)), "example/ks": 0.3 + rng.normal(0, 0.01)}, rows


def made_up(
    presets: tuple[Preset, ...] = ("paper", "reduced"),
    wanted: Callable[[SmithASpec], bool] = lambda spec: True,
    lawful: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows, history) as ``shared.runs`` tidies them, of the declared runs that are wanted."""
    table, history = [], []
    for preset in presets:
        runs = {i: s for i, s in PAPER.runs(preset).items() if s.task != "fit"}  # those follow from the others
        sweeps = {x.run_id: s.name for s in reversed(PAPER.sweeps(preset)) for x in s.specs}
        made: dict[str, Row] = {}
        for run_id, spec in sorted(runs.items(), key=lambda item: item[1].task == "b-opt"):
            rng = np.random.default_rng(int(run_id[-6:], 16))
            parents = [(runs[p], made[p]) for p in spec.parents]
            rows: list[Row] = []
            if spec.task == "train":
                summary, rows = trained(spec, rng, lawful)
            elif spec.task == "evidence":
                summary, rows = evidence(spec, rng)
            elif spec.task == "gradient-histogram":
                summary, rows = histogram(rng)
            else:
                summary = peak(parents)
            made[run_id] = summary
            if wanted(spec):
                history += [{"run_id": run_id, **row} for row in rows]
                table.append({
                    "run_id": run_id, **cells(flatten(spec)), "sweep": sweeps[run_id], "status": "finished",
                    **summary, "wall_s": 60.0, "samples": 1000, "images_per_s": 7000.0, "execution.threads": 1,
                    "execution.devices": 1, "execution.nodes": 1, "provenance.git_sha": "0123456789abcdef" * 2,
                    "provenance.git_dirty": False, "provenance.data_name": spec.data.name,
                })  # fmt: skip
    return pd.DataFrame(table), pd.DataFrame(history)
