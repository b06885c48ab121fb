"""Effects: contrasts of arms with the claims' interval, and their share of the first row, here and as printed."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from shared.report import tables
from shared.report.data import Source
from shared.report.declare import SCORE, Effect, Effects
from shared.stats.intervals import combination, difference
from tests.report.conftest import fake_tables

LARGE, BARE = "kn-{large}", "kn-{large}-no-warmup"
WHOLE = Effect("whole", ((1.0, BARE, SCORE), (-1.0, "kn-{base}", SCORE)), 1.24)
PART = Effect("part", ((1.0, BARE, SCORE), (-1.0, LARGE, SCORE)))
LAST = Effect("last epoch", ((1.0, LARGE, "val/error"), (-2.0, LARGE, SCORE)))
ELSEWHERE = Effect("undeclared", ((1.0, "kn-no-such", SCORE),))
TABLE = Effects(key="effects", where="Beyond Table 1", title="Parts", unit="points",
                rows=(WHOLE, PART, LAST, ELSEWHERE))  # fmt: skip


def values(runs, arm, metric=SCORE):
    return runs[0][runs[0]["arm"] == arm][metric].to_numpy()


def test_effects_are_differences_with_their_interval_and_shares(paper, runs):
    source = Source.select(paper, "reduced", *runs)
    grid = tables.of_paper(TABLE, source)
    (base,), (large,) = (paper.arms(name, "reduced") for name in ("kn-{base}", LARGE))
    bare = f"{large}-no-warmup"
    whole, part = (difference(values(runs, bare), values(runs, arm)) for arm in (base, large))
    saved = pd.read_csv(io.StringIO(grid.csv())).set_index("effect")
    assert list(saved.index) == ["whole", "part", "last epoch"]  # what is not declared here has no row
    np.testing.assert_allclose(saved.loc["part", ["ours", "low", "high"]].astype(float),
                               [part.value, *part.interval(0.90)], rtol=1e-9)  # fmt: skip
    assert saved.loc["part", "share_here"] == pytest.approx(100 * part.value / whole.value)
    assert saved.loc["whole", ["share_here", "paper", "ours_n"]].tolist() == [100, 1.24, 5]
    same_runs = combination([values(runs, large, "val/error") - 2 * values(runs, large)], [1.0])
    assert saved.loc["last epoch", "low"] == pytest.approx(same_runs.interval(0.90)[0])
    shown = {row[0]: row for row in grid.rows}
    assert shown["whole"][1].startswith(f"{whole.value:+.2f} [")
    assert shown["whole"][2:4] == ("100 %", "1.24")
    assert shown["part"][3] == "–"


def test_only_a_run_at_the_papers_scale_is_put_beside_the_size_of_the_printed_gap(paper, runs):
    there = Source.select(paper, "paper", *fake_tables("paper", seeds=2))
    grid = tables.of_paper(TABLE, there)
    saved = pd.read_csv(io.StringIO(grid.csv())).set_index("effect")
    assert saved.loc["part", "share_of_printed"] == pytest.approx(100 * saved.loc["part", "ours"] / 1.24)
    assert grid.columns[-1].name == "of the paper's"
    here = tables.of_paper(TABLE, Source.select(paper, "reduced", *runs))
    assert "of the paper's" not in {c.name for c in here.columns}


def test_effects_without_runs_say_so(paper, runs):
    rows = runs[0][~runs[0]["arm"].str.endswith("-no-warmup")]
    grid = tables.of_paper(TABLE, Source.select(paper, "reduced", rows, runs[1]))
    assert [row[1:] for row in grid.rows[:2]] == [("not run", "–", "1.24"), ("not run", "–", "–")]
    assert grid.rows[2][1] != "not run"
    assert grid.rows[2][2] == "–"  # there is no whole to be a part of
    assert not tables.of_paper(TABLE, Source.select(paper, "paper", *runs)).rows


def test_an_effect_of_an_arm_that_diverged_whole_and_left_no_value_is_not_the_end_of_the_report(paper, runs):
    rows, history = runs
    (large,) = paper.arms(LARGE, "reduced")
    lost = rows["arm"] == large
    rows = rows.assign(distance=1.0)
    rows.loc[lost, ["status", "distance"]] = ["diverged", np.nan]
    only = Effect("distance", ((1.0, LARGE, "distance"), (-1.0, "kn-{base}", "distance")))
    grid = tables.of_paper(Effects(key="e", where="w", title="t", unit="1", rows=(WHOLE, only)),
                           Source.select(paper, "reduced", rows, history))  # fmt: skip
    assert (grid.rows[0][1] != "not run", grid.rows[1][1]) == (True, "not run")
