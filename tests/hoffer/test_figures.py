"""Figures and tables of Hoffer et al. on made-up rows: every arm is declared, ours stand beside the paper's."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest

from replications.hoffer import PAPER
from replications.hoffer.figures import FIGURES, TABLES
from shared.paper import Sweep
from shared.report import figures, tables
from shared.report.data import Source
from shared.report.declare import Effects
from shared.report.plots import plot
from shared.runs.frames import cells
from shared.spec import Preset, flatten

FIGURE = {f.key: f for f in FIGURES}
TABLE = {t.key: t for t in TABLES}


def made_up(preset: Preset, sweeps: tuple[str, ...] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows, history) as ``shared.runs`` tidies them: LB 2 points worse, a point of it by the reset of momentum."""
    rows, history = [], []
    chosen: tuple[Sweep, ...] = PAPER.sweeps(preset)
    wanted = {s.run_id: s for sweep in chosen if not sweeps or sweep.name in sweeps for s in sweep.specs}
    for number, (run_id, spec) in enumerate(wanted.items()):
        rng = np.random.default_rng(number)
        ratio = spec.batch_size / (128 if preset == "paper" else 16)
        points: list[dict[str, float]] = []
        if spec.potential:
            points = [{"distance": r, "potential/std": 1e-3 * r, "potential/taylor": 9e-4 * r} for r in range(1, 11)]
            summary: dict[str, float] = {}
        else:
            end = 10 + 2 * ("-lb" in spec.arm) - 1 * ("kept" in spec.arm) + math.log2(ratio) + rng.normal(0, 0.1)
            steps, growth = 2000 // max(1, int(ratio)), 2.0 / ratio**0.5
            for epoch in range(spec.eval_every, spec.epochs + 1, spec.eval_every):
                points.append({"trainer/global_step": epoch * steps, "epoch": float(epoch),
                               "val/error": end + 20 * math.exp(-6 * epoch / spec.epochs),
                               "train/error": 20 * math.exp(-6 * epoch / spec.epochs)})  # fmt: skip
            for t in np.unique(np.geomspace(1, 10 * steps, 40).astype(int)):
                grown = growth * math.log(1 + t)
                points.append({"trainer/global_step": int(t), "path/all": grown, "path/first": 0.2 * grown})
            summary = {"val/error": end, "val/error_best": end - 0.2, "train/error": 1.0}
            for name, size in (("all", 1.0), ("first", 0.2)):
                for metric in ("ln-high-lr", "ln-common"):
                    summary[f"diffusion/{name}/{metric}"] = math.log(size * growth)
                for metric in ("log-over-sqrt", "slope", "exponent", "r2-log", "r2-power"):
                    summary[f"diffusion/{name}/{metric}"] = growth
        history += [{"run_id": run_id, "trainer/global_step": i, **point} for i, point in enumerate(points)]
        fields = cells(flatten(spec))
        rows.append({"run_id": run_id, **fields, "status": "finished", "wall_s": 60.0, **summary})
    return pd.DataFrame(rows), pd.DataFrame(history)


@pytest.fixture(scope="module")
def at() -> dict[str, Source]:
    return {
        "paper": Source.select(PAPER, "paper", *made_up("paper", (*PAPER.own_scale, "f1-unflipped", "f1-ra-8"))),
        "reduced": Source.select(PAPER, "reduced", *made_up("reduced")),
    }


def arms_of_table(table, preset) -> set[str]:
    names = [name for row in table.rows if isinstance(table, Effects) for _, name, _ in row.terms]
    names += [c.arm.replace("{row}", row.arm) for row in table.rows for c in table.cells]
    return {arm for name in names for arm in PAPER.arms(name, preset)}


def test_every_arm_that_is_shown_is_declared_somewhere():
    known = {preset: {s.arm for s in PAPER.runs(preset).values()} for preset in ("paper", "reduced", "smoke")}
    for preset, arms in known.items():
        for figure in FIGURES:
            for panel in (p for p in figure.panels if preset in p.presets):
                shown = {arm for s in panel.series for arm in PAPER.arms(s.arm, preset)}
                # a panel whose arms are all of another scale is dropped; one that stays has no empty keys
                assert shown <= arms or not shown & arms, (figure.key, panel.title, shown - arms)
    for table in TABLES:
        assert all(arms_of_table(table, p) & known[p] for p in table.presets if p == "paper"), table.key


