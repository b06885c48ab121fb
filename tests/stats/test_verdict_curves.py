"""Verdicts on whole curves: how far apart, over which stretch, of which metric."""

from __future__ import annotations

import pytest

from tests.stats.lab import OVERLAP, TRAIN, one, values


def test_curves_that_overlap_and_curves_that_do_not(lab):
    rows = lab.rows({"b-1": 10, "b-2": 10, "b-4": 10})
    near = one(lab, OVERLAP, rows, lab.history(rows, {"b-2": 0.2, "b-4": -0.4}))
    assert (near["outcome"], values(near)) == ("reproduced", pytest.approx([0.2, 0.4]))
    far = one(lab, OVERLAP, rows, lab.history(rows, {"b-4": 3.0}))
    assert far["outcome"] == "not-reproduced"
    assert one(lab, OVERLAP, rows)["outcome"] == "not-run"


def test_only_the_stretch_asked_for_is_compared(lab):
    rows = lab.rows({"b-1": 10, "b-2": 10, "b-4": 10})
    history = lab.history(rows, {})
    early = history["epoch"] < 2
    history.loc[early & history["run_id"].str.startswith("b-4"), "train/error"] += 40
    assert values(one(lab, OVERLAP, rows, history)) == pytest.approx([0, 0])
    whole = OVERLAP.replace("over = [0.2, 1.0]", "over = [0.0, 1.0]")
    assert values(one(lab, whole, rows, history)) == pytest.approx([0, 4])


def test_what_comes_after_the_stretch_is_not_compared(lab):
    rows = lab.rows({"b-1": 10, "b-2": 10, "b-4": 10})
    history = lab.history(rows, {})
    late = history["epoch"] > 6
    history.loc[late & history["run_id"].str.startswith("b-4"), "train/error"] += 40
    first_half = OVERLAP.replace("over = [0.2, 1.0]", "over = [0.0, 0.5]")
    assert values(one(lab, first_half, rows, history)) == pytest.approx([0, 0])


def test_a_curve_can_be_held_against_one_of_another_metric(lab):
    text = TRAIN.replace("train/error", "val/error") + '[[claim.test]]\nrule = "greater"\n'
    text += 'a = [{ arm = "b-2", metric = "precise", against = "b-{base}", against_metric = "val/error" }]\n'
    rows = lab.rows({"b-1": 10, "b-2": 10})
    history = lab.history(rows, {}, metric="val/error").assign(precise=lambda t: t["val/error"] + 3)
    assert one(lab, text, rows, history)["ours"] == pytest.approx(3.0)


def test_the_curve_of_a_diverged_run_stays_at_chance(lab):
    rows = lab.rows({"b-1": 10, "b-2": 10, "b-4": 10}, diverged=("b-4",))
    history = lab.history(rows, {})
    history = history[~(history["run_id"].str.startswith("b-4") & (history["epoch"] > 3))]
    found = one(lab, OVERLAP, rows, history)
    assert found["outcome"] == "not-reproduced"
    assert found["ours"][1]["value"] > 50


def test_distances_of_curves_can_be_compared_seed_by_seed(lab):
    text = TRAIN + '[[claim.test]]\nrule = "greater"\n'
    text += 'a = [{ arm = "b-8", against = "b-{base}" }]\nb = [{ arm = "b-2", against = "b-{base}" }]\n'
    rows = lab.rows({"b-1": 10, "b-2": 10, "b-8": 10})
    found = one(lab, text, rows, lab.history(rows, {"b-2": 0.5, "b-8": -2.0}))
    assert (found["outcome"], found["ours"]) == ("reproduced", pytest.approx(1.5))
    assert found["reason"].startswith("d(b-8, b-1) − d(b-2, b-1): +1.50")


def test_a_distance_beyond_its_margin_has_no_sign_to_fall_back_on(lab):
    text = TRAIN + '[[claim.test]]\nrule = "greater"\n'
    text += 'a = [{ arm = "b-8", against = "b-{base}" }]\nmargin = 1.0\n'
    rows = lab.rows({"b-1": 10, "b-8": 10})
    assert one(lab, text, rows, lab.history(rows, {"b-8": 0.5}))["outcome"] == "not-reproduced"
    assert one(lab, text, rows, lab.history(rows, {"b-8": 2.0}))["outcome"] == "reproduced"
