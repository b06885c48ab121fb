"""What the reduced preset chose follows from its committed tuning and pilot runs, by the rules stated beforehand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from replications.goyal.experiments import BASE_LR, LARGE, PILOT_SEEDS, SETUPS, sweeps

SNAPSHOT = Path(__file__).parents[2] / "results" / "snapshot" / "goyal.csv"
METRIC = "val/error_last5_median"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    table = pd.read_csv(SNAPSHOT)
    return table[(table.preset == "reduced") & table.arm.str.match("tune|pilot")]


def test_the_base_rate_is_the_best_on_held_out_images(rows):
    tried = rows[rows.sweep == "tune"].groupby("lr")[METRIC].agg(["mean", "count"])
    assert set(tried.index) == {s.lr for s in sweeps("reduced")[0].specs}
    assert (tried["count"] == len(PILOT_SEEDS)).all()
    assert tried["mean"].sort_index().idxmin() == BASE_LR


def test_the_last_good_batch_is_within_half_a_point_of_the_base_and_so_is_every_smaller_one(rows):
    errors = rows[rows.sweep == "pilot"].groupby("batch_size")[METRIC].mean()
    assert set(errors.index) == set(SETUPS["reduced"].grid)
    near = errors <= errors[SETUPS["reduced"].base] + 0.5
    assert max(b for b in errors.index if near.loc[:b].all()) == LARGE


def test_nothing_was_chosen_on_a_judged_run(rows):
    assert set(rows.seed) == set(PILOT_SEEDS)
    assert set(rows.seed).isdisjoint(SETUPS["reduced"].seeds)
    assert (rows["data.holdout"] > 0).all()
