"""Rates that were chosen follow from the committed tuning runs; before these there is no arm at a chosen rate."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from replications.keskar.experiments import OWN_SCALE, SEEDS, TUNE_SEED, TUNED

SNAPSHOT = Path(__file__).parents[2] / "results" / "snapshot" / "keskar.csv"


def test_tuned_rates_are_the_best_on_held_out_images_or_nothing_runs_at_them():
    rows = pd.read_csv(SNAPSHOT, low_memory=False)
    assert TUNE_SEED not in SEEDS
    tune = rows[rows.arm.str.startswith("tune-f1-")]
    if tune.empty:
        assert "f1-tuned" not in OWN_SCALE
        assert not rows.arm.str.fullmatch("f1-(sb|lb)-tuned").any()
        return
    assert (tune["data.holdout"] > 0).all()
    best = tune.assign(batch=tune.arm.str[8:10]).sort_values("val/error").groupby("batch").lr.first()
    assert best.to_dict() == TUNED
