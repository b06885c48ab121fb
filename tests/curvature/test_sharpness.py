"""Metric 2.1 against closed forms, and what its report says of the search."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from shared.curvature.objective import CurvatureError, Objective
from shared.curvature.sharpness import sharpness
from shared.curvature.subspace import Subspace

EPS = 1e-2


class Quadratic:
    """f(x) = level + gᵀx + xᵀ diag(h) x / 2; keeps the points at which it was asked."""

    def __init__(self, g, h=0.0, level: float = 2.0) -> None:
        self.g, self.level, self.n = np.asarray(g, dtype=float), level, len(g)
        self.h = np.broadcast_to(np.asarray(h, dtype=float), self.n)
        self.points: list[np.ndarray] = []

    def check(self, x):
        self.points.append(x)

    def value_and_gradient(self, x):
        self.points.append(x)
        return float(self.level + self.g @ x + x @ (self.h * x) / 2), self.g + self.h * x


def problem(n: int = 30, curvature: float = 3.0) -> tuple[Quadratic, np.ndarray]:
    rng = np.random.default_rng(0)
    return Quadratic(rng.standard_normal(n), curvature * rng.random(n)), rng.standard_normal(n)


def corner(f: Quadratic, x: np.ndarray, eps: float) -> float:
    """φ of a separable convex quadratic: every coordinate ends at the bound that its slope points to."""
    bound = eps * (np.abs(x) + 1)
    f0, slope = f.value_and_gradient(x)
    return 100 * float(np.abs(slope) @ bound + f.h @ bound**2 / 2) / (1 + f0)


@pytest.mark.parametrize("solver", ["lbfgs", "sign"])
@pytest.mark.parametrize("eps", [1e-3, 5e-4])
def test_convex_quadratic_ends_in_the_best_corner(solver, eps):
    f, x = problem()
    found = sharpness(f, x, eps, solver=solver)
    assert found.value == pytest.approx(corner(f, x, eps), rel=1e-9)
    assert (found.moved, found.at_bound) == (pytest.approx(1), 1)
    assert found.value == pytest.approx(100 * (found.f_max - found.f0) / (1 + found.f0), rel=1e-12)


@pytest.mark.parametrize("solver", ["lbfgs", "sign"])
@pytest.mark.parametrize("scale", ["normal", "uniform", "unit"])
def test_linear_loss_in_a_subspace(solver, scale):
    f, x = problem(curvature=0)
    space = Subspace(f.n, 4, seed=1, scale=scale)
    a = np.stack([space.up(column) for column in np.eye(4)], axis=1)
    bound = EPS * (np.abs(np.linalg.pinv(a) @ x) + 1)
    f0 = f.value_and_gradient(x)[0]
    found = sharpness(f, x, EPS, subspace=space, solver=solver)
    assert found.value == pytest.approx(100 * np.abs(a.T @ f.g) @ bound / (1 + f0), rel=1e-5)
    assert found.at_bound == 1


@pytest.mark.parametrize("start", ["x", "random"])
@pytest.mark.parametrize("solver", ["lbfgs", "sign"])
def test_every_evaluation_lies_in_the_box_and_is_counted(solver, start):
    f, x = problem()
    found = sharpness(f, x, EPS, solver=solver, start=start, seed=5)
    checked, *points = f.points
    np.testing.assert_array_equal(checked, x)
    assert found.evaluations == len(points)
    assert all((np.abs(p - x) <= EPS * (np.abs(x) + 1) * (1 + 1e-12)).all() for p in points)
    assert found.f_max == max(f.value_and_gradient(p)[0] for p in points)
    np.testing.assert_array_equal(points[0], x)
    first = np.abs(points[1] - x) / (EPS * (np.abs(x) + 1))
    assert (0.1 < first.std() < 0.45) if start == "random" else first.max() > 0


def test_a_seed_fixes_the_random_start():
    f, x = problem()
    starts = []
    for seed in (1, 1, 2):
        f.points.clear()
        sharpness(f, x, EPS, start="random", seed=seed)
        starts.append(f.points[2])
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.isclose(starts[0], starts[2]).any()


def test_ten_iterations_are_the_limit_and_the_status_is_that_of_the_solver():
    rng = np.random.default_rng(0)
    f, x = Quadratic(1e-2 * rng.standard_normal(200), 10 ** rng.uniform(-3, 1, 200)), np.zeros(200)
    found = sharpness(f, x, 1.0)
    assert (found.iterations, found.status) == (10, 1)
    assert "LIMIT" in found.message
    assert sharpness(f, x, 1.0, iterations=3).iterations == 3
    signs = sharpness(f, x, 1.0, solver="sign", iterations=7)
    assert (signs.iterations, signs.evaluations, signs.status) == (7, 8, -1)
    # once every coordinate is at its bound, nothing is left to do
    assert sharpness(*problem(), 1e-3).status == 0


def test_small_gradients_are_followed_where_the_default_tolerances_of_scipy_would_stop():
    f, x = Quadratic(np.full(5, 1e-7), level=0.0), np.zeros(5)
    found = sharpness(f, x, EPS)
    assert found.value == pytest.approx(corner(f, x, EPS), rel=1e-9)


def test_a_vanishing_gradient_keeps_lbfgs_at_x_and_says_so_while_sign_ascent_rises():
    f, x = Quadratic(np.full(20, 1e-13), 4.0), np.zeros(20)
    stuck, risen = sharpness(f, x, EPS), sharpness(f, x, EPS, solver="sign")
    assert stuck.moved < 1e-6
    assert stuck.at_bound == 0
    assert stuck.value == pytest.approx(0, abs=1e-9)
    assert risen.value == pytest.approx(corner(f, x, EPS), rel=1e-9)
    # an exact stationary point has no sign either: only a random start leaves it
    flat = Quadratic(np.zeros(20), 4.0)
    assert sharpness(flat, x, EPS, solver="sign").value == sharpness(flat, x, EPS).value == 0
    assert sharpness(flat, x, EPS, solver="sign", start="random").value == pytest.approx(corner(flat, x, EPS))


@pytest.mark.parametrize("start", ["x", "random"])
@pytest.mark.parametrize("solver", ["lbfgs", "sign"])
def test_at_a_maximum_the_sharpness_is_zero_not_negative(solver, start):
    f, x = Quadratic(np.zeros(8), -5.0), np.zeros(8)
    found = sharpness(f, x, EPS, solver=solver, start=start)
    assert (found.value, found.f_max, found.moved) == (0, found.f0, 0)


def test_a_loss_that_is_not_a_number_inside_the_box_is_never_the_maximum():
    class Broken(Quadratic):
        def value_and_gradient(self, x):
            value, gradient = super().value_and_gradient(x)
            return (np.nan if np.abs(x).max() > 0.6 * EPS else value), gradient

    found = sharpness(Broken(np.ones(3)), np.zeros(3), EPS, solver="sign")
    assert found.f_max == pytest.approx(2 + 3 * EPS / 2)
    assert found.moved == pytest.approx(0.5)


class Untouched(Quadratic):
    """Says when it is about to be measured, and refuses to be."""

    def __init__(self, n: int) -> None:
        self.n = n

    def check(self, x):
        raise InterruptedError


def test_full_space_searches_beyond_a_gigabyte_are_refused_before_anything_is_allocated():
    large = 15_000_000
    with pytest.raises(CurvatureError, match=r"GB.*subspace"):
        sharpness(Untouched(large), np.broadcast_to(0.0, large), 1e-3)
    for n, options in ((1_462_794, {}), (1_757_834, {}), (large, {"solver": "sign"})):
        with pytest.raises(InterruptedError):
            sharpness(Untouched(n), np.broadcast_to(0.0, n), 1e-3, **options)


def test_unknown_choices_are_refused():
    f, x = problem()
    for options, word in (({"solver": "adam"}, "lbfgs, sign"), ({"start": "y"}, "x, random"), ({"iterations": 0}, "0")):
        with pytest.raises(CurvatureError, match=word):
            sharpness(f, x, EPS, **options)
    with pytest.raises(CurvatureError, match="eps=0"):
        sharpness(f, x, 0)
    assert f.points == []


def classifier(dropout: bool = False) -> Objective:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    return Objective(net, torch.randn(40, 4), torch.randint(3, (40,)), dropout=dropout)


def test_a_net_is_measured_and_left_alone():
    objective = classifier()
    before = copy.deepcopy(objective.net.state_dict())
    x = objective.start()
    small, large = (sharpness(objective, x, eps) for eps in (5e-4, 1e-3))
    # the box is too small for curvature to matter, so the slope says what the rise is
    _, slope = objective.value_and_gradient(x)
    rise = 100 * float(np.abs(slope) @ (1e-3 * (np.abs(x) + 1))) / (1 + large.f0)
    assert large.value == pytest.approx(rise, rel=0.05)
    assert 1.95 < large.value / small.value < 2.2
    in_plane = sharpness(objective, x, 1e-3, subspace=Subspace(objective.n, 5, seed=0))
    assert 0 < in_plane.value < large.value
    assert all(torch.equal(value, before[name]) for name, value in objective.net.state_dict().items())


def test_active_dropout_is_refused():
    objective = classifier(dropout=True)
    with pytest.raises(CurvatureError, match="dropout"):
        sharpness(objective, objective.start(), 1e-3)


def test_the_unit_of_the_loss_decides_how_far_ten_iterations_come_where_the_gradient_is_small():
    f, x = problem()
    f.g, f.h = 1e-9 * f.g, 1e-9 * f.h  # convex and nearly flat, as at a well fitted solution
    mean, total = (sharpness(f, x, EPS, gain=gain) for gain in (1.0, 1e9))
    assert mean.at_bound < 0.1 < total.at_bound == 1
    assert total.value == pytest.approx(corner(f, x, EPS), rel=1e-6)
    assert mean.value < 0.1 * total.value
