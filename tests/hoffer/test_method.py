"""What the fact sheet implies about the formulas: equal covariances, average weights, equal updates, fits that find."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from replications.hoffer import method
from shared.models import GhostBatchNorm

F1 = ((10, 0.1), (20, 0.01), (30, 0.001))


@pytest.fixture
def gradients() -> np.ndarray:
    g = np.random.default_rng(0).normal(size=(200, 3))
    return g - g.mean(axis=0)


def sampled(g: np.ndarray, lr: float, batch: int, variance: float = 0.0, draws: int = 40_000) -> np.ndarray:
    """Covariance [3, 3] of that many simulated updates, examples drawn with replacement."""
    rng = np.random.default_rng(1)
    z = method.noise_factors(rng.integers(0, 2**64, (draws, batch), dtype=np.uint64), variance)
    steps = -lr * (z[..., None] * g[rng.integers(0, len(g), (draws, batch))]).mean(axis=1)
    return np.cov(steps.T)


@pytest.mark.parametrize(("large", "lr", "variance"), [(8, 0.2, 0.0), (8, 0.1, 3.0)], ids=["sqrt rule", "noise"])
def test_a_scaled_rate_or_noise_gives_the_small_batchs_updates(gradients, large, lr, variance):
    assert lr in (0.1, method.sqrt_scaled(0.1, large, base=2))
    assert variance in (0.0, method.noise_variance(large, base=2))
    here = method.update_covariance(gradients, 0.1, 2)
    assert sampled(gradients, lr, large, variance) == pytest.approx(here, abs=0.04 * here.max())
    unscaled = method.update_covariance(gradients, 0.1, large)
    assert here == pytest.approx(4 * unscaled)


def test_noise_has_mean_one_and_the_asked_variance_and_none_below_the_base():
    draws = np.random.Philox(0).random_raw(200_000)
    z = method.noise_factors(draws, 31.0)
    assert z.dtype == np.float32
    assert z.mean() == pytest.approx(1, abs=0.05)
    assert z.var() == pytest.approx(31, rel=0.01)
    assert (method.noise_factors(draws, 0.0) == 1).all()
    assert np.isfinite(method.noise_factors(np.array([0, 2**64 - 1], dtype=np.uint64), 1.0)).all()
    with pytest.raises(ValueError, match="batch of 64 is noisier than one of 128"):
        method.noise_variance(64)


def test_rates_follow_the_regime_at_its_epochs():
    rates = [method.learning_rate(e * 5, 5, 0.1, F1) for e in (0, 9, 10, 19, 20, 30, 49)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-4, 1e-4])
    assert method.learning_rate(10 * 5 - 1, 5, 0.1, F1) == 0.1
    assert method.learning_rate(60, 1, 1e-3, ((60, 10.0),)) == pytest.approx(1e-2)


@pytest.mark.parametrize("ratio", [1, 8, 32])
def test_the_adapted_regime_has_the_same_rate_at_every_update(ratio):
    """|B_L| divides the images: the t-th update of both batches has the same place in the regime."""
    images, small = 4096, 128
    epochs, regime = method.adapted(50, F1, ratio)
    total = method.updates(images, small, 50)
    assert method.updates(images, small * ratio, epochs) == total == 1600
    for t in range(0, total, 7):
        there = method.learning_rate(t, images // small, 1.0, F1)
        assert method.learning_rate(t, images // (small * ratio), 1.0, regime) == there


def test_ghost_batch_norm_takes_the_weights_of_the_corrected_algorithm():
    layer = GhostBatchNorm(3, bn_batch=8, momentum=0.1, running="sequential")
    torch.manual_seed(0)
    x = torch.randn(40, 3, dtype=torch.float64).float()
    old = layer.running_mean.double().numpy().copy()
    out = layer(x)
    mean, std = method.ghost_statistics(x.double().numpy(), 8, layer.eps)
    keep, weights = method.running_weights(5, 0.1)
    assert keep + weights.sum() == pytest.approx(1)
    assert layer.running_mean.numpy() == pytest.approx(keep * old + weights @ mean, abs=1e-6)
    expected = (x.double().numpy().reshape(5, 8, 3) - mean[:, None]) / std[:, None]
    assert out.detach().numpy().reshape(5, 8, 3) == pytest.approx(expected, abs=1e-5)
    keep, weights = method.printed_running_weights(5, 0.1)
    assert keep + weights.sum() < 0.5  # as printed it is no average


def test_chunks_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match="chunks of 128 do not divide a batch of 848"):
        method.ghost_statistics(np.zeros((848, 2)), 128, 1e-5)


@pytest.mark.parametrize("batch", [4096, 2656, 848, 31, 1])
def test_the_released_code_cuts_as_torch_does(batch):
    expected = [len(part) for part in torch.zeros(batch).chunk(32)]
    assert list(method.released_chunks(batch, 4096)) == expected


def test_momentum_gains_as_torchs_own_buffer_does():
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    for _ in range(13):
        weight.grad = torch.ones(())
        optimizer.step()
    assert -weight.item() / 13 == pytest.approx(method.momentum_gain(13, 0.9))
    assert method.momentum_gain(10**6, 0.9) == pytest.approx(10, rel=1e-4)


def test_points_are_spaced_evenly_on_a_log_axis():
    points = method.log_spaced(1000, 4)
    assert (points[0], points[-1]) == (1, 1000)
    late = np.diff(np.log2([p for p in points if p > 50]))
    assert np.abs(late - 0.25).max() < 0.03
    assert method.log_spaced(0, 4) == method.log_spaced(10, 0) == ()


def test_fits_find_the_law_that_made_the_data():
    t = np.array(method.log_spaced(10_000, 8)[20:], dtype=float)
    assert method.log_fit(t, 3 + 2 * np.log(t)) == pytest.approx((2, 1))
    assert method.power_fit(t, 0.5 * t**0.4) == pytest.approx((0.4, 1))
    assert method.log_fit(t, 0.5 * t**0.5)[1] < 0.95
    assert method.interpolated(t, 3 + 2 * np.log(t), 1234.5) == pytest.approx(3 + 2 * math.log(1234.5))
    assert method.interpolated(t, t, t[-1] + 1) is None
    assert method.interpolated(np.array([]), np.array([]), 3) is None


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_spread_around_the_start_shows_its_power(power):
    rng = np.random.default_rng(0)
    r = rng.uniform(0, 10, 20_000)
    bins, std = method.spread_by_distance(r, 0.01 * r**power * rng.standard_normal(len(r)), 10.0, 10)
    assert bins == pytest.approx(np.arange(10) + 0.5, abs=0.1)
    # exact for a power of 1; a wide first bin flatters other powers a little
    assert method.power_fit(bins, std)[0] == pytest.approx(power, abs=0.02 if power == 1 else 0.1)
    with pytest.raises(ValueError, match="no sample lies between 0 and 1"):
        method.spread_by_distance(r[r > 1], r[r > 1], 10.0, 10)


def test_the_spread_of_a_smooth_function_is_its_taylor_slope():
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=300)
    directions = rng.normal(size=(5000, 300))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    slope = np.sqrt(np.mean((directions @ gradient) ** 2))
    assert slope == pytest.approx(method.taylor_slope(float(np.linalg.norm(gradient)), 300), rel=0.05)
