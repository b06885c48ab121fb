"""The interval by which a verdict decides, seen from claims as text."""

from __future__ import annotations

import pytest

from shared.stats.intervals import against_printed, difference
from tests.stats.lab import COLD, RISE, SAME, one


def printed(numbers: str) -> str:
    """SAME as a claim on a printed number."""
    text = SAME.replace('no_numbers = "made up"', f"numbers = {numbers}").replace(', reduced = "direction"', "")
    old = 'rule = "equivalent"\na = "b-{good}"\nb = "b-{base}"\n'
    new = 'rule = "within"\na = "b-{base}"\nonly = ["paper"]\n'
    assert old in text
    return text.replace(old, new)


def test_seeds_that_only_one_arm_has_take_no_part_in_a_paired_contrast(lab):
    rows = lab.rows({"b-2": 10, "b-2-cold": 11})
    rows["val/error_last5_median"] += rows["seed"]
    rows = rows[(rows["arm"] != "b-2-cold") | (rows["seed"] != 5)]
    found = one(lab, COLD + "paired = true\n", rows)
    values = {a: p.set_index("seed")["val/error_last5_median"] for a, p in rows.groupby("arm")}
    assert found["n"] == 4
    assert found["ours"] == pytest.approx((values["b-2-cold"] - values["b-2"]).dropna().mean())


def test_a_step_of_a_sequence_is_refuted_at_its_share_of_the_level_and_no_less(lab):
    rows = lab.rows({"b-4": 10, "b-8": 11, "b-16": 10.68})
    found = one(lab, RISE, rows)
    assert found["outcome"] == "not-reproduced"
    errors = rows.groupby("arm")["val/error"].apply(list)
    assert found["interval"] == pytest.approx(difference(errors["b-16"], errors["b-8"]).interval(0.95), abs=1e-6)


def test_the_spread_and_digits_of_a_printed_number_count(lab):
    text = printed('{ "b-1" = { mean = 10.0, sd = 0.5, n = 5, digits = 1, tag = "V" } }')
    rows = lab.rows({"b-1": 10}, "paper", sd=0.1)
    want = against_printed(rows["val/error"].to_list(), 10.0, 0.5, 5, 1).interval()
    assert one(lab, text, rows)["interval"] == pytest.approx(want, abs=1e-6)


def test_what_seeds_cannot_shrink_is_said(lab):
    text = printed('{ "b-1" = { mean = 10.0, sd = 3.0, n = 5, tag = "V" } }')
    found = one(lab, text, lab.rows({"b-1": 10}, "paper"))
    assert found["outcome"] == "inconclusive"
    assert "does not shrink with seeds" in found["reason"]
