"""Intervals against scipy and statsmodels, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from shared.stats import intervals
from shared.stats.intervals import StatsError

A = [23.4, 23.7, 23.6, 23.5, 23.8]
B = [24.9, 24.2, 25.3, 24.8]


def test_student_interval_against_scipy():
    want = stats.ttest_1samp(A, 0).confidence_interval(0.95)
    assert intervals.mean(A).interval(0.95) == pytest.approx((want.low, want.high), rel=1e-12)


def test_welch_interval_against_scipy_and_statsmodels():
    d = intervals.difference(B, A)
    want = stats.ttest_ind(B, A, equal_var=False).confidence_interval(0.90)
    assert d.interval(0.90) == pytest.approx((want.low, want.high), rel=1e-10)
    other = CompareMeans(DescrStatsW(B), DescrStatsW(A)).tconfint_diff(alpha=0.1, usevar="unequal")
    assert d.interval(0.90) == pytest.approx(other, rel=1e-10)
    assert d.n == 4


def test_welch_from_printed_numbers_equals_welch_from_samples():
    a, b = intervals.moments(A), intervals.moments(B)
    assert intervals.difference_from_stats(*a, *b).interval() == pytest.approx(intervals.difference(A, B).interval())


def test_moments_use_the_sample_standard_deviation():
    assert intervals.moments([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)), 2)


def test_paired_interval_is_narrower_when_seeds_share_their_noise():
    noise = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    a, b = 10 + noise, 9 + noise + np.array([0.01, -0.01, 0.02, 0.0, -0.02])
    want = stats.ttest_rel(a, b).confidence_interval(0.90)
    got = intervals.mean(a - b).interval()
    assert got == pytest.approx((want.low, want.high), rel=1e-9)
    assert got[1] - got[0] < 0.1 * np.subtract(*intervals.difference(a, b).interval()[::-1])


def test_a_printed_number_without_spread_gets_our_own_for_both_sides():
    got = intervals.against_printed(A, 23.6)
    sd = np.std(A, ddof=1)
    assert got.se == pytest.approx(sd * math.sqrt(1 / 5 + 1))
    assert got.df == 4
    assert intervals.against_printed(A, 23.6, n=5).se == pytest.approx(sd * math.sqrt(2 / 5))


def test_rounding_of_a_printed_number_widens_both_ends():
    plain, blurred = (intervals.against_printed(A, 24.0, 0.1, 5, digits).interval() for digits in (None, 0))
    assert (plain[0] - blurred[0], blurred[1] - plain[1]) == pytest.approx((0.5, 0.5))


def test_one_seed_has_no_interval_and_equal_seeds_have_a_point():
    assert intervals.difference([1.0], A).interval() is None
    assert intervals.difference([90.0] * 5, [90.0] * 5).interval() == (0.0, 0.0)


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [[1.0]]])
def test_bad_samples_are_refused(bad):
    with pytest.raises(StatsError, match="finite"):
        intervals.mean(bad)


def test_coverage_of_a_difference_of_differences_with_unequal_spreads():
    """Nominal 90 %, four groups of five: Welch–Satterthwaite is right or a little wide."""
    rng, reps, covered = np.random.default_rng(0), 3000, 0
    spreads = np.array([0.1, 0.2, 0.4, 0.8])
    for draw in rng.normal(size=(reps, 4, 5)) * spreads[:, None]:
        low, high = intervals.combination(draw, [1, -1, -1, 1]).interval(0.90)
        covered += low <= 0 <= high
    assert 0.885 <= covered / reps <= 0.945
