"""Synthetic but plausible rows and history of Goyal's declared runs: an elbow, a warm-up effect, a diverged seed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from replications.goyal import PAPER
from replications.keskar import PAPER as KESKAR
from shared.report.data import Source
from shared.runs.frames import cells
from shared.spec import flatten
from tests.report.made_up_keskar import own_scale


def batches(preset: str) -> dict[str, int]:
    """Base and last good batch as numbers."""
    sizes = {k: v for k, v in PAPER.roles(preset).items() if isinstance(v, str)}
    return {k: int(v[:-1]) * 1024 if v.endswith("k") else int(v) for k, v in sizes.items()}


def end_error(spec) -> float:
    """Made-up final error %: flat up to the last good batch, with the paper's ordering of the ablations."""
    base, large = (batches(spec.preset)[i] for i in ("base", "large"))
    error = 9.4 + 0.1 * (spec.batch_size > base) + 1.5 * max(0.0, math.log2(spec.batch_size / large)) ** 1.7
    for part, extra in (("no-warmup", 1.1), ("constant", 2.1), ("fixed", 9.0), ("sqrt", 2.5), ("gamma", 0.3),
                        ("x0.5", 0.4), ("x2", 0.2)):  # fmt: skip
        error += extra * (part in spec.arm)
    return min(error, 80.0)


def fake_tables(preset: str = "reduced", drop: tuple[str, ...] = (), seeds: int = 5):
    """(rows, history) as ``shared.runs`` tidies them; arms in ``drop`` are missing; one seed of one arm diverges."""
    rows, history, large = [], [], batches(preset)["large"]
    for number, (run_id, spec) in enumerate(PAPER.runs(preset, seeds).items()):
        if spec.arm in drop:
            continue
        rng = np.random.default_rng(number)
        end = end_error(spec) + rng.normal(0, 0.15)
        diverged = spec.arm.endswith("-lr-x2") and spec.seed == 2 and spec.batch_size > 32
        epochs, per_epoch = spec.epochs, 65536 // spec.batch_size
        for epoch in range(1, (4 if diverged else epochs) + 1):
            falling = end + 35 * math.exp(-epoch / 4) + 3 * (epoch < epochs / 2) + rng.normal(0, 0.4)
            history.append({
                "run_id": run_id, "trainer/global_step": epoch * per_epoch, "epoch": float(epoch),
                "samples": epoch * 65536, "train/error": falling - 1, "train/loss": falling / 40,
                "val/error": falling + abs(rng.normal(0, spec.batch_size / large)), "val/loss": falling / 38,
                "val/error_precise_bn": falling if spec.precise_bn else np.nan, "lr": spec.lr,
            })  # fmt: skip
        error = 90.0 if diverged else end
        rows.append({
            "run_id": run_id, **cells(flatten(spec)), "sweep": PAPER.sweep_of(run_id, preset),
            "status": "diverged" if diverged else "finished", "val/error": error, "val/error_last5_median": error,
            "train/error": error - 1, "updates": epochs * per_epoch, "samples": epochs * 65536,
            "wall_s": 60.0 + number % 7, "images_per_s": 5000.0 + number, "execution.threads": 1,
            "execution.devices": 1, "execution.nodes": 1, "provenance.git_sha": "0123456789abcdef" * 2 + "01234567",
            "provenance.git_dirty": False, "provenance.cpu": "A made-up CPU", "provenance.torch": "2.14.1",
            "provenance.data_name": spec.data.name, "provenance.data_sha256": "ab" * 32,
        })  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(history)


def fake_verdicts() -> list[dict]:
    """One verdict of each outcome, with the keys of ``shared.stats.verdict``."""
    common = {"paper": "goyal", "own": False, "scale": "reduced", "runs": [], "n": 5}
    return [
        {**common, "claim": "G1", "where": "Figure 1", "says": "Error is the same for every batch up to 8k.",
         "outcome": "reproduced", "ours": 0.123, "interval": (-0.05, 0.29), "reference": 0.14, "rule": "equivalent",
         "margin": 0.5, "reason": "the interval lies inside ±0.5"},
        {**common, "claim": "G2", "where": "Figure 1", "says": "Past 8k the error rises fast.",
         "outcome": "direction-only", "ours": 4.2, "interval": (3.9, 4.5), "reference": 1.19, "rule": "greater",
         "margin": 0.5, "reason": "a reduced run may only show the direction"},
        {**common, "claim": "G3", "where": "Table 1", "says": "No warm-up | beats constant warm-up.",
         "outcome": "not-reproduced", "ours": -1.0, "interval": (-1.2, -0.8), "reference": 1.04, "rule": "greater",
         "margin": 0.0, "reason": "wholly on the other side"},
        {**common, "claim": "G7", "where": "Table 2a", "says": "8k is more sensitive to the rate than 256.",
         "outcome": "inconclusive", "ours": 0.2, "interval": (-0.4, 0.8), "reference": 0.2, "rule": "greater",
         "margin": 0.0, "reason": "about 23 seeds an arm would decide it"},
        {**common, "claim": "G11", "where": "Table 2c", "says": "ResNet-101 almost matches at 8k.",
         "outcome": "not-run", "ours": None, "interval": None, "reference": 0.28, "rule": "within", "margin": 0.5,
         "n": 0, "reason": "paper scale only"},
    ]  # fmt: skip


@pytest.fixture(scope="session")
def make_runs():
    """(rows, history) of a preset, with arms or seeds left out."""
    return fake_tables


@pytest.fixture(scope="session")
def runs():
    """(rows, history) of every declared reduced run."""
    return fake_tables()


@pytest.fixture(scope="session")
def verdicts():
    return fake_verdicts()


@pytest.fixture(scope="session")
def paper():
    return PAPER


@pytest.fixture(scope="session")
def keskar_runs():
    """(rows, history) of Keskar et al. at two presets: F1 at the paper's scale, and the reduced preset."""
    return own_scale()


@pytest.fixture(scope="session")
def at(keskar_runs):
    """What Keskar's figures and tables read, by preset."""
    return {preset: Source.select(KESKAR, preset, *keskar_runs) for preset in ("paper", "reduced")}
