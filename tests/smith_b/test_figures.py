"""The declared figures and tables, filled with made-up runs: every series finds its arm and the paper its points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from replications.smith_b import PAPER
from replications.smith_b.figures import FIGURES, TABLES
from shared.report.data import Source
from shared.report.plots import plot
from shared.report.tables import of_paper
from shared.stats.verdict import verdicts
from tests.smith_b.made_up import made_up

BY_KEY = {figure.key: figure for figure in FIGURES}


@pytest.fixture(scope="module")
def at():
    return {preset: Source.select(PAPER, preset, *made_up(preset)) for preset in ("paper", "reduced")}


@pytest.mark.parametrize("preset", ["paper", "reduced"])
@pytest.mark.parametrize("key", BY_KEY)
def test_every_series_of_a_figure_has_runs(key, preset, at):
    drawn = plot(BY_KEY[key], at[preset])
    assert drawn.gaps == ()
    assert all(len(line.frame) for pane in drawn.panes for line in pane.lines)
    assert any(not line.arm for pane in drawn.panes for line in pane.lines) == (BY_KEY[key].reference is not None)


@pytest.mark.parametrize("table", [t for t in TABLES if "reduced" in t.presets], ids=lambda t: t.key)
def test_every_row_of_a_table_has_ours_and_where_printed_the_papers(table, at):
    grid = of_paper(table, at["paper"])
    assert not any("not run" in cell for row in grid.rows for cell in row)
    if table.reference:
        assert sum(row[1] == "paper" for row in grid.rows) >= len(table.rows) // 2


def test_figure_2_sets_one_loss_against_epochs_and_updates(at):
    table = plot(BY_KEY["fig2"], at["reduced"]).table()
    ours = table[table["arm"].isin(["decay", "increase"])]
    epochs, updates = (ours[ours["panel"].str.startswith(p)] for p in ("(a)", "(b)"))
    np.testing.assert_array_equal(epochs["mean"], updates["mean"])
    assert epochs["x"].max() == 20
    assert updates.groupby("arm")["x"].max().to_dict() == {"decay": 7800, "increase": 2880}


def test_runs_as_the_paper_says_reproduce_its_claims():
    """Made-up runs with the paper's shape: what they show is found, and updates are judged by what was done."""
    rows, history = made_up("reduced")
    found = {v["claim"]: v["outcome"] for v in verdicts(PAPER, rows, history)}
    for claim in ("B1", "B1-train", "B1-nesterov", "B2", "B2-epochs", "B2-ghost", "B3", "B4", "B5", "B6", "B7-shrinks"):
        assert found[claim] == "reproduced", claim
    rows.loc[rows["arm"] == "hybrid", "updates"] += 200
    rows.loc[rows["arm"] == "increase", "end/val/error"] += 4
    found = {v["claim"]: v["outcome"] for v in verdicts(PAPER, rows, history)}
    assert (found["B3"], found["B1"]) == ("not-reproduced", "not-reproduced")


def test_verdicts_name_the_command_where_nothing_was_run():
    nothing = pd.DataFrame()
    reasons = {v["claim"]: v["reason"] for v in verdicts(PAPER, nothing, nothing)}
    assert "make replicate-smith_b PRESET=paper" in reasons["B8"]
    assert "TPU pod" in reasons["B10-time"]
