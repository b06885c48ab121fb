"""What the reduced preset chose follows from its committed tuning runs and trials, by the rules stated beforehand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from replications.you import method
from replications.you.cells import BEST_TRIAL, CHOSEN
from replications.you.experiments import SEEDS, TUNE_SEED

SNAPSHOT = Path(__file__).parents[2] / "results" / "snapshot" / "you.csv"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    table = pd.read_csv(SNAPSHOT, low_memory=False)
    return table[(table.preset == "reduced") & table.arm.str.match("tune-|trial-")]


def test_rates_and_trials_are_the_best_on_held_out_images(rows):
    assert method.chosen_rates(rows)[0] == CHOSEN
    assert method.chosen_trials(rows) == BEST_TRIAL


def test_nothing_was_chosen_on_a_judged_run(rows):
    assert set(rows.seed) == {TUNE_SEED}
    assert TUNE_SEED not in SEEDS
    assert (rows["data.holdout"] > 0).all()
