"""Statements of Smith and Le 2017 that need no runs: each function gives ``(case, whether it holds)``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from replications.smith_a import method
from shared.spec import ModelSpec, OptimizerSpec

Cases = list[tuple[str, bool]]
ZEROS, ONES, TEST_ZEROS = 5923, 6742, 980
"""Images of the two digits in MNIST's training set, and zeros in its test set."""


def evidence() -> Cases:
    """§2: sign, limits and invariance of the evidence ratio, on a small separable problem."""
    x, y = _toy()
    zero = np.zeros(x.shape[1])
    null = method.null_cost(len(y), 2)
    flat = method.data_curvature(zero, x)
    w = np.array([1.5, 0.0, 0.2])
    s = method.data_curvature(w, x)
    scale = 7.0

    def e(lam: float, weights: np.ndarray, images: np.ndarray) -> float:
        cost = method.logistic_cost(weights, images, y, lam)
        term = method.occam(method.data_curvature(weights, images), lam)
        return method.log_evidence_ratio(cost, term, len(y), 2)

    return [
        ("λ → ∞: p = 1/2 everywhere, C = N ln 2 and E → 0 from above", 0 < e(1e9, zero, x) < 1e-6),
        ("the Occam term of a pixel that is always black is exactly 0", s[0] == 0 and math.log1p(s[0] / 0.3) == 0),
        ("E > −N ln n: both C and the Occam term are positive", e(1e-3, w, x) > -null and method.occam(flat, 1e-3) > 0),
        ("for 800 images of two classes the bound is −554.5", f"{-method.null_cost(800, 2):.1f}" == "-554.5"),
        ("½ Σ ln(1 + s_i/λ) is ½ ln det of the N × N dual", _close(method.occam(s, 0.3), method.occam_dual(w, x, 0.3))),
        (
            "pixels × c, weights ÷ c and λ × c² leave E unchanged (E is about functions, not parameters)",
            _close(e(0.3, w, x), e(0.3 * scale**2, w / scale, x * scale)),
        ),
        (
            "… while the curvature itself is multiplied by c²",
            bool(np.allclose(method.data_curvature(w / scale, x * scale), s * scale**2, atol=1e-9)),
        ),
        ("E < 0 supports the model: exp(−E) is P(model)/P(null)", e(0.3, w, x) < 0),
    ]


def noise() -> Cases:
    """§5 and App. D: covariance of the batch mean, noise scale, time of the differential equation."""
    values = np.array([0.3, -1.0, 2.0, 0.7, 0.1])
    n = len(values)
    cases: Cases = []
    for b in range(1, n + 1):
        means = [np.mean(chosen) for chosen in itertools.combinations(values, b)]
        expected = method.covariance_factor(n, b) * np.var(values) / b
        cases.append(
            (f"B = {b} of {n}: Var of the batch mean is (N − B)/(N − 1)·σ²/B", _close(np.var(means), expected))
        )
        f = np.var(values, ddof=1)
        cases.append((f"B = {b} of {n}: N²·Var is N(N/B − 1)·F", _close(n**2 * np.var(means), n * (n / b - 1) * f)))
    eps, size, b = 1.0, 1000, 30
    per_step = (eps / size) ** 2 * size * (size / b - 1)
    return [
        *cases,
        ("(ε/N)²·N(N/B − 1) = (ε/N)·g", _close(per_step, eps / size * method.noise_scale(eps, size, b))),
        ("full batch has no noise", method.noise_scale(1.0, 1000, 1000, 0.9) == 0),
        ("… but g = ε when drawn with replacement", method.noise_scale(1.0, 1000, 1000, replacement=True) == 1),
        (
            "summed gradients multiply g by 1/(1 − m)",
            _close(method.noise_scale(1, 1000, 30, 0.9), 10 * (1000 / 30 - 1)),
        ),
        ("averaged ones do not", _close(method.noise_scale(1, 1000, 30, 0.9, averaging=True), 1000 / 30 - 1)),
        ("g ≈ εN/B within 4 % at B = 30, N = 1,000", _approximation(30) < 0.04 < _approximation(300)),
        (
            "10,000/ε updates last equally long at every ε",
            len({round(method.sde_time(method.updates_at(e), e, 1000), 9) for e in (0.1, 1.0, 10.0)}) == 1,
        ),
    ]


