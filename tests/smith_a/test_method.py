"""The paper's formulas against independent arithmetic, and the rules that choose arms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from replications.smith_a import method

RNG = np.random.default_rng(0)


# -- evidence


def problem(n: int = 40, pixels: int = 6, black: int = 3):
    x = np.column_stack([RNG.uniform(0, 1, (n, pixels)), np.zeros((n, black)), np.ones(n)])
    return x, RNG.integers(0, 2, n), RNG.normal(0, 1, x.shape[1])


def test_data_curvature_is_the_hessian_of_the_summed_cost():
    x, y, w = problem(black=0)
    step, dimensions = 1e-4, len(w)
    hessian = np.empty((dimensions, dimensions))
    for i in range(dimensions):
        for j in range(dimensions):
            a, b = np.eye(dimensions)[i] * step, np.eye(dimensions)[j] * step
            corners = [method.logistic_cost(w + s * a + t * b, x, y, 0.0) * s * t for s in (1, -1) for t in (1, -1)]
            hessian[i, j] = sum(corners) / (4 * step**2)
    np.testing.assert_allclose(method.data_curvature(w, x), np.linalg.eigvalsh(hessian), atol=1e-5)


def test_always_black_pixels_add_nothing_to_the_occam_term():
    x, _, w = problem(black=3)
    seen = np.delete(x, [6, 7, 8], axis=1)
    with_black = method.data_curvature(w, x)
    assert np.sum(with_black < 1e-12) == 3
    assert method.occam(with_black, 1e-6) == pytest.approx(
        method.occam(method.data_curvature(np.delete(w, [6, 7, 8]), seen), 1e-6), abs=1e-6
    )


@pytest.mark.parametrize("lam", [1e-3, 1.0, 1e3])
def test_occam_term_equals_its_dual_form(lam):
    x, _, w = problem(n=12, pixels=20)
    assert method.occam(method.data_curvature(w, x), lam) == pytest.approx(method.occam_dual(w, x, lam), rel=1e-9)


def test_evidence_ratio_vanishes_for_a_strong_prior_and_is_bounded_below():
    x, y, _ = problem()
    null = method.null_cost(len(y), 2)
    for lam in (1e6, 1e9, 1e12):
        w = x.T @ (y - 0.5) / lam  # the minimum, to first order in 1/λ
        e = method.log_evidence_ratio(
            method.logistic_cost(w, x, y, lam), method.occam(method.data_curvature(w, x), lam), len(y), 2
        )
        assert abs(e) < 1e3 / lam
        assert e > -null


def test_evidence_is_invariant_under_rescaled_pixels():
    x, y, w = problem()
    c, lam = 255.0, 0.4

    def terms(weights, images, precision):
        s = method.data_curvature(weights, images)
        return method.logistic_cost(weights, images, y, precision), method.occam(s, precision)

    np.testing.assert_allclose(terms(w, x, lam), terms(w / c, x * c, lam * c**2), rtol=1e-9)


def test_mean_margin_is_a_distance():
    x = np.array([[3.0, 4.0, 1.0], [0.0, 0.0, 1.0]])
    w = np.array([3.0, 4.0, -5.0])  # at distances (25 - 5)/5 and -5/5
    assert method.mean_margin(w, x, np.array([1, 0])) == pytest.approx((4 + 1) / 2)
    assert method.mean_margin(10 * w, x, np.array([1, 0])) == pytest.approx((4 + 1) / 2)


# -- noise


@pytest.mark.parametrize("b", [1, 7, 30, 99, 100])
def test_batch_means_drawn_without_replacement_have_the_stated_variance(b):
    values = RNG.normal(0, 1, 100)
    means = np.array([RNG.permutation(values)[:b].mean() for _ in range(20000)])
    expected = method.covariance_factor(100, b) * np.var(values) / b
    assert np.var(means) == pytest.approx(expected, rel=0.05, abs=1e-12)


def test_noise_scale_has_one_unit_for_both_conventions_of_momentum():
    """Summing gradients at ε(1 − m) is averaging them at ε."""
    for m in (0.0, 0.9, 0.975):
        summed = method.noise_scale(1.0 * (1 - m), 1000, 30, m)
        assert summed == pytest.approx(method.noise_scale(1.0, 1000, 30, m, averaging=True))


def test_time_of_the_differential_equation():
    assert method.sde_time(10_000, 1.0, 1000) == 10.0
    for eps in (0.1, 0.3, 1.0, 3.0, 10.0):
        updates = method.updates_at(eps)
        assert updates % 20 == 0
        assert method.sde_time(updates, eps, 1000) == pytest.approx(10.0, rel=0.004)


# -- B_opt


def test_peak_has_the_papers_error_bar():
    found = method.peak([10, 20, 40, 80], [80.0, 90.0, 91.0, 85.0])
    assert (found.batch, found.low, found.high, found.accuracy, found.inside) == (40, 20, 80, 91.0, True)
    edge = method.peak([10, 20, 40], [91.0, 90.0, 80.0])
    assert (edge.batch, edge.low, edge.high, edge.inside, edge.vertex) == (10, 10, 20, False, 10.0)
    assert method.peak([10, 20, 40], [90.0, 90.0, 80.0]).batch == 10


def test_vertex_finds_a_parabola_between_the_tested_batches():
    batches = [10, 15, 20, 30, 45, 65, 100]
    accuracy = [92 - (math.log(b) - math.log(27)) ** 2 for b in batches]
    assert method.peak(batches, accuracy).vertex == pytest.approx(27, rel=1e-6)


@pytest.mark.parametrize(
    ("batches", "accuracies"), [([10, 10], [1, 2]), ([20, 10], [1, 2]), ([10], [1]), ([1, 2], [1])]
)
def test_peak_refuses_a_curve_that_is_none(batches, accuracies):
    with pytest.raises(ValueError, match="rising batches"):
        method.peak(batches, accuracies)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_exponent_of_a_power_law(power):
    x = [0.1, 0.3, 1, 3, 10]
    assert method.exponent(x, [20 * v**power for v in x]) == pytest.approx(power, abs=1e-9)


def test_the_exact_law_is_told_from_the_linear_one():
    x = [0.1, 0.3, 1, 3, 10]
    bent = [method.predicted_exact(30, v, 1000) for v in x]
    straight = [method.predicted_linear(30, v) for v in x]
    assert method.exact_gain(x, bent, 1000) > 1
    assert method.exact_gain(x, straight, 1000) < -1
    assert method.exact_exponent(x, bent, 1000) == pytest.approx(1)
    assert method.exponent(x, bent) < 0.98
    assert math.isnan(method.exact_exponent(x, [1, 2, 3, 4, 1000], 1000))
    # far below N the two are one law
    assert abs(method.exact_gain([1, 2, 4], [1.0, 2.0, 4.0], 10**9)) < 1e-6


# -- rules


def test_threshold_is_where_all_larger_batches_train():
    assert method.threshold({5: 20.0, 10: 80.0, 20: 90.0, 30: 91.0}) == 10
    assert method.threshold({5: 80.0, 10: 20.0, 20: 90.0, 30: 91.0}) == 20
    assert method.threshold({5: 10.0, 30: 11.0}) is None


def test_the_convention_is_chosen_by_the_training_threshold():
    dead = dict.fromkeys((5, 10, 20, 30), 10.0)
    robust = dict.fromkeys((5, 10, 20, 30), 90.0)
    near = {5: 40.0, 10: 80.0, 20: 90.0, 30: 91.0}
    above = {5: 10.0, 10: 12.0, 20: 88.0, 30: 90.0}
    assert method.choose({"dead": dead, "robust": robust, "above": above, "near": near}) == "near"
    assert method.choose({"above": above, "dead": dead}) == "above"
    # accuracy plays no part, and the first of equals is taken
    better = {b: a + 5 for b, a in near.items()}
    assert method.choose({"near": near, "better": better}) == "near"
    with pytest.raises(ValueError, match="no candidate fails at B = 5 and trains at 30: dead, robust"):
        method.choose({"dead": dead, "robust": robust})


def test_the_rate_of_a_batch_has_the_lowest_error_and_of_equals_is_the_smaller():
    assert method.best_rate({3.0: 8.0, 1.0: 7.0, 10.0: 7.0, 0.3: 9.0}) == 1.0
