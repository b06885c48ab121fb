"""What a verdict says beside its outcome: chance level, which test is in doubt, and whose number stands beside ours."""

from __future__ import annotations

import pytest

from replications import PAPERS
from shared.stats import rules
from shared.stats.chance import at_chance
from shared.stats.claims import load_claims
from shared.stats.intervals import difference
from shared.stats.reference import references
from shared.stats.verdict import outcome_of
from tests.stats.lab import HEAD, NONE, RISE, SAME, one


@pytest.mark.parametrize(
    ("error", "data", "expected"),
    [(89.0, "digits", True), (88.9, "digits", False), (95.0, "fashion-mnist", True), (90.0, "cifar100", False),
     (98.9, "imagenet", True), (99.0, "folder:mine", False), (float("nan"), "digits", False)],
)  # fmt: skip
def test_chance_level_by_data_set(error, data, expected):
    assert at_chance(error, data) is expected


def test_a_step_from_chance_neither_fails_nor_blocks(lab):
    lab.roles["bad"] = ("8", "16", "1")
    found = one(lab, RISE, lab.rows({"b-4": 10, "b-8": 30, "b-16": 90, "b-1": 89.5}))
    assert found["outcome"] == "reproduced"
    assert [part["label"] for part in found["ours"]] == ["b-8 − b-4", "b-16 − b-8"]
    assert "2 of 3 steps judged; b-16, b-1 are at chance level, where nothing can be told" in found["reason"]
    assert one(lab, RISE, lab.rows({"b-4": 30, "b-8": 10, "b-16": 90, "b-1": 90}))["outcome"] == "not-reproduced"


def test_without_a_step_below_chance_the_claim_is_open(lab):
    found = one(lab, RISE, lab.rows({"b-4": 90, "b-8": 90, "b-16": 89.5}))
    assert (found["outcome"], found["ours"], found["interval"]) == ("inconclusive", None, None)
    assert "0 of 2 steps judged" in found["reason"]


def test_a_fall_from_chance_is_a_fall(lab):
    found = one(lab, RISE, lab.rows({"b-4": 10, "b-8": 90, "b-16": 60}))
    assert found["outcome"] == "not-reproduced"
    assert found["reason"].startswith("b-16 − b-8: −30.00 ")


def test_unknown_data_and_other_metrics_are_not_censored(lab):
    rows = lab.rows({"b-4": 10, "b-8": 92, "b-16": 90})
    assert one(lab, RISE, rows)["outcome"] == "reproduced"
    assert one(lab, RISE, rows.assign(**{"data.name": "folder:mine"}))["outcome"] == "not-reproduced"
    speed = RISE.replace("no_numbers", 'metric = "images_per_s"\nno_numbers')
    assert one(lab, speed, rows.assign(images_per_s=rows["val/error"]))["outcome"] == "not-reproduced"


def test_runs_that_finished_at_chance_are_counted_beside_diverged_ones(lab):
    found = one(lab, RISE, lab.rows({"b-4": 10, "b-8": 90, "b-16": 90}, sd=0.1, diverged=("b-16",)))
    assert "5 of 15 runs diverged and count at chance level; 5 of 15 runs finished at chance level" in found["reason"]
    assert "chance" not in one(lab, RISE, lab.rows({"b-4": 10, "b-8": 20, "b-16": 40}))["reason"]


LOSS = HEAD.replace("no_numbers", 'metric = "full/loss"\nno_numbers')
LOSS += '[[claim.test]]\nrule = "greater"\na = "b-8"\nb = "b-4"\n'


@pytest.mark.parametrize(("gap", "outcome"), [(5.0, "inconclusive"), (-5.0, "not-reproduced")])
def test_seeds_that_were_lost_do_not_leave_a_claim_to_the_others(lab, gap, outcome):
    """Two seeds of five diverged, without the loss that the claim reads."""
    rows = lab.rows({"b-4": 10, "b-8": 10}, **{"full/loss": {"b-4": 1.0, "b-8": 1.0 + gap}})
    lost = (rows["arm"] == "b-8") & (rows["seed"] > 3)
    rows.loc[lost, ["status", "full/loss"]] = ["diverged", float("nan")]
    found = one(lab, LOSS.replace("no_numbers", "min_seeds = 3\nno_numbers"), rows)
    assert found["outcome"] == outcome
    assert "; 2 of 10 runs diverged and have no value, so they are left out" in found["reason"]
    assert "count at chance" not in found["reason"]
    assert found["reason"].startswith("reproduced by the runs that have a value: ") == (gap > 0)
    rows.loc[lost, "full/loss"] = 9.0
    assert one(lab, LOSS, rows)["outcome"] == ("reproduced" if gap > 0 else "inconclusive")


