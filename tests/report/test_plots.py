"""What is drawn is what the rows say: means, bands, gaps, diverged seeds, the paper's own points."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from replications import PAPERS
from replications.goyal.figures import FIGURES, TABLES
from shared.report import figures, interactive
from shared.report.data import ReportError, Source, Summary, batch_label
from shared.report.declare import Law
from shared.report.lines import predicted
from shared.report.plots import plot
from shared.report.style import COLORS

BY_KEY = {figure.key: figure for figure in FIGURES}
SCORE = "val/error_last5_median"


@pytest.fixture(scope="module")
def source(paper, runs):
    return Source.select(paper, "reduced", *runs)


def test_csv_of_figure_1_holds_the_means_of_the_rows(source, runs, tmp_path):
    figures.write(plot(BY_KEY["fig1"], source), tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".png", ".svg"]
    drawn = pd.read_csv(tmp_path / "goyal-reduced-fig1.csv")
    ours = drawn[drawn["series"] == "ours"].set_index("arm")
    rows = runs[0][runs[0]["arm"].str.fullmatch(r"kn-\d+k?")]
    by_arm = rows.groupby("arm")[SCORE]
    np.testing.assert_allclose(ours["mean"], by_arm.mean()[ours.index], rtol=1e-9)
    np.testing.assert_allclose(ours["high"] - ours["mean"], 2 * by_arm.std()[ours.index], rtol=1e-6)
    assert list(ours["x"]) == sorted(rows["batch_size"].unique())
    assert (ours["n"] == 5).all()
    theirs = drawn[drawn["series"] == "paper"].set_index("x")
    assert theirs.loc[8192, "mean"] == 23.74
    assert theirs.loc[8192, "high"] == pytest.approx(23.92)
    assert 64 not in theirs.index  # plotted in the paper, never printed


@pytest.mark.parametrize("key", [f.key for f in FIGURES if f.key != "fig1"])
def test_csv_of_every_curve_holds_means_and_student_intervals_of_the_history(key, source, runs):
    drawn = plot(BY_KEY[key], source).table()
    rows, history = runs
    wanted = {s.metric for p in BY_KEY[key].panels for s in p.series}
    for (_, _, arm), line in drawn.groupby(["panel", "series", "arm"]):
        runs = rows[rows["arm"] == arm]
        if (runs["status"] == "diverged").any():
            continue
        epochs = history[history["run_id"].isin(runs["run_id"])].groupby("epoch")
        matches = [m for m in wanted if np.allclose(line["mean"], epochs[m].mean().to_numpy(), rtol=1e-9)]
        assert len(matches) == 1, (key, arm)
        half = stats.t.ppf(0.975, 4) * epochs[matches[0]].std() / np.sqrt(5)
        np.testing.assert_allclose(line["high"] - line["mean"], half, rtol=1e-9)


def test_figure_3_has_a_panel_for_each_batch_but_the_base(source, paper):
    roles = paper.roles("reduced")
    panes = plot(BY_KEY["fig3"], source).panes
    assert [p.title for p in panes] == [f"kn={b}" for b in roles["grid"] if b != roles["base"]]
    assert all([line.color for line in p.lines] == ["base", "large"] for p in panes)


def test_figure_3_leaves_out_the_batch_that_the_paper_leaves_out(paper, make_runs):
    panes = plot(BY_KEY["fig3"], Source.select(paper, "paper", *make_runs("paper", seeds=1))).panes
    assert [p.title for p in panes] == [f"kn={b}" for b in paper.roles("paper")["grid"] if b not in ("64", "256")]


def test_a_point_out_of_reach_stands_at_the_edge_with_its_value(paper, runs):
    rows, last = runs[0].copy(), paper.roles("reduced")["grid"][-1]
    rows.loc[rows["arm"] == f"kn-{last}", SCORE] = 61.25
    drawn = plot(BY_KEY["fig1"], Source.select(paper, "reduced", rows, runs[1]))
    ax = figures.draw(drawn).axes[0]
    base = rows[rows["arm"] == f"kn-{paper.roles('reduced')['base']}"][SCORE].mean()
    assert base + 19 < ax.get_ylim()[1] < base + 22
    assert [t.get_text() for t in ax.texts] == ["61.2"]
    shown = [t for t in interactive.spec(drawn)["data"] if t["mode"] == "markers+text"]
    assert [t["text"] for t in shown] == [["61.2"]]
    assert drawn.table().set_index("arm").loc[f"kn-{last}", "mean"] == 61.25


def test_nothing_is_cut_while_every_point_is_within_reach(source):
    drawn = plot(BY_KEY["fig1"], source)
    assert [pane.cap for pane in drawn.panes] == [None, None]
    assert not figures.draw(drawn).axes[0].texts


def test_a_diverged_seed_stands_at_chance_from_where_it_stopped(source, runs):
    rows, history = runs
    lost = rows[rows["status"] == "diverged"].iloc[0]
    curve = source.curve(lost["arm"], "train/error", "epoch", "ci95")
    others = rows[(rows["arm"] == lost["arm"]) & (rows["status"] == "finished")]["run_id"]
    last = history[history["run_id"].isin(others) & (history["epoch"] == curve["x"].max())]["train/error"]
    assert curve["mean"].iloc[-1] == pytest.approx((last.sum() + 90.0) / 5)
    assert (curve["n"] == 5).all()
    assert source.summary(lost["arm"]).diverged == 1


def test_undeclared_unfinished_and_foreign_rows_are_left_out(paper, runs):
    rows, history = runs
    extra = rows.head(4).copy()
    extra.loc[extra.index[:2], "run_id"] = ["kn-32-s1-override", "kn-32-s2-override"]
    extra.loc[extra.index[2], "status"] = "running"
    extra.loc[extra.index[3], "paper"] = "other"
    chosen = Source.select(paper, "reduced", pd.concat([rows.drop(index=extra.index[2:]), extra]), history)
    assert len(chosen.rows) == len(rows) - 2
    assert chosen.left_out == 3


def test_a_table_without_its_columns_is_refused_by_name(paper, runs):
    with pytest.raises(ReportError, match=r"goyal: the table of runs lacks seed, status"):
        Source.select(paper, "reduced", runs[0].drop(columns=["status", "seed"]), runs[1])


def test_at_paper_scale_the_papers_points_share_our_panel(paper, make_runs):
    rows, history = make_runs("paper", seeds=2)
    drawn = plot(BY_KEY["fig1"], Source.select(paper, "paper", rows, history))
    (pane,) = drawn.panes
    assert [line.label for line in pane.lines] == ["ours", "paper"]
    ax = figures.draw(drawn).axes[0]
    ours, theirs = (c.lines[0] for c in ax.containers)
    assert ours.get_markerfacecolor() == COLORS["large"]
    assert theirs.get_markerfacecolor() == "white"
    assert [t.get_text() for t in ax.get_xticklabels()][-1] == "64k"


@pytest.mark.parametrize(("seeds", "band"), [(1, False), (2, True)])
def test_one_seed_has_no_band_and_none_is_named(paper, make_runs, seeds, band):
    rows, history = make_runs("reduced", seeds=seeds)
    drawn = plot(BY_KEY["fig1"], Source.select(paper, "reduced", rows, history))
    assert f"n = {seeds} seed" in drawn.footer
    assert ("over seeds" in drawn.footer) == band


@pytest.mark.parametrize("key", list(BY_KEY))
def test_a_figure_prints_scale_n_and_interval_and_clips_nothing(key, source):
    figure = figures.draw(plot(BY_KEY[key], source))
    note = figure.get_supxlabel()
    assert "reduced scale" in note
    assert "n = 5 seeds" in note
    assert "sd" in note or "95 %" in note
    texts = [t for ax in figure.axes for t in (ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label)]
    texts += [t for ax in figure.axes if ax.get_legend() for t in ax.get_legend().get_texts()]
    for text in filter(lambda t: t.get_text() and t.get_visible(), texts):
        b, box = text.get_window_extent(), figure.bbox
        inside = b.x0 >= box.x0 - 1 and b.x1 <= box.x1 + 1 and b.y0 >= box.y0 - 1 and b.y1 <= box.y1 + 1
        assert inside, text.get_text()


def test_single_seeds_have_no_band(paper, runs):
    rows, history = runs
    one = Source.select(paper, "reduced", rows[rows["seed"] == 1], history)
    curve = one.curve("kn-32", "train/error", "epoch", "ci95")
    assert curve["low"].isna().all()
    assert curve["mean"].notna().all()
    assert figures.draw(plot(BY_KEY["fig1"], one))


def test_interactive_figures_hold_the_same_numbers_as_strict_json(source):
    drawn = plot(BY_KEY["fig2"], source)
    text = interactive.as_json(drawn)
    assert text == interactive.as_json(drawn)
    assert "NaN" not in text
    assert "</" not in text
    traces = [t for t in json.loads(text)["data"] if "name" in t]
    lines = [line for pane in drawn.panes for line in pane.lines]
    for trace, line in zip(traces, lines, strict=True):
        np.testing.assert_allclose(trace["y"], line.frame["mean"], rtol=1e-5)


@pytest.mark.parametrize("preset", ["paper", "reduced", "smoke"])
def test_every_declaration_names_arms_that_exist(paper, preset):
    declared = {s.arm for s in paper.runs(preset).values()}
    asked = [s.arm for f in FIGURES for p in getattr(f, "panels", ()) for s in p.series]
    asked += [r.arm for t in TABLES for r in t.rows if preset == "paper" or "resnet-101" not in r.arm]
    arms = {arm for template in [*asked, BY_KEY["fig1"].arms] for arm in paper.arms(template, preset)}
    assert arms <= declared


@pytest.mark.parametrize("preset", ["paper", "reduced", "smoke"])
@pytest.mark.parametrize("key", PAPERS)
def test_every_law_goes_through_a_point_of_its_panels_first_series(key, preset):
    source = Source(PAPERS[key], preset, pd.DataFrame(), pd.DataFrame())
    panels = [p for f in source.paper.dotted("figures").FIGURES for p in f.parts() if preset in p.presets and p.laws]
    for panel in panels:
        shown = source.arms(panel.series[0].arm)
        assert all(source.arms(law.through) and set(source.arms(law.through)) <= set(shown) for law in panel.laws)


def test_a_law_is_drawn_through_its_point_over_the_range_of_the_others(source):
    line = plot(BY_KEY["fig1"], source).panes[0].lines[0]
    arm, x, y = line.frame[["arm", "x", "mean"]].iloc[1]
    (law,) = predicted(Law("doubles with x", arm, lambda there, ratio, spec: there * ratio), [line], source)
    curve = law.frame.set_index("x")["mean"]
    np.testing.assert_allclose(curve / curve.index, y / x)
    assert (curve.index.min(), curve.index.max()) == (line.frame["x"].min(), line.frame["x"].max())
    assert predicted(Law("without its point", "kn-{base}", lambda *_: 1.0), [replace(line, frame=line.frame[1:])],
                     source) == []  # fmt: skip


@pytest.mark.parametrize(("batch", "label"), [(64, "64"), (1024, "1k"), (65536, "64k"), (1500, "1500")])
def test_batches_are_written_as_in_the_papers(batch, label):
    assert batch_label(batch) == label


def test_bands():
    low, high = Summary(5, 10.0, 1.0).band("ci95")
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 4, 10.0, 1 / np.sqrt(5)))
    assert Summary(5, 10.0, 1.0).band("sd2") == (8.0, 12.0)
