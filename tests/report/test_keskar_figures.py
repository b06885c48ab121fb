"""Keskar's figures: several metrics and arms on one axis, the paper's points where they belong."""

from __future__ import annotations

import itertools
import json
import re
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
import pytest

from replications.keskar import PAPER
from replications.keskar.figures import FIGURES, TABLES
from shared.report import figures, interactive
from shared.report.data import Source
from shared.report.lines import Line
from shared.report.plots import Pane, _ticks, plot
from tests.report.made_up_keskar import STUCK, made_up

BY_KEY = {figure.key: figure for figure in FIGURES}


def declared(figure, preset):
    """(series, its arms) of a figure at a preset."""
    return [(s, Source(PAPER, preset, pd.DataFrame(), pd.DataFrame()).arms(s.arm))
            for panel in figure.panels if preset in panel.presets for s in panel.series]  # fmt: skip


# Declarations against what is run


@pytest.mark.parametrize("key", BY_KEY)
def test_every_curve_of_a_figure_belongs_to_a_declared_arm(key):
    known = {preset: {s.arm for s in PAPER.runs(preset).values()} for preset in ("paper", "reduced")}
    here = {preset: {a for _, arms in declared(BY_KEY[key], preset) for a in arms} for preset in known}
    assert any(here[preset] & known[preset] for preset in known)
    if key != "fig4":  # F1 has no batch sweep of its own
        assert here["paper"] - known["paper"] == set()


@pytest.mark.parametrize("preset", ["paper", "reduced"])
def test_every_sharpness_that_is_shown_is_measured(preset):
    series = [(s, arms) for f in FIGURES for s, arms in declared(f, preset)]
    shown = [(arm, s.metric) for s, arms in series for arm in arms if "*" not in s.arm]
    for table in TABLES:
        for row in table.rows if preset in table.presets else ():
            shown += [(c.arm.replace("{row}", row.arm), c.metric.replace("{row}", row.arm)) for c in table.cells]
    specs = Source(PAPER, preset, pd.DataFrame(), pd.DataFrame()).specs

    def taken(arm, metric):
        measures = [m for m in (specs[arm].measure, specs[arm].second) if m]
        return re.sub(r"/(at_bound|epoch-\d+)$", "", metric) in [m.column(s) for m in measures for s in m.sharp]

    for arm, metric in shown:
        if arm in specs and metric.startswith("sharp"):
            assert taken(arm, metric), (arm, metric)
    for s, arms in series:  # of every arm of a form, those that measure it
        if "*" in s.arm and s.metric.startswith("sharp") and arms:
            assert any(taken(arm, s.metric) for arm in arms), (s.arm, s.metric)


@pytest.mark.parametrize("figure", [f for f in FIGURES if f.reference], ids=lambda f: f.key)
def test_every_figure_of_the_paper_finds_the_papers_points(figure):
    table = pd.read_csv(PAPER.folder / "reference" / figure.reference, comment="#")
    wanted = [(s.printed_arm or s.arm, s.printed_metric or s.metric) for s, _ in declared(figure, "paper")]
    for net in {arm[:2] for arm in table["arm"]}:
        for arm, metric in wanted:
            if arm.startswith(net):
                mine = table["arm"].map(lambda a, arm=arm: fnmatchcase(a, arm)) & (table["metric"] == metric)
                assert mine.any(), (arm, metric)


# Figures


def test_slices_show_loss_and_accuracy_with_the_papers_points_over_ours(at, keskar_runs):
    drawn = plot(BY_KEY["fig3"], at["paper"])
    assert [p.title for p in drawn.panes] == ["F1, cross-entropy", "F1, accuracy %"]
    assert [p.y_label for p in drawn.panes] == ["cross-entropy", "accuracy %"]
    assert [line.label for line in drawn.panes[0].lines] == ["train", "test", "paper, train", "paper, test"]
    rows, history = keskar_runs
    mine = history[history["run_id"].isin(rows[(rows["arm"] == "f1-line")]["run_id"])]
    table = drawn.table().set_index(["panel", "series"])
    ours = table.loc[("F1, accuracy %", "test")]
    np.testing.assert_allclose(ours["mean"], mine.groupby("alpha")["test/accuracy"].mean(), rtol=1e-9)
    theirs = table.loc[("F1, cross-entropy", "paper, train")].set_index("x")["mean"]
    assert (len(theirs), theirs[1.25], theirs[-1.0]) == (25, 1.709, 0.02)
    ax = figures.draw(drawn).axes[0]
    assert [line.get_linestyle() for line in ax.lines[:2]] == ["-", "--"]
    assert {t.get_text() for t in ax.texts} == {"SB", "LB"}