def test_an_arm_that_was_lost_whole_has_been_run(lab):
    rows = lab.rows({"b-4": 10, "b-8": 10}, diverged=("b-8",), **{"full/loss": {"b-4": 1.0}})
    found = one(lab, LOSS, rows)
    assert found["outcome"] == "inconclusive"
    assert "all 5 runs of b-8 diverged, without a value of full/loss" in found["reason"]


def test_the_beginning_of_a_lost_curve_is_no_curve(lab):
    """Of an error a lost run has chance level to the end; its loss until then may lie on the other's."""
    text = HEAD.replace("no_numbers", 'metric = "train/loss"\nno_numbers')
    text += '[[claim.test]]\nrule = "curves_overlap"\na = "b-8"\nb = "b-4"\nmargin = 1.0\n'
    rows = lab.rows({"b-4": 10, "b-8": 10})
    history = lab.history(rows, {}, "train/loss")
    assert one(lab, text, rows, history)["outcome"] == "reproduced"
    rows.loc[(rows["arm"] == "b-8") & (rows["seed"] == 5), "status"] = "diverged"
    found = one(lab, text, rows, history)
    assert (found["outcome"], found["n"]) == ("inconclusive", 4)
    assert "1 of 10 runs diverged and have no value" in found["reason"]


def test_runs_of_several_processors_are_told(lab):
    rows = lab.rows({"b-4": 10, "b-8": 20, "b-16": 40}).assign(**{"provenance.cpu": "A"})
    assert "processor" not in one(lab, RISE, rows)["reason"]
    rows.loc[rows["arm"] == "b-8", "provenance.cpu"] = "B"
    assert "; runs of 2 processors, on which a seed is not one run: A, B" in one(lab, RISE, rows)["reason"]


def test_an_open_test_without_a_sign_keeps_the_claim_open():
    base = [0.0, 0.1, 0.2]
    small = rules.greater(difference([1.0, 1.1, 1.2], base), 1.0)
    refuted = rules.greater(difference([0.3, 0.4, 0.5], base), 2.0)
    same = rules.equivalent(difference([0.5, 0.6, 0.7], base), 0.5)
    worse = rules.greater(difference([0.0, 0.1, 0.2], base), 0.0)
    close = rules.equivalent(difference(base, base), 1.0)
    apart = rules.equivalent(difference([5.0, 5.1, 5.2], base), 1.0)
    for parts, reduced, paper in (
        ([small, close], "direction-only", "direction-only"),
        ([small, same], "inconclusive", "inconclusive"),
        ([small, worse], "inconclusive", "inconclusive"),
        ([refuted, close], "direction-only", "not-reproduced"),
        ([refuted, same], "inconclusive", "not-reproduced"),
        ([small, apart], "not-reproduced", "not-reproduced"),
        ([same], "inconclusive", "inconclusive"),
        ([close], "reproduced", "reproduced"),
    ):
        whole = rules.all_of(parts)
        assert (outcome_of(whole, "direction"), outcome_of(whole, "full")) == (reduced, paper)


def test_the_reason_counts_the_tests_in_doubt(lab):
    single = one(lab, SAME, lab.rows({"b-1": 0, "b-2": 0, "b-4": 0.5}))
    assert "(in doubt: b-4 − b-1, one of 2 tests)" in single["reason"]
    both = one(lab, SAME, lab.rows({"b-1": 0, "b-2": 0.4, "b-4": 0.5}))
    assert "(2 of 2 tests in doubt, worst: b-4 − b-1)" in both["reason"]


def test_a_refutation_among_several_names_its_level(lab):
    rows = lab.rows({"b-1": 10, "b-2": 10, "b-4": 12})
    found = one(lab, SAME, rows)
    errors = rows.groupby("arm")["val/error"].apply(list)
    assert found["interval"] == pytest.approx(difference(errors["b-4"], errors["b-1"]).interval(0.95), abs=1e-6)
    assert "the interval is the 95 % one" in found["reason"]


def test_a_number_stated_with_a_test_is_not_taken_for_our_contrast(lab):
    text = HEAD + '[[claim.test]]\nrule = "greater"\na = "b-2-cold"\nb = "b-2"\n'
    text += 'reference = { mean = 2.1, digits = 1, tag = "V2" }\n'
    stated = one(lab, text, NONE)["reference"]
    assert stated == {
        "label": "as the paper states it", "mean": 2.1, "sd": None, "n": None, "digits": 1, "tag": "V2",
        "interval": None,
    }  # fmt: skip
    named = one(lab, text.replace('tag = "V2"', 'tag = "V2", label = "cold − b-1"'), NONE)["reference"]
    assert (named["label"], named["tag"]) == ("cold − b-1", "V2")


