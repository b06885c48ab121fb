"""Decisions of the rules, and their error rates by simulation: at the boundary a false finding has probability 5 %."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from shared.stats import rules
from shared.stats.intervals import StatsError, against_printed, difference, difference_from_stats, mean

REPS = 1500
LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPS)
"""5 % and three standard errors of the simulation."""


def rates(decide, *shape, reps=REPS) -> dict[str, float]:
    """Share of each finding over draws of standard normal noise of the given shape."""
    draws = np.random.default_rng(0).normal(size=(reps, *shape))
    counts = Counter(decide(draw).finding for draw in draws)
    return {finding: counts[finding] / reps for finding in ("holds", "fails", "inconclusive")}


def test_equivalent_at_its_boundary_and_its_power():
    boundary = rates(lambda z: rules.equivalent(difference(3 + z[0], z[1]), 3), 2, 5)
    assert boundary["holds"] <= LIMIT
    assert boundary["fails"] <= LIMIT
    assert rates(lambda z: rules.equivalent(difference(*z), 3), 2, 5, reps=300)["holds"] > 0.95
    assert rates(lambda z: rules.equivalent(difference(8 + z[0], z[1]), 3), 2, 5, reps=300)["fails"] > 0.95


def test_equivalent_agrees_with_statsmodels():
    from statsmodels.stats.weightstats import ttost_ind

    for z in np.random.default_rng(1).normal(size=(50, 2, 5)):
        p, *_ = ttost_ind(z[0], z[1], -1.5, 1.5, usevar="unequal")
        assert (rules.equivalent(difference(*z), 1.5).finding == "holds") == (p < 0.05)


@pytest.mark.parametrize("margin", [0.0, 1.0, -1.0])
def test_greater_at_its_boundary_and_its_power(margin):
    boundary = rates(lambda z: rules.greater(difference(margin + z[0], z[1]), margin), 2, 5)
    assert boundary["holds"] <= LIMIT
    assert boundary["fails"] <= LIMIT
    assert rates(lambda z: rules.greater(difference(margin + 3 + z[0], z[1]), margin), 2, 5, reps=300)["holds"] > 0.95
    assert rates(lambda z: rules.greater(difference(margin - 3 + z[0], z[1]), margin), 2, 5, reps=300)["fails"] > 0.95


def test_greater_knows_the_sign_apart_from_the_size():
    found = rules.greater(difference([1.0, 1.1, 0.9], [0.0, 0.1, -0.1]), margin=1.0)
    assert (found.finding, found.direction) == ("inconclusive", True)
    assert rules.greater(difference([1.0, 1.1, 0.9], [0.0, 0.1, -0.1]), margin=-0.5).direction is None
    assert rules.greater(mean([1.0, 1.1, 0.9]), margin=1.0, signed=False).direction is None


def test_within_a_printed_number():
    boundary = rates(lambda z: rules.within(23.6 + 0.4 + 0.1 * z, 23.6, 0.4, sd=0.0, n=5), 5)
    assert boundary["holds"] <= LIMIT
    assert boundary["fails"] <= LIMIT
    near = rates(lambda z: rules.within(23.6 + 0.1 * z, 23.6, 0.4, sd=0.1, n=5, digits=2), 5, reps=300)
    assert near["holds"] > 0.95


def test_within_a_number_printed_without_spread():
    """Both sides drawn: the printed one is a single run."""
    boundary = rates(lambda z: rules.within(4 + z[1:], z[0], 4.0), 6)
    assert boundary["holds"] <= LIMIT
    assert rates(lambda z: rules.within(z[1:], z[0], 8.0), 6, reps=300)["holds"] > 0.9


def test_monotone_with_one_flat_step_and_its_power():
    flat = np.array([0.0, 5.0, 5.0, 10.0])[:, None]
    boundary = rates(lambda z: rules.monotone(list(flat + z)), 4, 5)
    assert boundary["holds"] <= LIMIT
    assert boundary["fails"] <= LIMIT
    rising = np.arange(4)[:, None] * 3.0
    assert rates(lambda z: rules.monotone(list(rising + z)), 4, 5, reps=300)["holds"] > 0.9
    assert rates(lambda z: rules.monotone(list(-rising + z)), 4, 5, reps=300)["fails"] > 0.9


def test_monotone_with_all_steps_flat_rarely_fails():
    """Bonferroni: one of three must fail, at a third of the level each."""
    assert rates(lambda z: rules.monotone(list(z)), 4, 5)["fails"] <= LIMIT


def test_steps_that_start_at_chance_are_not_judged():
    groups = [[10.0, 10.2, 9.8], [40.0, 41.0, 39.0], [90.0, 90.1, 89.9], [89.5, 89.6, 89.4]]
    assert rules.monotone(groups).finding == "fails"
    found = rules.monotone(groups, at_chance=(False, False, True, True))
    assert (found.finding, len(found.leaves), found.direction) == ("holds", 2, True)
    none = rules.monotone([groups[2]] * 2, at_chance=(True, True))
    assert (none.finding, none.direction, none.interval, none.n) == ("inconclusive", None, None, 3)


def test_a_step_from_chance_can_refute_and_never_holds():
    """Nothing can rise from there; a clear fall speaks against a rise all the same, an unclear one says nothing."""
    rising, chance = [[10.0, 10.2, 9.8], [40.0, 41.0, 39.0]], [90.0, 90.1, 89.9]
    lost = (False, False, True, False)
    names = ("b − a", "c − b", "d − c")
    found = rules.monotone([*rising, chance, [60.0, 60.1, 59.9]], at_chance=lost, names=names)
    assert (found.finding, found.label, [leaf.label for leaf in found.leaves]) == ("fails", "d − c", [*names])
    unclear = rules.monotone([*rising, chance, [95.0, 85.0, 75.0]], at_chance=lost, names=names)
    assert (unclear.finding, [leaf.label for leaf in unclear.leaves]) == ("holds", [*names[:2]])


def test_steps_from_chance_take_no_share_of_the_level():
    fall = [[1.0, 1.3, 0.7], [0.3, 0.6, 0.0]]
    chance = [[90.0, 90.0, 90.1], [90.0, 90.1, 90.0]]
    assert rules.monotone(fall).finding == "fails"
    assert rules.monotone([fall[0], fall[1], *chance]).finding == "inconclusive"
    assert rules.monotone([*chance, *fall], at_chance=(True, True, False, False)).finding == "fails"


def test_a_refutation_among_several_shows_the_interval_that_decided():
    found = rules.greater(difference([0.0, 0.1, 0.2], [5.0, 5.1, 5.2]), refute=0.01)
    assert found.level == pytest.approx(0.98)
    assert found.interval == pytest.approx(difference([0.0, 0.1, 0.2], [5.0, 5.1, 5.2]).interval(0.98))
    assert rules.greater(difference([5.0, 5.1, 5.2], [0.0, 0.1, 0.2]), refute=0.01).level == pytest.approx(0.9)


def test_monotone_tolerates_a_fall_of_the_negative_margin():
    groups = [[1.0, 1.1, 0.9], [0.9, 1.0, 0.8], [2.0, 2.1, 1.9]]
    assert rules.monotone(groups, margin=-1.0).finding == "holds"
    assert rules.monotone(groups, margin=0.0).finding == "inconclusive"


def test_scales_as_at_its_boundary_and_its_power():
    x = [1.0, 2.0, 4.0, 8.0]
    logs = np.log(x)[:, None]

    def power(p):
        return lambda z: rules.scales_as(x, list(np.exp(p * logs + 0.1 * z)), 0.5, 0.2)

    boundary = rates(power(0.7), 4, 5)
    assert boundary["holds"] <= LIMIT
    assert boundary["fails"] <= LIMIT
    assert rates(power(0.5), 4, 5, reps=300)["holds"] > 0.95
    assert rates(power(1.0), 4, 5, reps=300)["fails"] > 0.95


def test_scales_as_finds_the_exponent():
    x = [1.0, 2.0, 4.0]
    found = rules.scales_as(x, [[3.0 * v**1.5, 3.03 * v**1.5] for v in x], 1.5, 0.1)
    assert found.estimate == pytest.approx(1.5)
    with pytest.raises(StatsError, match="positive"):
        rules.scales_as(x, [[0.0, 1.0]] * 3, 1.0, 0.1)


def test_fits_better_between_equals_and_its_power():
    x = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    neither = rates(lambda z: rules.fits_better(x, z, "linear", "sqrt"), 5, 6)
    assert neither["holds"] <= LIMIT
    assert neither["fails"] <= LIMIT
    assert rates(lambda z: rules.fits_better(x, x + z, "linear", "sqrt"), 5, 6, reps=300)["holds"] > 0.9
    assert rates(lambda z: rules.fits_better(x, x + z, "sqrt", "linear"), 5, 6, reps=300)["fails"] > 0.9


def test_fits_better_charges_a_parameter_that_explains_nothing():
    assert (
        rates(lambda z: rules.fits_better(np.arange(1.0, 9.0), z, "constant", "linear"), 5, 8, reps=300)["holds"] > 0.6
    )


def test_fits_better_is_the_difference_of_aicc_in_closed_form():
    """n ln(RSS/n) + 2k + 2k(k + 1)/(n − k − 1), the variance being one of the k (Hurvich and Tsai 1989)."""
    x = np.arange(1.0, 10.0)
    y = np.array([1.0, 1.3, 1.1, 2.0, 2.2, 1.9, 2.5, 3.1, 2.8])
    n, line = len(x), np.polyval(np.polyfit(x, y, 1), x)
    fit = n * math.log(((y - y.mean()) ** 2).sum() / ((y - line) ** 2).sum())
    charge = 2 + 2 * 3 * 4 / (n - 4) - 2 * 2 * 3 / (n - 3)
    found = rules.fits_better(x, np.stack([y, y]), "linear", "constant")
    assert found.estimate == pytest.approx(fit - charge)


def test_fits_better_refuses_too_few_points_and_unknown_models():
    with pytest.raises(StatsError, match="more than 4 points"):
        rules.fits_better([1, 2, 3], np.ones((2, 3)), "linear", "sqrt")
    with pytest.raises(StatsError, match="unknown model 'cubic'"):
        rules.fits_better(range(1, 8), np.ones((2, 7)), "cubic", "sqrt")


def test_curves_overlap_at_its_boundary_and_its_power():
    boundary = rates(lambda z: rules.curves_overlap(mean(1 + 0.2 * z), 1.0), 5)
    assert boundary["holds"] <= LIMIT
    assert boundary["fails"] <= LIMIT
    assert rates(lambda z: rules.curves_overlap(mean(0.4 + 0.2 * z), 1.0), 5, reps=300)["holds"] > 0.95
    assert rates(lambda z: rules.curves_overlap(mean(2 + 0.2 * z), 1.0), 5, reps=300)["fails"] > 0.95


def test_exact_counts_cases_and_names_those_that_fail():
    found = rules.exact([("sum", True), ("steps", False)])
    assert (found.finding, found.estimate, found.n) == ("fails", 1, 2)
    assert "steps" in found.reason
    assert rules.exact([("sum", True)]).finding == "holds"
    assert rules.exact([]).finding == "inconclusive"


def test_all_of_shows_the_part_nearest_to_failing():
    parts = [rules.greater(difference(np.array([0.0, 0.1, 0.2]) + up, [0.0, 0.1, 0.2])) for up in (3.0, 1.0, 2.0)]
    whole = rules.all_of(parts)
    assert (whole.finding, whole.estimate) == ("holds", pytest.approx(1.0))
    down = rules.greater(difference([-5.0, -5.1, -4.9], [0.0, 0.1, 0.2]))
    doubt = rules.greater(difference([0.0, 0.2, 0.1], [0.0, 0.1, 0.2]))
    assert rules.all_of([*parts, doubt]).finding == "inconclusive"
    assert rules.all_of([*parts, doubt, down]).estimate == pytest.approx(down.estimate)


def test_one_seed_is_inconclusive_for_every_rule():
    one = difference([1.0], [0.0])
    for found in (
        rules.equivalent(one, 9),
        rules.greater(one, 0),
        rules.curves_overlap(one, 9),
        rules.within([1.0], 1, 9),
    ):
        assert (found.finding, found.interval) == ("inconclusive", None)


@pytest.mark.parametrize("rule", [rules.equivalent, rules.curves_overlap])
def test_a_margin_must_be_positive(rule):
    with pytest.raises(StatsError, match="margin above 0"):
        rule(difference([1.0, 2.0], [1.0, 2.0]), 0.0)


def test_of_several_open_parts_one_that_can_be_refuted_decides():
    """Each is refuted at its share of the level, and the fewest seeds that refute one are enough."""
    z = np.array([-1.0, 0.0, 1.0])
    short, shorter, beyond = (rules.greater(difference(z + d, z), 0.0, 0.05 / 3) for d in (-0.8, -1.0, 0.5))
    assert [r.leans for r in (short, shorter, beyond)] == ["fails", "fails", "holds"]
    whole = rules.all_of([short, shorter, beyond])
    assert (whole.needed, whole.leans) == (shorter.needed, "fails")
    assert shorter.needed < short.needed
    assert shorter.needed > rules.greater(difference(z - 1.0, z), 0.0).needed
    open_ = rules.all_of([beyond, rules.greater(difference(z + 0.9, z), 0.0, 0.05 / 3)])
    assert (open_.needed, open_.leans) == (beyond.needed, "holds")


def test_the_seeds_said_to_decide_do_decide():
    """At the seeds that n_needed names the same estimate and spread decide; with one fewer they do not."""
    sample = np.array([0.0, 0.3, 0.6])
    d = difference(sample + 0.2, sample)
    assert rules.greater(d, 0.0).finding == "inconclusive"
    n = rules.n_needed(d, 0.2)

    def at(seeds):
        z = np.linspace(-1, 1, seeds)
        z *= 0.3 / z.std(ddof=1)
        return rules.greater(difference(z + 0.2, z), 0.0).finding

    assert rules.greater(d, 0.0).needed == n
    assert (at(n), at(n - 1)) == ("holds", "inconclusive")
    assert rules.n_needed(d, 1e-9) is None


def test_more_seeds_of_ours_do_not_shrink_what_the_paper_left_open():
    """Against a printed mean with a spread of its own, n_needed counts on our share of the error alone."""
    ours = [1.0, 1.3, 0.9, 1.1, 0.7]
    mean_, sd = float(np.mean(ours)), float(np.std(ours, ddof=1))
    d = against_printed(ours, mean_, sd=0.2, n=5)
    limit = 0.2 / math.sqrt(5)
    n = rules.n_needed(d, 2.1 * limit + 0.02)

    def bound(seeds: int) -> float:
        return difference_from_stats(mean_, sd, seeds, mean_, 0.2, 5).interval(0.90)[1]

    assert bound(n) < 2.1 * limit + 0.02 <= bound(n - 1)
    assert rules.n_needed(d, 1.6 * limit) is None
    single = against_printed(ours, mean_)  # one run without a spread: ours stands for it
    assert rules.n_needed(single, 1.5 * sd) is None
    assert rules.n_needed(single, 1.8 * sd) is not None


def test_the_grid_error_is_the_spread_of_exponents_over_values_anywhere_in_their_cells():
    x, low, best, high = [0.1, 1, 3, 10], [1, 15, 65, 330], [2, 20, 100, 500], [3, 30, 150, 750]
    rng = np.random.default_rng(0)
    edges = np.log([np.sqrt(np.multiply(low, best)), np.sqrt(np.multiply(best, high))])
    slopes = [np.polyfit(np.log(x), rng.uniform(*edges), 1)[0] for _ in range(20_000)]
    assert rules.grid_error(x, low, high) == pytest.approx(np.std(slopes), rel=0.03)


def test_seeds_that_agree_on_a_value_of_a_coarse_grid_are_no_certainty():
    x, groups = [1.0, 10.0], [[20.0] * 5, [200.0] * 5]
    coarse = [([5.0] * 5, [80.0] * 5), ([50.0] * 5, [800.0] * 5)]
    fine = [([19.0] * 5, [21.0] * 5), ([190.0] * 5, [210.0] * 5)]
    assert rules.scales_as(x, groups, 1.0, 0.25).interval == pytest.approx((1.0, 1.0))
    assert rules.scales_as(x, groups, 1.0, 0.25, cells=fine).finding == "holds"
    found = rules.scales_as(x, groups, 1.0, 0.25, cells=coarse)
    half = 1.645 * rules.grid_error(x, [5, 50], [80, 800])
    assert (found.finding, found.needed) == ("inconclusive", None)
    assert found.interval == pytest.approx((1 - half, 1 + half), rel=1e-3)


def test_seeds_that_are_needed_are_added_to_every_group():
    """A group of three and one of five become n and n + 2, whichever has the spread."""
    few, many = np.array([0.0, 0.1, -0.1]), np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    d = difference(few + 1.0, many)
    n = rules.n_needed(d, 1.0)

    def bound(seeds: int) -> float:
        sds = few.std(ddof=1), many.std(ddof=1)
        return difference_from_stats(1.0, sds[0], seeds, 0.0, sds[1], seeds + 2).interval(0.90)[0]

    assert bound(n) > 0 >= bound(n - 1)