def test_elsewhere_the_papers_points_have_panels_of_their_own(at):
    panes = plot(BY_KEY["fig3"], at["reduced"]).panes
    assert [p.title for p in panes] == [
        "C1, cross-entropy, this suite", "C1, accuracy %, this suite",
        "C1, cross-entropy, Keskar et al. 2017", "C1, accuracy %, Keskar et al. 2017",
    ]  # fmt: skip
    assert [[bool(line.arm) for line in p.lines] for p in panes] == [[True] * 2] * 2 + [[False] * 2] * 2


def test_accuracy_is_what_the_recorded_error_leaves(at, keskar_runs):
    drawn = plot(BY_KEY["fig2"], at["paper"])
    assert [p.title for p in drawn.panes] == ["F1", "F2, Keskar et al. 2017", "C1, Keskar et al. 2017"]
    assert [(line.label, line.dash) for line in drawn.panes[0].lines] == [
        ("SB train", "dash"), ("SB test", "solid"), ("LB train", "dash"), ("LB test", "solid")
    ]  # fmt: skip
    rows, history = keskar_runs
    mine = history[history["run_id"].isin(rows[rows["arm"] == "f1-sb-path"]["run_id"])]
    np.testing.assert_allclose(
        drawn.panes[0].lines[1].frame["mean"], 100 - mine.groupby("epoch")["val/error"].mean(), rtol=1e-9
    )
    reduced = [p.title for p in plot(BY_KEY["fig2"], at["reduced"]).panes]
    assert reduced == ["C1, this suite", "F1 on Fashion-MNIST, this suite", "C1, Keskar et al. 2017"]


def test_points_of_several_metrics_stand_at_their_field_of_the_spec(at, keskar_runs):
    drawn = plot(BY_KEY["fig4"], at["reduced"])
    assert [p.y_log for p in drawn.panes] == [False, True, False, True]
    sharp = drawn.panes[1].lines
    rows = keskar_runs[0][keskar_runs[0]["arm"].str.startswith("c1-batch-")]
    for line, eps in zip(sharp, ("0.001", "0.0005"), strict=True):
        by_batch = rows.groupby("batch_size")[f"sharp/full@{eps}"].mean()
        np.testing.assert_allclose(line.frame["x"], by_batch.index)
        np.testing.assert_allclose(line.frame["mean"], by_batch, rtol=1e-9)
    assert figures.draw(drawn).axes[1].get_yscale() == "log"


def test_points_and_a_curve_share_the_axis_of_the_warm_start(at):
    top, bottom = plot(BY_KEY["fig5"], at["paper"]).panes[:2]
    iterate, warm = top.lines
    epochs = at["paper"].specs["f1-sb-path"].epochs
    assert list(iterate.frame["x"]) == list(range(1, epochs + 1))
    starts = sorted(s.start_epoch for a, s in at["paper"].specs.items() if a.startswith("f1-lb-from-"))
    assert list(warm.frame["x"]) == starts == list(bottom.lines[0].frame["x"])
    assert [line.points for line in top.lines] == [False, True]


def test_runs_are_drawn_one_by_one_against_a_reversed_logarithmic_axis(at, keskar_runs):
    drawn = plot(BY_KEY["fig6"], at["paper"])
    lines = drawn.panes[0].lines
    rows, history = keskar_runs
    seeds = rows[rows["arm"] == "f1-sb-path"]["seed"].nunique()
    assert len(lines) == 4 * seeds
    assert [line.label for line in lines if line.keyed] == [
        f"{b} ε = {e}" for b in ("SB", "LB") for e in ("1e-3", "5e-4")
    ]
    first = history[history["run_id"] == rows[rows["arm"] == "f1-sb-path"]["run_id"].iloc[0]]
    measured = first.dropna(subset=["full/train_loss"])
    np.testing.assert_allclose(lines[0].frame["x"], measured["full/train_loss"])
    np.testing.assert_allclose(lines[0].frame["mean"], measured["sharp10k/full@0.001"])
    ax = figures.draw(drawn).axes[0]
    assert (ax.get_xscale(), ax.get_yscale(), ax.xaxis_inverted()) == ("log", "log", True)
    assert len(ax.get_legend().get_texts()) == 4
    assert "a line for each run" in drawn.footer