def test_goyals_stated_deficits_keep_their_own_label():
    paper = PAPERS["goyal"]
    (claim,) = (c for c in load_claims(paper) if c.id == "G4")
    found = [(r["label"], r["mean"], r["tag"]) for r in references(paper, claim, "reduced")]
    assert found == [("as the paper states it", 2.1, "V2"), ("as the paper states it", 0.9, "D")]


@pytest.mark.parametrize(
    "rule", ['rule = "equivalent"\nmargin = 0.5', 'rule = "greater"\nmargin = -0.5'], ids=["equivalent", "no worse"]
)
def test_arms_that_learnt_nothing_are_not_shown_to_be_alike(lab, rule):
    claims = HEAD + f'[[claim.test]]\na = "b-8"\nb = "b-4"\n{rule}\n'
    assert one(lab, claims, lab.rows({"b-4": 40.0, "b-8": 40.0}, sd=0.01))["outcome"] == "reproduced"
    dead = one(lab, claims, lab.rows({"b-4": 90.0, "b-8": 90.0}, sd=0.01))
    assert dead["outcome"] == "inconclusive"
    assert "at chance level, where all look alike" in dead["reason"]
    better = HEAD + '[[claim.test]]\nrule = "greater"\na = "b-8"\nb = "b-4"\n'
    assert one(lab, better, lab.rows({"b-4": 40.0, "b-8": 90.0}, sd=0.01))["outcome"] == "reproduced"


def test_an_accuracy_rises_from_chance_and_tells_nothing_between_two_arms_there(lab):
    """Diverged or not, nets of 10 % tell no order among themselves; a rise from there is one like any other."""
    claims = RISE.replace("no_numbers", 'metric = "val/accuracy"\nno_numbers')
    rows = lab.rows({"b-4": 10.0, "b-8": 10.0, "b-16": 60.0}, sd=0.01)
    found = one(lab, claims, rows.assign(**{"val/accuracy": rows["val/error"]}))
    assert found["outcome"] == "reproduced"
    assert "1 of 2 steps judged; b-4, b-8 are at chance level" in found["reason"]
    rows = lab.rows({"b-4": 30.0, "b-8": 10.0, "b-16": 60.0}, sd=0.01)
    assert one(lab, claims, rows.assign(**{"val/accuracy": rows["val/error"]}))["outcome"] == "not-reproduced"


def test_rounding_does_not_decide_where_nothing_has_a_spread(lab):
    """0.8·x + 0.2·x − x is 1e-14 for x = 90.2."""
    claims = HEAD + '[[claim.test]]\nrule = "greater"\nb = "b-16"\n'
    claims += 'a = [{ arm = "b-8", weight = 0.8 }, { arm = "b-4", weight = 0.2 }]\n'
    found = one(lab, claims, lab.rows({"b-4": 30.2, "b-8": 30.2, "b-16": 30.2}, sd=0.0))
    assert (found["outcome"], found["ours"]) == ("inconclusive", 0)


def test_a_printed_level_below_a_bound_keeps_its_sign(lab):
    """``less than 35`` is written with weight −1; what it is shown beside is the number as printed."""
    claims = HEAD.replace('no_numbers = "made up"', "") + '[[claim.test]]\nrule = "greater"\nmargin = -35.0\n'
    claims += 'a = [{ arm = "b-4", weight = -1 }]\n'
    claims += '[claim.numbers]\n"b-4" = { mean = 8.0, sd = 0.5, n = 5, tag = "V" }\n'
    paper = lab.paper(claims)
    (claim,) = load_claims(paper)
    assert [r["mean"] for r in references(paper, claim)] == [8.0]


def test_a_reading_off_a_grid_without_its_error_is_no_reading(lab):
    """One run that lacks the neighbours of its best value must not make the exponent look free of the grid's error."""
    claims = HEAD.replace("no_numbers", 'metric = "best"\nno_numbers')
    claims += '[[claim.test]]\nrule = "scales_as"\narms = "b-{grid}"\nx = "batch_size"\ntarget = 1.0\nmargin = 0.2\n'
    arms = {f"b-{b}": float(b) for b in (1, 2, 4, 8, 16)}
    rows = lab.rows(arms, sd=0.0, best=arms)
    rows = rows.assign(**{"best/low": rows["best"] / 2, "best/high": rows["best"] * 2})
    low, high = one(lab, claims, rows)["interval"]
    assert high - low > 0.1
    rows.loc[0, "best/low"] = float("nan")
    found = one(lab, claims, rows)
    assert found["outcome"] == "not-run"
    assert "b-1, seed 1, did not record best/low" in found["reason"]