@pytest.mark.parametrize("key", FIGURE)
@pytest.mark.parametrize("preset", ["paper", "reduced"])
def test_figures_show_ours_and_the_papers(at, key, preset, tmp_path):
    drawn = plot(FIGURE[key], at[preset])
    names = {(bool(line.arm), line.label) for pane in drawn.panes for line in pane.lines}
    ours, theirs = ({label for mine, label in names if mine is whose} for whose in (True, False))
    if (key, preset) == ("fig1", "paper"):  # of ResNet44 alone, which is not run at that scale
        assert drawn.empty
        return
    assert ours
    assert theirs
    lost = ["RA at 4096: not run"] if (key, preset) == ("fig3", "paper") else []
    assert [label for label in ours if "not run" in label] == lost
    assert all(path.stat().st_size > 0 for path in figures.write(drawn, tmp_path))


def test_batches_of_figures_1_and_2_are_matched_by_their_ratio(at):
    for key, metric in (("fig1", "(b) validation"), ("fig2", "(a) baseline, all weights")):
        table = plot(FIGURE[key], at["reduced"]).table()
        theirs = table[table["panel"] == f"{metric}, Hoffer et al. 2017"].set_index("series")
        here = table[table["panel"] == f"{metric}, this suite"].set_index("series")
        assert list(dict.fromkeys(theirs.index)) == list(dict.fromkeys(here.index))
        assert set(here.loc["8 |B_S|", "arm"]) == {"r44-lb"}
        last = {"fig1": 10.22, "fig2": 5.11}[key]  # of 1024: digitised at epochs 99 and 80
        assert theirs.loc["8 |B_S|", "mean"].iloc[-1] == last


def test_the_adapted_distances_have_the_small_batch_of_their_own_figure(at):
    table = plot(FIGURE["fig2"], at["reduced"]).table()
    panel = table[table["panel"] == "(b) +LR +GBN, all weights, Hoffer et al. 2017"].set_index("series")
    assert panel.loc["|B_S|", "mean"].tolist() == [4.6, 6.05, 10.1]
    ours = table[table["panel"] == "(b) +LR +GBN, all weights, this suite"].set_index("series")
    assert set(ours.loc["8 |B_S|", "arm"]) == {"r44-gbn"}


def texts(grid) -> dict[str, tuple[str, ...]]:
    return {row[0]: row for row in grid.rows}


def test_table_1_has_accuracies_and_the_papers_row_below_ours(at):
    grid = tables.of_paper(TABLE["table1"], at["paper"])
    place = [row[0] for row in grid.rows].index("F1")
    ours, theirs = grid.rows[place], grid.rows[place + 1]
    assert theirs[2:] == ("98.27 (1)", "97.05 (1)", "97.55 (1)", "97.60 (1)", "98.53 (1)")
    assert float(ours[2].split()[0]) == pytest.approx(90, abs=0.2)
    assert ours[6] == "not run"
    assert texts(grid)["WRN16-4 (not run)"][2] == "73.70 (1)"
    assert texts(tables.of_paper(TABLE["table2"], at["paper"]))["8192 (not run)"][2:] == (
        "57.10 (1)", "41.23 (1)", "53.25 (1)", "53.93 (1)", "59.5 (1)")  # fmt: skip
    here = texts(tables.of_paper(TABLE["table1"], at["reduced"]))
    assert set(here) == {"C1", "ResNet44", ""}


def test_confounds_are_shares_of_our_gap_and_of_the_printed_one(at):
    saved = pd.read_csv(io.StringIO(tables.of_paper(TABLE["confounds-f1"], at["paper"]).csv())).set_index("effect")
    gap = saved.loc["the gap, LB − SB, after the last epoch"]
    assert gap["paper"] == 1.22
    assert gap["ours"] == pytest.approx(7, abs=0.2)
    reset = saved.loc["momentum emptied at every epoch: LB alone"]
    assert reset["share_of_printed"] == pytest.approx(100 * reset["ours"] / 1.22)
    assert reset["share_here"] == pytest.approx(100 / 7, abs=3)
    assert reset["ours_n"] == 3
    assert saved.loc["the last epoch, not the best on the test set", "ours"] == pytest.approx(0, abs=1e-9)
    assert math.isnan(saved.loc["… in LB and SB", "ours"])  # SB with momentum kept is not run
    fans = texts(tables.of_paper(TABLE["confounds-distance"], at["reduced"]))
    assert fans["all weights, as many epochs"][3] == "1.10"
    assert fans["all weights, as many epochs"][1].startswith("+1.39")  # ln √16
    assert fans["first tensor, as many epochs"][2] == "100 %"


def test_fits_stand_beside_those_of_the_digitised_curves(at):
    grid = tables.of_paper(TABLE["fits"], at["reduced"])
    rows = [row[:4] for row in grid.rows]
    place = [row[0] for row in rows].index("16 |B_S|")
    assert rows[place + 1][1:3] == ("paper", "-108.8 (1)")  # √t at 2048
    assert rows[place + 1][3] == "–"
    assert not any(row[0].startswith("|B_S|/2") for row in rows)
