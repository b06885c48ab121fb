"""Claims and figures on made-up runs: the paper's truth is reproduced, another one is not; every series is drawn."""

from __future__ import annotations

import pandas as pd
import pytest

from replications.smith_a import PAPER
from replications.smith_a.figures import FIGURES, TABLES
from shared.report import tables
from shared.report.data import Source
from shared.report.plots import plot
from shared.stats.claims import load_claims
from shared.stats.verdict import verdicts
from tests.smith_a.made_up import made_up


@pytest.fixture(scope="module")
def runs():
    return made_up()


def outcomes(rows: pd.DataFrame, history: pd.DataFrame) -> dict[str, str]:
    return {v["claim"]: v["outcome"] for v in verdicts(PAPER, rows, history)}


def test_every_claim_of_the_sheet_is_declared():
    ids = {claim.id.split("-")[0] for claim in load_claims(PAPER)}
    assert {f"A{i}" for i in range(1, 17)} <= ids


def test_runs_that_obey_the_paper_reproduce_it(runs):
    assert {claim: found for claim, found in outcomes(*runs).items() if found != "reproduced"} == {
        # of ours: another truth than the paper's, or than that of Park et al.
        "A13-edge": "not-reproduced", "A13-small": "not-reproduced", "W1-none": "inconclusive",
    }  # fmt: skip


def test_a_best_batch_that_never_moves_does_not_pass_for_a_law_because_its_grids_do_move():
    """The control of averaged momentum expects exactly that."""
    found = outcomes(*made_up(lawful=False))
    laws = ("A12", "A12-held-out", "A12-noise", "A12-fashion", "A13-law", "A13-time", "A14", "A14-noise",
            "A14-held-out", "W1")  # fmt: skip
    assert "reproduced" not in {found[claim] for claim in laws}
    still = ("A1", "A4", "A9", "A10", "A14-averaged", "A16", "A6", "A11", "W1-none")
    assert {found[claim] for claim in still} == {"reproduced"}


def test_sizes_for_a_gpu_are_not_run_and_their_command_is_given(runs):
    rows, history = runs
    here = rows[~rows["arm"].str.contains("0000-b-") | rows["arm"].str.startswith("n-20000")]
    here = here[~here["arm"].isin(["bopt-n-40000", "bopt-n-60000", "fit-n-large"])]
    found = {v["claim"]: v for v in verdicts(PAPER, here, history)}
    assert found["A13-law"]["outcome"] == "not-run"
    assert "make replicate-smith_a PRESET=paper" in found["A13-law"]["reason"]
    assert found["A13"]["outcome"] == "reproduced"


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f.key)
def test_every_series_of_a_figure_has_points(figure, runs):
    drawn = False
    for preset in ("paper", "reduced"):
        shown = plot(figure, Source.select(PAPER, preset, *runs))
        drawn |= not shown.empty
        for pane in shown.panes:
            assert [line.label for line in pane.lines if not len(line.frame)] == [], pane.title
    assert drawn


def test_evidence_shows_what_the_paper_says_of_the_ends(runs):
    source = Source.select(PAPER, "paper", *runs)
    figures = {f.key: f for f in FIGURES}
    accuracy, loss = (plot(figures[key], source).panes[0] for key in ("fig1", "fig2"))
    theirs = {line.label: line.frame[["x", "mean"]].to_numpy().tolist() for line in (*accuracy.lines, *loss.lines)
              if not line.arm}  # fmt: skip
    assert theirs["paper, train"] == [[1e-9, 100]]
    assert [1e5, 0.6931] in theirs["paper, test"]


def test_tables_set_the_laws_beside_the_papers(runs):
    source = Source.select(PAPER, "paper", *runs)
    laws = next(t for t in TABLES if t.key == "laws")
    numbers = tables.of_paper(laws, source).numbers.set_index(["arm", "metric"])
    assert numbers.loc[("fit-eps", "exponent"), "paper_mean"] == 1
    assert numbers.loc[("fit-eps", "exponent"), "ours_mean"] == pytest.approx(0.94, abs=0.1)
    for table in TABLES:
        found = tables.of_paper(table, source)
        assert found.rows
        assert "not run" not in str(found.rows), table.key
