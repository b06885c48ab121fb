"""Exponents follow from the peaks at hand, whatever the stored rows say of them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from replications.smith_a import PAPER, laws, method
from shared.report.data import Source
from shared.stats.samples import Runs
from tests.smith_a.made_up import made_up


@pytest.fixture(scope="module")
def tables():
    return made_up(presets=("paper",), wanted=lambda spec: spec.task == "b-opt" and spec.arm.startswith("bopt-n-"))


def test_a_law_is_the_exponent_of_its_peaks_and_stands_for_their_runs(tables):
    runs = Runs(PAPER, "paper", *tables)
    b = [runs.values(f"bopt-n-{n}", "b_opt") for n in (1000, 5000, 20000)]
    x = [math.log(n) for n in (1000, 5000, 20000)]
    middle = sum(x) / 3
    weights = [(v - middle) / sum((u - middle) ** 2 for u in x) for v in x]
    for seed, found in runs.values("fit-n", "exponent").items():
        assert found == pytest.approx(sum(w * math.log(v[seed]) for w, v in zip(weights, b, strict=True)))
    used = runs.used(["fit-n"])
    assert set(used["arm"]) == {"bopt-n-1000", "bopt-n-5000", "bopt-n-20000"}
    assert len(used) == 15
    assert used["provenance.git_sha"].notna().all()


def test_a_law_whose_peaks_are_not_all_there_has_no_row(tables):
    rows = tables[0][(tables[0]["arm"] != "bopt-n-5000") | (tables[0]["seed"] != 2)]
    assert list(Runs(PAPER, "paper", rows, tables[1]).values("fit-n", "exponent").index) == [1, 3, 4, 5]
    assert Runs(PAPER, "paper", *tables).missing(["fit-n", "fit-n-large"]) == []
    assert Runs(PAPER, "paper", rows.iloc[:0], tables[1]).missing(["fit-n"]) == ["fit-n"]


def test_a_stored_law_of_an_earlier_revision_is_not_believed(tables):
    spec = next(s for s in PAPER.runs("paper").values() if s.arm == "fit-n" and s.seed == 1)
    old = {"run_id": spec.run_id, "paper": "smith_a", "arm": "fit-n", "preset": "paper", "seed": 1, "task": "fit",
           "status": "finished", "exponent": 99.0}  # fmt: skip
    rows = pd.concat([tables[0], pd.DataFrame([old])], ignore_index=True)
    assert Runs(PAPER, "paper", rows, tables[1]).values("fit-n", "exponent")[1] < 2
    source = Source.select(PAPER, "paper", *tables)
    assert source.summary("fit-n", "exponent").n == 5
    assert "derived" not in set(source.rows["status"])


def test_a_peak_without_todays_columns_gets_them_from_its_curve(tables):
    name = "held_out/b_opt/low"
    row = tables[0][tables[0]["arm"] == "bopt-n-5000"].iloc[0]
    curve = pd.DataFrame({"run_id": row["run_id"], "trainer/global_step": range(3), "batch_size": [20.0, 30.0, 45.0],
                          "end/error": [5.0, 4.0, 4.5], "held_out/error": [5.0, 4.0, 3.9]})  # fmt: skip
    rows = pd.DataFrame([row.drop([name, "held_out/b_opt"])])
    found = laws.completed(rows, curve, ()).iloc[0]
    assert (found[name], found["held_out/b_opt"]) == (30, 45)
    assert found["b_opt"] == row["b_opt"]  # what the run recorded stays


def test_the_exact_law_and_the_held_out_exponent_read_their_own_columns():
    x, n = [0.1, 1.0, 10.0], 1000
    rows = [{"lr": e, "data.train_size": n, "b_opt": method.predicted_exact(30, e, n), "b_opt/low": 1.0,
             "b_opt/high": 999.0, "b_opt/vertex": 30 * e**0.25, "held_out/b_opt": 30 * e**0.5} for e in x]  # fmt: skip
    found = laws.fit("lr", rows)
    assert found["exact_exponent"] == pytest.approx(1)
    assert (found["exponent/vertex"], found["exponent/held_out"]) == (pytest.approx(0.25), pytest.approx(0.5))


def test_a_peak_reads_held_out_images_for_its_choice_and_test_images_for_its_worth():
    curve = [
        {"batch_size": b, "end/error": e, "held_out/error": h}
        for b, e, h in ((10, 20.0, 9.0), (20, 10.0, 5.0), (30, 9.0, 6.0), (45, 11.0, 7.0), (100, 14.0, 8.0))
    ]
    found = laws.peak_of(curve, 1.0, 1000, 0.9, True)
    assert (found["b_opt"], found["held_out/b_opt"]) == (30, 20)
    assert (found["held_out/error"], found["held_out/gain"], found["peak/gain"]) == (10, 4, 5)
    assert found["b_opt/vertex"] == pytest.approx(37.92, abs=0.01)
    assert found["noise_scale"] == pytest.approx(1000 / 30 - 1)  # averaged momentum leaves it at ε(N/B − 1)
    summed = laws.peak_of(curve, 0.1, 1000, 0.9, False)  # summed, it is 1/(1 − m) times that
    assert summed["noise_scale"] == pytest.approx(0.1 / 0.1 * (1000 / 30 - 1))