def momentum() -> Cases:
    """App. D: the two conventions of momentum from v = 0 on the slopes of a quartic, and what momentum amounts to."""
    cases: Cases = []
    for m in (0.0, 0.5, 0.9, 0.975):
        summed, averaged = _path(0.02 * (1 - m), m, "reference"), _path(0.02, m, "averaging")
        cases.append(
            (f"m = {m:g}: summing at ε(1 − m) is averaging at ε, for 200 steps", np.allclose(summed, averaged))
        )
        down = _path(0.01, m, "reference", steps=1500, slope=lambda w: 1.0)
        moved = float(down[-2] - down[-1])
        cases.append(
            (f"m = {m:g}: summing moves ε/(1 − m) a step along a constant slope", _close(moved, 0.01 / (1 - m)))
        )
    differ = not np.allclose(_path(0.02, 0.9, "reference"), _path(0.02, 0.9, "averaging"))
    return [*cases, ("at one ε the two differ", differ)]


def _path(
    eps: float,
    m: float,
    form: Literal["reference", "averaging"],
    steps: int = 200,
    slope: Callable[[float], float] = lambda w: w**3 - 1,
) -> np.ndarray:
    """Where the optimizer that trains the arms takes w from 2 on, by a ``slope`` of L = w⁴/4 − w; float64 [steps]."""
    import torch

    from shared.optim import make_optimizer

    net = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    w = net.weight
    optimizer = make_optimizer(net, OptimizerSpec(momentum=m, momentum_form=form), eps)
    path = []
    with torch.no_grad():
        w.fill_(2.0)
        for _ in range(steps):
            w.grad = torch.full_like(w, slope(w.item()))
            optimizer.step()
            path.append(w.item())
    return np.array(path)


def exact_law() -> Cases:
    """Constant g = ε(N/B − 1) bends the linear law at N = 1,000: with B_opt = 80 at ε = 1."""
    cases: Cases = []
    for ratio, linear, exact in ((3, 240, 207), (10, 800, 465)):
        found = method.predicted_exact(80, ratio, 1000)
        cases.append((f"ε = {ratio}: {linear} by the linear law", method.predicted_linear(80, ratio) == linear))
        cases.append((f"ε = {ratio}: {exact} by the exact one", round(found) == exact))
        g = [method.noise_scale(e, 1000, b) for e, b in ((1.0, 80.0), (ratio, found))]
        cases.append((f"ε = {ratio}: at the same noise scale", _close(*g)))
    return [*cases, ("it never exceeds N", method.predicted_exact(80, 1e6, 1000) < 1000)]


def arithmetic() -> Cases:
    """§3-5: sizes that the text gives or implies."""
    from shared.models import build  # so that reading the claims needs no torch

    net = build(ModelSpec(name="mlp", args={"hidden": "800"}), 10, (1, 28, 28), None)
    return [
        ("784-800-10 has 636,010 parameters", sum(p.numel() for p in net.parameters()) == 636010),
        ("logistic regression has 785, and 800 images are fewer than Cover's 2 × 785", 800 < 2 * 785),
        ("the test set has too few zeros for 5,000 of each digit", TEST_ZEROS < 5000),
        ("… the training set has enough beside the 400", min(ZEROS, ONES) - 400 >= 5000),
        ("λ = 0.1 on the summed cost of 1,000 images is a decay of 1e-4 of the mean", _close(0.1 / 1000, 1e-4)),
        ("heavy ball at ε = 1, m = 0.9 is stable up to a curvature of 3.8", _close(2 * (1 + 0.9) / 1.0, 3.8)),
    ]


def rate_footnote() -> Cases:
    """Introduction, footnote: at fixed g ≈ εN/B and B the best rate falls as 1/N; it does not grow."""
    g, b = 33.0, 30
    rates = {n: g * b / n for n in (1000, 10000)}
    same = [(f"N = {n}: g = 33 at ε = {e:g}", _close(method.noise_scale(e, n, b, exact=False), g))
            for n, e in rates.items()]  # fmt: skip
    return [*same, ("ten times the images, a tenth of the rate", _close(rates[1000], 10 * rates[10000]))]


def _toy() -> tuple[np.ndarray, np.ndarray]:
    """Eight images of two pixels, the second always black, and the column of ones; the first pixel separates them."""
    first = np.array([-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.5])
    return np.column_stack([first, np.zeros(8), np.ones(8)]), (first > 0).astype(np.int64)


def _approximation(b: int) -> float:
    """Relative error of g ≈ εN/B at N = 1,000."""
    exact = method.noise_scale(1.0, 1000, b)
    return method.noise_scale(1.0, 1000, b, exact=False) / exact - 1


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
