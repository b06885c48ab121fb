"""What was chosen follows from the committed pilot and tuning runs, by the rules stated beforehand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from replications.smith_a import method
from replications.smith_a.experiments import PILOT_SEEDS, SEEDS, TUNE_SEED
from replications.smith_a.grids import CANDIDATES, CHOSEN, TUNED

SNAPSHOT = Path(__file__).parents[2] / "results" / "snapshot" / "smith_a.csv"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    table = pd.read_csv(SNAPSHOT, low_memory=False)
    return table[table.preset == "paper"]


def test_the_convention_has_the_papers_threshold(rows):
    pilot = rows[rows.arm.str.startswith("pilot-")]
    accuracy = 100 - pilot.groupby(["arm", "batch_size"])["val/error"].mean()
    found: dict[str, dict[int, float]] = {c.name: {} for c in CANDIDATES}
    for (arm, batch), value in accuracy.items():
        found[arm.removeprefix("pilot-").removesuffix(f"-b-{batch}")][batch] = value
    assert method.choose(found) == CHOSEN.name


def test_rates_are_the_best_on_held_out_images(rows):
    tune = rows[rows.arm.str.startswith("tune-")]
    best = {b: method.best_rate(runs.set_index("lr")["val/error"].to_dict()) for b, runs in tune.groupby("batch_size")}
    assert best == TUNED


def test_nothing_was_chosen_on_a_judged_run(rows):
    chosen_on = rows[rows.arm.str.match("pilot-|tune-")]
    assert set(chosen_on.seed) == {*PILOT_SEEDS, TUNE_SEED}
    assert not set(chosen_on.seed) & set(SEEDS)
    assert (chosen_on["data.holdout"] > 0).all()
