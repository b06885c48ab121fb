"""Verdicts on runs whose truth is known: every outcome, the right scale, and what the reason says."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from shared.report.claims import OUTCOMES
from shared.stats import verdict as module
from shared.stats.claims import ClaimError
from shared.stats.verdict import KEYS, verdicts
from tests.stats.lab import COLD, HEAD, NONE, OVERLAP, RISE, SAME, one, values

EXACT = '[[claim]]\nid = "R1"\nwhere = "§3"\nsays = "Exact."\nno_numbers = "identity"\n'
EXACT += '[[claim.test]]\nrule = "exact"\ncheck = "good"\n'


@pytest.mark.parametrize(
    ("preset", "gap", "outcome"),
    [
        ("paper", 2.0, "reproduced"),
        ("paper", 0.6, "direction-only"),
        ("paper", 0.0, "not-reproduced"),
        ("paper", -2.0, "not-reproduced"),
        ("reduced", 2.0, "reproduced"),
        ("reduced", 0.6, "direction-only"),
        ("reduced", 0.25, "direction-only"),
        ("reduced", -2.0, "not-reproduced"),
    ],
)
def test_outcomes_of_a_difference(lab, preset, gap, outcome):
    found = one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 10 + gap}, preset))
    assert (found["outcome"], found["scale"]) == (outcome, preset)
    assert found["ours"] == pytest.approx(gap)
    assert found["interval"][0] < gap < found["interval"][1]


def test_a_size_refuted_at_paper_scale_is_not_reproduced_even_if_the_sign_is_right(lab):
    assert one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 10.3}, "paper", sd=0.1))["outcome"] == "not-reproduced"
    assert one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 10.3}, "reduced", sd=0.1))["outcome"] == "direction-only"


def test_a_level_that_is_missed_has_no_sign_to_be_right_about(lab):
    """85 where 97 is claimed is above 0 as any percentage is."""
    level = HEAD + '[[claim.test]]\nrule = "greater"\na = "b-2"\nmargin = 97.0\n'
    for preset in ("paper", "reduced"):
        assert one(lab, level, lab.rows({"b-2": 98}, preset))["outcome"] == "reproduced"
        assert one(lab, level, lab.rows({"b-2": 85}, preset))["outcome"] == "not-reproduced"


def test_too_much_spread_is_inconclusive_and_says_how_many_seeds_would_decide(lab):
    found = one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 11.5}, sd=1.5))
    assert found["outcome"] == "inconclusive"
    more = int(found["reason"].split("; ")[1].split()[0])
    seeds = 5 + more
    z = np.linspace(-1, 1, seeds)
    z *= 1.5 / z.std(ddof=1)
    assert module.rules.greater(module.rules.difference(11.5 + z, 10 + z), 0.5).finding == "holds"


def test_what_more_seeds_would_find_is_said(lab):
    """1.0 beyond the margin would hold, 0.9 short of it would be refuted."""
    toward = one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 11.5}, sd=1.5))
    away = one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 9.6}, sd=1.5))
    assert "would show it if estimate and spread stay" in toward["reason"]
    assert "would refute it if estimate and spread stay" in away["reason"]
    assert (toward["outcome"], away["outcome"]) == ("inconclusive", "inconclusive")


@pytest.mark.parametrize(("gap", "outcome"), [(2.0, "reproduced"), (0.6, "inconclusive")])
def test_a_claim_is_silent_while_one_that_it_requires_is_not_reproduced(lab, gap, outcome):
    """The gap is one of at least half a point; that warmth closes it means nothing where there is none."""
    closes = COLD.replace('id = "X1"', 'id = "X2"\nrequires = ["X1"]').replace("margin = 0.5", "margin = -9.0")
    found = verdicts(lab.paper(COLD + closes), lab.rows({"b-2": 10, "b-2-cold": 10 + gap}), NONE)
    assert [v["claim"] for v in found] == ["X1", "X2"]
    assert found[1]["outcome"] == outcome
    named = "reproduced by its own rule, but what it builds on is not established: X1 (direction-only); "
    assert found[1]["reason"].startswith(named) == (outcome == "inconclusive")


def test_premises_are_judged_by_what_became_of_them_and_where(lab):
    """X3 builds on X2, which is silent for want of X1; at paper scale nothing builds on what holds at reduced scale."""
    holds = COLD.replace("margin = 0.5", "margin = -9.0")
    second = holds.replace('id = "X1"', 'id = "X2"\nrequires = ["X1"]')
    third = holds.replace('id = "X1"', 'id = "X3"\nrequires = ["X2"]')
    found = verdicts(lab.paper(third + second + COLD), lab.rows({"b-2": 10, "b-2-cold": 10.6}), NONE)
    assert [v["outcome"] for v in found] == ["inconclusive", "inconclusive", "direction-only"]
    assert "not established: X2 (inconclusive); " in found[0]["reason"]
    small = COLD.replace('paper = "full", ', "").replace('id = "X1"', 'id = "X2"')
    whole = holds.replace(', reduced = "direction"', "").replace('id = "X1"', 'id = "X3"\nrequires = ["X2"]')
    rows = pd.concat([lab.rows({"b-2": 10, "b-2-cold": 12}, preset) for preset in ("paper", "reduced")])
    found = verdicts(lab.paper(small + whole), rows, NONE)
    assert [(v["outcome"], v["scale"]) for v in found] == [("reproduced", "reduced"), ("inconclusive", "paper")]
    assert "not established: X2 (reproduced at reduced scale only); " in found[1]["reason"]


def test_a_choice_that_every_seed_repeats_is_one_and_proves_nothing(lab):
    rows = lab.rows({"b-2": 10, "b-2-cold": 12})
    found = one(lab, COLD.replace('id = "X1"', 'id = "X1"\nonce = true'), rows)
    assert (found["outcome"], found["n"], found["interval"]) == ("inconclusive", 1, None)
    assert found["reason"].startswith("chosen once and repeated by every run, so n is 1 and has no spread: ")


def test_a_premise_never_saves_a_claim_that_fails(lab):
    fails = COLD.replace('id = "X1"', 'id = "X2"\nrequires = ["X1"]').replace("margin = 0.5", "margin = 9.0")
    found = verdicts(lab.paper(COLD + fails), lab.rows({"b-2": 10, "b-2-cold": 12}), NONE)
    assert [v["outcome"] for v in found] == ["reproduced", "direction-only"]
    found = verdicts(lab.paper(COLD + fails), lab.rows({"b-2": 10, "b-2-cold": 8}), NONE)
    assert [v["outcome"] for v in found] == ["not-reproduced", "not-reproduced"]


def test_greater_of_what_is_negated_is_reported_as_less(lab):
    text = COLD.replace('b = "b-2"', "").replace('a = "b-2-cold"', 'a = [{ arm = "b-2-cold", weight = -1 }]')
    text = text.replace("margin = 0.5", "margin = -13")
    found = one(lab, text, lab.rows({"b-2": 10, "b-2-cold": 12.5}, sd=0.1))
    assert (found["outcome"], found["rule"], found["margin"]) == ("reproduced", "less", 13.0)
    assert found["ours"] == pytest.approx(12.5)
    assert found["interval"][0] < 12.5 < found["interval"][1] < 13
    assert found["reason"].startswith("b-2-cold: +12.50 [")
    assert "], less than 13" in found["reason"]
    assert "], not less than 13" in one(lab, text, lab.rows({"b-2": 10, "b-2-cold": 14}, sd=0.1))["reason"]


def test_equivalence_of_several_arms_shows_the_worst_and_all_estimates(lab):
    good = one(lab, SAME, lab.rows({"b-1": 10, "b-2": 10.05, "b-4": 10.2}))
    assert (good["outcome"], good["n"]) == ("reproduced", 5)
    assert values(good) == pytest.approx([0.05, 0.2])
    assert [part["label"] for part in good["ours"]] == ["b-2 − b-1", "b-4 − b-1"]
    assert good["ours"][1]["interval"] == good["interval"]
    assert sum(good["interval"]) / 2 == pytest.approx(0.2)
    assert "b-4 − b-1" in good["reason"]
    assert one(lab, SAME, lab.rows({"b-1": 10, "b-2": 10, "b-4": 12}))["outcome"] == "not-reproduced"
    assert one(lab, SAME, lab.rows({"b-1": 10, "b-2": 10, "b-4": 10.5}))["outcome"] == "inconclusive"


def test_some_tests_holding_and_none_failing_is_inconclusive(lab):
    two = COLD + '[[claim.test]]\nrule = "greater"\na = "b-4"\nb = "b-2"\nmargin = 0.0\n'
    found = one(lab, two, lab.rows({"b-2": 10, "b-2-cold": 12, "b-4": 10.1}))
    assert found["outcome"] == "inconclusive"
    assert found["margin"] == [0.5, 0.0]


def test_a_sequence_of_roles(lab):
    rising = one(lab, RISE, lab.rows({"b-4": 10, "b-8": 11, "b-16": 14}))
    assert (rising["outcome"], values(rising)) == ("reproduced", pytest.approx([1, 3]))
    assert one(lab, RISE, lab.rows({"b-4": 10, "b-8": 11, "b-16": 9}))["outcome"] == "not-reproduced"


def test_diverged_runs_count_at_chance_level(lab):
    rows = lab.rows({"b-2": 10, "b-2-cold": 11}, diverged=("b-2-cold",))
    found = one(lab, COLD, rows)
    assert (found["outcome"], found["n"]) == ("reproduced", 5)
    assert found["ours"] == pytest.approx(80.0)
    assert "5 of 10 runs diverged" in found["reason"]


def test_too_few_seeds_are_inconclusive_however_clear(lab):
    found = one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 20}, seeds=3))
    assert (found["outcome"], found["n"], found["scale"]) == ("inconclusive", 3, "reduced")
    assert "3 of the 5 seeds" in found["reason"]
    assert "2 more seeds" in found["reason"]
    single = one(lab, COLD, lab.rows({"b-2": 10, "b-2-cold": 20}, seeds=1))
    assert (single["outcome"], single["interval"], single["n"]) == ("inconclusive", None, 1)
    assert "4 more" in single["reason"]


def test_missing_arms_are_not_run_and_the_command_is_given(lab):
    found = one(lab, COLD, lab.rows({"b-2": 10}))
    assert (found["outcome"], found["scale"], found["n"], found["runs"]) == ("not-run", None, 0, [])
    assert "b-2-cold" in found["reason"]
    assert found["reason"].endswith("; to run: make replicate-fake")
    assert one(lab, COLD, NONE)["outcome"] == "not-run"


def test_of_a_larger_scale_the_sweeps_that_lack_are_named(lab):
    """The whole preset may be more than a machine can bear."""
    found = one(lab, COLD.replace(', reduced = "direction"', ""), NONE)
    assert found["reason"].endswith("; to run: make replicate-fake PRESET=paper ARGS='--sweep all'")


def test_a_metric_nobody_recorded_is_not_run(lab):
    found = one(lab, COLD.replace("no_numbers", 'metric = "val/odd"\nno_numbers'), lab.rows({"b-2": 1, "b-2-cold": 2}))
    assert found["outcome"] == "not-run"
    assert "recorded val/odd" in found["reason"]


def test_the_largest_scale_with_enough_seeds_speaks(lab):
    small = lab.rows({"b-2": 10, "b-2-cold": 12}, "reduced")
    assert one(lab, COLD, pd.concat([small, lab.rows({"b-2": 20, "b-2-cold": 19}, "paper")]))["scale"] == "paper"
    few = lab.rows({"b-2": 20, "b-2-cold": 19}, "paper", seeds=2)
    assert one(lab, COLD, pd.concat([small, few]))["scale"] == "reduced"
    assert one(lab, COLD, few)["scale"] == "paper"


def test_smoke_speaks_of_plumbing_alone_and_only_when_asked(lab):
    rows = lab.rows({"b-2": 10, "b-2-cold": 20}, "smoke")
    assert one(lab, COLD, rows)["outcome"] == "not-run"
    found = one(lab, COLD, rows, presets=("smoke",))
    assert (found["outcome"], found["scale"]) == ("inconclusive", "smoke")
    assert "plumbing" in found["reason"]


def test_runs_that_the_paper_does_not_declare_do_not_count(lab):
    rows = lab.rows({"b-2": 10, "b-2-cold": 12})
    odd = rows.copy()
    odd["run_id"] += "-other"
    odd["val/error_last5_median"] = 99.0
    found = one(lab, COLD, pd.concat([rows, odd]))
    assert found["ours"] == pytest.approx(2.0)
    assert found["runs"] == sorted(rows["run_id"])


def test_a_difference_of_differences(lab):
    text = HEAD + '[[claim.test]]\nrule = "greater"\nmargin = 0.0\n'
    text += 'a = [{ arm = "b-16", metric = "train/error" }, { arm = "b-8", metric = "train/error", weight = -1 }]\n'
    text += 'b = [{ arm = "b-16" }, { arm = "b-8", weight = -1 }]\n'
    rows = lab.rows({"b-8": 10, "b-16": 11}, **{"train/error": {"b-8": 5, "b-16": 8}})
    found = one(lab, text, rows)
    assert found["ours"] == pytest.approx(3 - 1)
    # Both metrics of a run share its noise here, so it cancels: terms of one arm are added run by run.
    assert found["interval"] == pytest.approx([2.0, 2.0])


def test_arms_that_share_their_seeds_are_compared_seed_by_seed(lab):
    """A spread of 2 that both arms have in common hides a gap of 1 unless the claim says that they are paired."""
    rows = lab.rows({"b-2": 10, "b-2-cold": 11}, "paper")
    rows["val/error_last5_median"] += rows["seed"].map({1: -3.0, 2: -1.0, 3: 0.0, 4: 1.5, 5: 2.5})
    apart, together = (one(lab, COLD + word, rows) for word in ("", "paired = true"))
    assert (apart["outcome"], together["outcome"]) == ("inconclusive", "reproduced")
    assert apart["ours"] == pytest.approx(together["ours"]) == pytest.approx(1.0)
    with pytest.raises(ClaimError, match="paired is for the rules greater and equivalent"):
        one(lab, RISE + "paired = true\n", rows)


def test_a_printed_number_is_judged_at_paper_scale_only(lab):
    text = SAME.replace('no_numbers = "made up"', 'numbers = { "b-1" = { mean = 10.0, sd = 0.2, n = 5, tag = "V" } }')
    text += '[[claim.test]]\nrule = "within"\na = "b-{base}"\nmargin = 0.5\nonly = ["paper"]\n'
    means = {"b-1": 13, "b-2": 13, "b-4": 13}
    assert one(lab, text, lab.rows(means, "paper"))["outcome"] == "not-reproduced"
    assert one(lab, text, lab.rows(means, "reduced"))["outcome"] == "reproduced"
    paper = one(lab, text, lab.rows({k: 10 for k in means}, "paper"))
    assert paper["outcome"] == "reproduced"
    assert paper["ours"][-1]["label"] == "b-1 − printed"
    assert (paper["reference"]["label"], paper["reference"]["mean"]) == ("b-1", 10.0)
    assert one(lab, text, lab.rows(means, "reduced"))["reference"] is None, "of a test that does not speak there"


def test_exponents_and_models_over_a_grid(lab):
    rows = lab.rows({f"b-{b}": 10 * b**0.5 for b in (1, 2, 4, 8, 16)}, sd=0.1)
    scale = (
        HEAD + '[[claim.test]]\nrule = "scales_as"\narms = "b-{grid}"\nx = "batch_size"\ntarget = 0.5\nmargin = 0.1\n'
    )
    assert one(lab, scale, rows)["outcome"] == "reproduced"
    assert one(lab, scale.replace("0.5\n", "1.0\n"), rows)["outcome"] == "not-reproduced"
    flat = one(lab, scale, lab.rows({f"b-{b}": 0.0 for b in (1, 2, 4, 8, 16)}, sd=0.0))
    assert (flat["outcome"], flat["scale"]) == ("inconclusive", "reduced")  # it was run, but 0 has no logarithm
    assert "positive values" in flat["reason"]
    fit = (
        HEAD
        + '[[claim.test]]\nrule = "fits_better"\narms = "b-{grid}"\nx = "batch_size"\nmodels = ["sqrt", "linear"]\n'
    )
    assert one(lab, fit, rows)["outcome"] == "reproduced"
    assert one(lab, fit.replace('["sqrt", "linear"]', '["linear", "sqrt"]'), rows)["outcome"] == "not-reproduced"


def test_exact_checks_speak_at_paper_scale_without_runs(lab):
    good = one(lab, EXACT, NONE)
    assert (good["outcome"], good["scale"], good["n"], good["ours"], good["runs"]) == ("reproduced", "paper", 2, 2, [])
    bad = one(lab, EXACT.replace('"good"', '"bad"'), NONE)
    assert (bad["outcome"], bad["ours"]) == ("not-reproduced", 1)
    assert "two" in bad["reason"]
    broken = one(lab, EXACT.replace('"good"', '"broken"'), NONE)
    assert broken["outcome"] == "not-reproduced"
    assert "ZeroDivisionError" in broken["reason"]
    with pytest.raises(ClaimError, match="no function absent"):
        one(lab, EXACT.replace('"good"', '"absent"'), NONE)


def test_a_role_without_batches_is_not_run(lab):
    lab.roles["bad"] = ()
    found = one(lab, RISE, lab.rows({"b-4": 10}))
    assert found["outcome"] == "not-run"
    assert "reduced has no batch for" in found["reason"]


def test_a_claim_that_cannot_run_says_why_and_shows_the_papers_numbers(lab):
    text = HEAD.replace('presets = { paper = "full", reduced = "direction" }\nno_numbers = "made up"', "")
    text += 'numbers = { "gpus-256" = { mean = 1.0, sd = 0.1, n = 5, tag = "V" } }\n'
    text += '[claim.not_run]\nreason = "needs 256 GPUs"\ncommand = "make replicate-fake PRESET=paper"\n'
    found = one(lab, text, NONE)
    assert (found["outcome"], found["scale"]) == ("not-run", None)
    assert "needs 256 GPUs" in found["reason"]
    assert "make replicate-fake PRESET=paper" in found["reason"]
    assert found["reference"]["mean"] == 1.0


def test_references_are_the_papers_numbers_for_the_same_contrast(lab):
    numbers = "[claim.numbers]\n" + "".join(
        f'"b-{b}" = {{ mean = {10 + b / 10}, sd = 0.1, n = 5, digits = 1, tag = "V" }}\n' for b in (1, 2, 4)
    )
    text = HEAD.replace('no_numbers = "made up"', "") + numbers + SAME.removeprefix(HEAD)
    first, second = one(lab, text, NONE)["reference"]
    assert (first["label"], first["mean"], first["digits"], first["tag"]) == ("b-2 − b-1", 0.1, 1, "D")
    assert second["mean"] == 0.3
    assert second["interval"][0] < 0.3 < second["interval"][1]


def test_keys_are_exact_and_everything_survives_json(lab):
    rows = lab.rows({"b-1": 10, "b-2": 10, "b-4": 10, "b-2-cold": 12})
    claims = [t.replace('"X1"', f'"X{i}"') for i, t in enumerate((COLD, SAME, RISE, OVERLAP, EXACT))]
    found = verdicts(lab.paper("".join(claims)), rows, NONE)
    assert [tuple(v) for v in found] == [KEYS] * 5
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {v["outcome"] for v in found} <= set(OUTCOMES)
    assert all(v["reason"].strip() for v in found)
