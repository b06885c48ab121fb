"""Figures and tables of You et al. over made-up runs: every series is there, and the paper's points beside it."""

from __future__ import annotations

import pandas as pd
import pytest

from replications.you import PAPER
from replications.you.figures import FIGURES, TABLES
from shared.report import figures, tables
from shared.report.data import Source
from shared.report.plots import plot
from shared.stats.verdict import verdicts
from tests.you.made_up import made_up


@pytest.fixture(scope="module")
def runs():
    """(rows, history) by preset."""
    return {preset: made_up(preset) for preset in ("paper", "reduced")}


@pytest.fixture(scope="module")
def at(runs) -> dict[str, Source]:
    return {preset: Source.select(PAPER, preset, *tables) for preset, tables in runs.items()}


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f.key)
@pytest.mark.parametrize("preset", ["paper", "reduced"])
def test_every_series_has_points(at, figure, preset):
    shown = plot(figure, at[preset])
    wanted = [p for p in figure.panels if preset in p.presets]
    ours = [line for pane in shown.panes for line in pane.lines if line.arm]
    assert len(ours) == sum(len(p.series) for p in wanted)
    assert not [line.label for line in ours if not len(line.frame)]


@pytest.mark.parametrize("figure", [f for f in FIGURES if f.reference], ids=lambda f: f.key)
def test_the_papers_points_stand_beside_ours(at, figure):
    """Each series of a figure that the paper has, in panes of their own at reduced scale."""
    shown = plot(figure, at["reduced"])
    theirs = [line for pane in shown.panes for line in pane.lines if not line.arm]
    assert len(theirs) == sum(len(p.series) for p in figure.panels)
    assert all(len(line.frame) for line in theirs)


def test_figure_4_has_all_rates_of_the_paper_and_seven_of_ours(at):
    figure = next(f for f in FIGURES if f.key == "fig4")
    theirs, ours = ([len(line.frame) for pane in plot(figure, at[p]).panes for line in pane.lines if line.arm]
                    for p in ("paper", "reduced"))  # fmt: skip
    assert (theirs, ours) == ([21, 23], [7, 7])


def test_the_cliff_shows_eight_rates_at_five_batches(at):
    figure = next(f for f in FIGURES if f.key == "cliff")
    for pane in plot(figure, at["reduced"]).panes:
        assert [len(line.frame) for line in pane.lines] == [8] * 5


@pytest.mark.parametrize("preset", ["paper", "reduced"])
@pytest.mark.parametrize("table", [t for t in TABLES if t.rows], ids=lambda t: t.key)
def test_tables_have_a_value_in_every_row_that_is_declared(at, table, preset):
    if preset not in table.presets:
        return
    grid = tables.of_paper(table, at[preset])
    assert len(grid.rows) >= len(table.rows)
    declared = grid.numbers[grid.numbers["arm"].isin(at[preset].specs)]
    assert len(declared) >= 3
    assert declared["ours_mean"].notna().all()


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5"])
def test_every_printed_number_stands_in_a_table(at, name):
    printed = pd.read_csv(PAPER.folder / "reference" / f"{name}.csv")
    printed = printed[printed["metric"] != "peak"]
    shown: list[float] = []
    for table in TABLES:
        if table.rows and table.reference == f"{name}.csv":
            shown += tables.of_paper(table, at["paper"]).numbers["paper_mean"].dropna().tolist()
    thinned = {"table5": 6}.get(name, 0)  # 125 and 175 epochs
    assert len(shown) >= len(printed) - thinned


def test_static_figures_are_drawn(at, tmp_path):
    for figure in FIGURES:
        for path in figures.write(plot(figure, at["reduced"]), tmp_path):
            assert path.stat().st_size > 500


def test_every_claim_that_may_speak_is_judged(runs):
    """Nothing is left for want of an arm or a metric that the runs record."""
    for preset in ("paper", "reduced"):
        found = verdicts(PAPER, *runs[preset], presets=(preset,))
        claims = {c["id"] for c in PAPER.claims() if preset in c.get("presets", ())}
        silent = {v["claim"]: v["reason"] for v in found if v["outcome"] == "not-run" and v["claim"] in claims}
        assert silent == {}


def test_a_row_of_table_4_that_is_not_run_borrows_no_other_arms_runs(at):
    """The reduced arm of batch 256 has the name of the paper's, and stands for 8K."""
    table = next(t for t in TABLES if t.key == "table4")
    numbers = tables.of_paper(table, at["reduced"]).numbers
    ours = numbers[numbers["ours_mean"].notna()]
    assert ours["arm"].is_unique
    assert ours["run"].tolist() == ["1K, ICLR", "8K, ICLR", "32K, ICLR", "1K, SGD", "8K, SGD", "32K, SGD"]
