"""Paths between two solutions, what is read off them, and distances."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from shared.curvature.distance import by_tensor, distance
from shared.curvature.objective import CurvatureError, Objective
from shared.curvature.paths import ALPHAS, along, curved, features, linear


def solutions() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal(1000), rng.standard_normal(1000) * 1e-3


def test_the_grid_is_that_of_the_authors_and_holds_both_solutions():
    np.testing.assert_array_equal(ALPHAS, np.linspace(-1, 2, 25))
    assert {-0.25, 0.0, 1.0, 1.25} <= set(ALPHAS)


@pytest.mark.parametrize("path", [linear, curved])
def test_ends_are_the_solutions_exactly(path):
    x_s, x_l = solutions()
    np.testing.assert_array_equal(path(x_s, x_l, 0.0), x_s)
    np.testing.assert_array_equal(path(x_s, x_l, 1.0), x_l)


def test_the_paths_are_the_papers_formulas():
    x_s, x_l = solutions()
    for alpha in (-1, -0.375, 0.5, 1.75):
        np.testing.assert_allclose(linear(x_s, x_l, alpha), x_s + alpha * (x_l - x_s), rtol=0, atol=1e-14)
        angle = alpha * np.pi / 2
        expected = np.sin(angle) * x_l + np.cos(angle) * x_s
        np.testing.assert_allclose(curved(x_s, x_l, alpha), expected, rtol=0, atol=1e-14)


def objectives() -> dict[str, Objective]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    images, labels = torch.randn(30, 4), torch.randint(3, (30,))
    return {"train": Objective(net, images[:20], labels[:20]), "test": Objective(net, images[20:], labels[20:])}


def test_rows_hold_loss_and_accuracy_of_every_objective():
    both = objectives()
    x_s = both["train"].start()
    x_l = x_s + np.random.default_rng(1).standard_normal(len(x_s))
    rows = along(partial(linear, x_s, x_l), both)
    assert [row["alpha"] for row in rows] == list(ALPHAS)
    for name, objective in both.items():
        for alpha, x in ((0, x_s), (1, x_l), (0.5, (x_s + x_l) / 2)):
            (row,) = [r for r in rows if r["alpha"] == alpha]
            assert (row[f"{name}/loss"], row[f"{name}/accuracy"]) == pytest.approx(objective.score(x), rel=1e-6)


def test_features_are_read_off_the_named_points():
    loss = {-1: 9, -0.25: 3.5, 0: 1, 0.5: 7, 0.75: 6, 1: 2, 1.25: 10, 2: 50}
    rows = [{"alpha": float(a), "train/loss": float(v)} for a, v in loss.items()]
    assert features(rows) == {"barrier": 5, "rise_lb": 8, "rise_sb": 2.5}
    with pytest.raises(CurvatureError, match=r"1\.25"):
        features([row for row in rows if row["alpha"] != 1.25])


def test_distances_by_tensor_add_up():
    net = objectives()["train"].net
    net[0].bias.requires_grad_(False)
    n = sum(p.numel() for p in net.parameters() if p.requires_grad)
    x0, x = np.random.default_rng(0).standard_normal((2, n))
    parts = by_tensor(net, x, x0)
    assert list(parts) == ["0.weight", "1.weight", "1.bias", "3.weight", "3.bias"]
    assert np.sqrt(sum(d**2 for d in parts.values())) == pytest.approx(distance(x, x0))
    assert parts["1.weight"] == pytest.approx(np.linalg.norm((x - x0)[32:40]))
    assert distance(np.array([3.0, 4.0]), np.zeros(2)) == 5


def test_weights_of_another_net_are_refused():
    x = np.zeros(5)
    for refused in (
        lambda: linear(x, x[:4], 0.5),
        lambda: curved(x, x[:4], 0.5),
        lambda: distance(x, x[:1]),
        lambda: by_tensor(nn.Linear(2, 2), x, x),
    ):
        with pytest.raises(CurvatureError, match=r"net"):
            refused()