@pytest.mark.parametrize(("key", "pane", "x"), [("fit", 2, "full/train_loss"), ("noise", 0, "lr"), ("noise", 1, None)])
def test_every_solution_is_a_point_of_its_own(at, keskar_runs, key, pane, x):
    drawn = plot(BY_KEY[key], at["paper"])
    metric = "sharp10k/full-sign@0.001"
    rows = keskar_runs[0]
    trained = rows["arm"].str.contains("f1-(?:sb|lb)") & (rows["task"] == "train")
    apart = rows["arm"].str.startswith("f1-maximisers-from-")  # their training measures by one maximiser alone
    assert (apart & rows[metric].notna()).sum() == 18
    rows = rows[trained | apart].dropna(subset=[metric])
    assert len(rows) > 80
    wanted = zip(rows["lr"] / rows["batch_size"] if x is None else rows[x], rows[metric], strict=True)
    found = [
        point for line in drawn.panes[pane].lines for point in zip(line.frame["x"], line.frame["mean"], strict=True)
    ]
    np.testing.assert_allclose(sorted(found), sorted(wanted))  # what only measures the weights of another is left out
    assert "a point for each run" in drawn.footer
    ax = figures.draw(drawn).axes[pane]
    marks = [c.lines[0] for c in ax.containers]
    assert all(m.get_markevery() is None and m.get_linestyle() == "None" for m in marks), "none is thinned, none joined"
    traces = [t for t in interactive.spec(drawn)["data"] if t["xaxis"] == f"x{pane + 1 if pane else ''}"]
    assert all(t["mode"] == "markers" and "maxdisplayed" not in t["marker"] for t in traces)


def test_a_sharpness_of_zero_stands_at_the_lower_edge_of_a_logarithmic_axis(at):
    drawn = plot(BY_KEY["stopping"], at["paper"])
    small = drawn.panes[1]
    (stuck,) = [line for line in small.lines if len(small.sunk(line))]
    assert stuck.arm == STUCK[0]
    assert drawn.table()["mean"].min() == 0
    ax = figures.draw(drawn).axes[1]
    assert [t.get_text() for t in ax.texts] == ["0"]
    low = ax.get_ylim()[0]
    assert 0 < low < min(line.frame["mean"][line.frame["mean"] > 0].min() for line in small.lines)
    text = interactive.as_json(drawn)
    assert "NaN" not in text
    assert "Infinity" not in text
    marks = [t for t in json.loads(text)["data"] if t["mode"] == "markers+text"]
    assert [t["text"] for t in marks] == [["0"]]
    assert marks[0]["y"][0] > low


@pytest.mark.parametrize(
    ("key", "preset"),
    [
        *((key, "paper") for key in ("fig2", "fig3", "fig5", "fig6", "stopping", "fit", "noise")),
        ("fig2", "reduced"),
        ("fig4", "reduced"),
    ],
)
def test_nothing_is_clipped(key, preset, at):
    drawn = plot(BY_KEY[key], at[preset])
    figure = figures.draw(drawn)
    texts = [t for ax in figure.axes for t in (ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label)]
    texts += [t for ax in figure.axes if ax.get_legend() for t in ax.get_legend().get_texts()]
    for text in filter(lambda t: t.get_text() and t.get_visible(), texts):
        b, box = text.get_window_extent(), figure.bbox
        inside = b.x0 >= box.x0 - 1 and b.x1 <= box.x1 + 1 and b.y0 >= box.y0 - 1 and b.y1 <= box.y1 + 1
        assert inside, text.get_text()


def test_the_papers_series_share_the_keys_of_ours_and_nothing_overflows():
    arms = ("c1-sb-path", "c1-lb-path")
    drawn = plot(BY_KEY["fig6"], Source.select(PAPER, "paper", *made_up("paper", lambda s: s.arm in arms)))
    assert [p.title for p in drawn.panes] == ["F2, Keskar et al. 2017", "C1"]
    assert len({line.label for line in drawn.panes[1].lines if line.keyed}) == 8
    assert "hollow: the paper's points" in drawn.remark
    figure = figures.draw(drawn)
    texts = figure.axes[1].get_legend().get_texts()
    assert [t.get_text() for t in texts] == ["SB ε = 1e-3", "SB ε = 5e-4", "LB ε = 1e-3", "LB ε = 5e-4"]
    assert all(t.get_window_extent().x1 <= figure.bbox.x1 for t in texts)


def test_many_batches_get_as_many_labels_as_fit():
    xs = [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 2000, 3000, 4000, 4500, 5000]
    frame = pd.DataFrame({"x": [float(x) for x in xs], "mean": 1.0})
    kept = [x for x, _ in _ticks([Line("a", "a", frame, "large")])]
    assert 100 in kept
    assert min(b / a for a, b in itertools.pairwise(kept)) > 1.4
    assert 6 <= len(kept) <= 11
    assert Pane("", (), "", "", y_log=True).range() == (0.1, 10.0)
