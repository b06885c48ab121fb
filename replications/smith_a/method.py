"""Smith and Le 2017 (arXiv:1710.06451) as pure functions: evidence, noise scale, B_opt and its laws.

Notation of the paper: N training images, n classes, B the batch, ε the rate of the mean gradient, m momentum, λ the
prior's precision, H = −Σ ln p (nats, a sum over N), C = H + (λ/2)‖w‖². Nothing here trains or reads a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# -- evidence (§2, Eq 9-10) ------------------------------------------------------------------------------------


def logistic_cost(w: np.ndarray, x: np.ndarray, y: np.ndarray, lam: float) -> float:
    """C(w) = −Σ ln p(y|x) + (λ/2)‖w‖² in nats; x [N, P] with a column of ones for the bias, y of 0 and 1 [N]."""
    return float(np.logaddexp(0.0, -(2 * y - 1) * (x @ w)).sum() + 0.5 * lam * w @ w)


def data_curvature(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Eigenvalues s_i ≥ 0 of XᵀAX, A = diag p(1 − p), float64 [P]; those of Hess C are s_i + λ."""
    a = variance(x @ w)
    return np.clip(np.linalg.eigvalsh((x * a[:, None]).T @ x), 0.0, None)


def occam(s: np.ndarray, lam: float) -> float:
    """½ Σ ln(λ_i/λ) with λ_i = s_i + λ (Eq 9): nats that the evidence loses; s_i = 0 adds exactly nothing."""
    return float(0.5 * np.log1p(s / lam).sum())


def occam_dual(w: np.ndarray, x: np.ndarray, lam: float) -> float:
    """The same from the N × N matrix: ½ ln det(1 + A^½ X Xᵀ A^½ / λ)."""
    root = x * np.sqrt(variance(x @ w))[:, None]
    return float(0.5 * np.linalg.slogdet(np.eye(len(x)) + root @ root.T / lam)[1])


def null_cost(images: int, classes: int) -> float:
    """N ln n: −log evidence of the model without parameters, to which every class is equally likely."""
    return images * math.log(classes)


def log_evidence_ratio(cost: float, occam_term: float, images: int, classes: int) -> float:
    """E = C(w₀) + ½ Σ ln(λ_i/λ) − N ln n (Eq 10), in nats *in favour of the null*: E < 0 supports the model.

    P(model)/P(null) = exp(−E); C ≥ 0 and the Occam term ≥ 0, hence E > −N ln n; λ → ∞ gives E → 0.
    """
    return cost + occam_term - null_cost(images, classes)


def mean_margin(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Mean signed distance of images to the boundary, in pixel units; the last column of x is the bias's ones."""
    return float(np.mean((2 * y - 1) * (x @ w)) / np.linalg.norm(w[:-1]))


def variance(z: np.ndarray) -> np.ndarray:
    """p(1 − p) of logits z, exact in both tails."""
    return np.exp(-np.logaddexp(0.0, z) - np.logaddexp(0.0, -z))


# -- noise (§5, App. D) ------------------------------------------------------------------------------------------------


def covariance_factor(n: int, b: int) -> float:
    """Cov of the mean over b of n images, drawn without replacement, relative to Σ_pop/b: (n − b)/(n − 1).

    With the sample covariance F (n − 1 in the denominator) the summed gradient's error has Cov α = n(n/b − 1) F.
    With replacement the factor is 1, and no "− 1" appears in ``noise_scale``.
    """
    return (n - b) / (n - 1)


def momentum_gain(m: float) -> float:
    """1/(1 − m): what momentum that sums the gradient multiplies the rate by (App. D)."""
    return 1 / (1 - m)


def noise_scale(
    eps: float,
    n: int,
    b: float,
    m: float = 0.0,
    *,
    averaging: bool = False,
    exact: bool = True,
    replacement: bool = False,
) -> float:
    """g = ε/(1 − m) · (N/B − 1) (App. D), or its approximation εN/(B(1 − m)) for B ≪ N.

    ``averaging``: momentum is a running mean, whose effective rate is ε itself. ``replacement``: no "− 1" at all.
    """
    rate = eps if averaging else eps * momentum_gain(m)
    return rate * (n / b - (1 if exact and not replacement else 0))


def sde_time(updates: int, eps: float, n: int) -> float:
    """Time of the stochastic differential equation: one update lasts ε/N (Eq 13)."""
    return updates * eps / n


def updates_at(eps: float, evaluations: int = 20) -> int:
    """10,000/ε updates (Fig 5: the same SDE time at every rate), rounded to a multiple of ``evaluations``."""
    return round(10_000 / eps / evaluations) * evaluations


def predicted_linear(b1: float, ratio: float) -> float:
    """B_opt ∝ ε, N and 1/(1 − m) (§5): ``ratio`` times the B_opt at ratio 1."""
    return b1 * ratio


def predicted_exact(b1: float, ratio: float, n: int) -> float:
    """B_opt at equal g = ε(N/B − 1): N/(1 + (N/b1 − 1)/ratio), which bends below N; ratio of ε or 1/(1 − m)."""
    return n / (1 + (n / b1 - 1) / ratio)


# -- B_opt and the laws fitted to it (Fig 4-7) -------------------------------------------------------------------------


@dataclass(frozen=True)
class Peak:
    """The best tested batch of one curve of accuracy against B."""

    batch: int
    low: int
    """The tested batches next to it: the paper's error bar (Fig 5 caption). At an end of the grid, the batch itself."""
    high: int
    accuracy: float
    vertex: float
    """Top of a parabola in ln B through up to five points around the best one, held between ``low`` and ``high``."""

    @property
    def inside(self) -> bool:
        return self.low < self.batch < self.high


def peak(batches: Sequence[int], accuracies: Sequence[float]) -> Peak:
    """The batch of the highest accuracy; of equals, the smallest. ValueError unless batches rise and are matched."""
    if len(batches) != len(accuracies) or len(batches) < 2 or any(np.diff(batches) <= 0):
        raise ValueError(f"need an accuracy for each of several rising batches, got {batches} and {accuracies}")
    at = int(np.argmax(accuracies))
    low, high = batches[max(at - 1, 0)], batches[min(at + 1, len(batches) - 1)]
    near = slice(max(at - 2, 0), at + 3)
    logs, values = np.log(batches[near]), np.asarray(accuracies[near], float)
    vertex = float(batches[at])
    if low < vertex < high:
        curve, slope, _ = np.polyfit(logs - logs.mean(), values, 2)
        if curve < 0:
            vertex = float(np.clip(np.exp(logs.mean() - slope / (2 * curve)), low, high))
    return Peak(batches[at], low, high, float(accuracies[at]), vertex)


def exponent(x: Sequence[float], b: Sequence[float]) -> float:
    """p of b ∝ xᵖ: slope of ln b on ln x by least squares."""
    return float(np.polyfit(np.log(x), np.log(b), 1)[0])


def exact_exponent(x: Sequence[float], b: Sequence[float], n: int) -> float:
    """p of B/(N − B) ∝ xᵖ, which is 1 at constant g = ε(N/B − 1); NaN where B_opt is the full batch."""
    if max(b) >= n:
        return math.nan
    return exponent(x, [v / (n - v) for v in b])


def exact_gain(x: Sequence[float], b: Sequence[float], n: int) -> float:
    """AICc of the linear law minus that of the exact one, both with one free constant: above 0 the exact fits better.

    Linear: ln B = a + ln x. Exact: ln B = ln(N/(1 + c/x)). The number of constants is the same, so only the residual
    sums differ (Hurvich and Tsai 1989). An eighth of a grid step counts as no residual: B_opt is known no better.
    """
    from scipy.optimize import minimize_scalar  # half a second, and the declarations import this module

    y, logs = np.log(b), np.log(x)
    linear = np.sum((y - logs - np.mean(y - logs)) ** 2)

    def residual(log_c: float) -> float:
        return float(np.sum((y - math.log(n) + np.log1p(np.exp(log_c - logs))) ** 2))

    fitted = minimize_scalar(residual, bounds=(-20.0, 30.0), method="bounded", options={"xatol": 1e-9})
    floor = len(y) * (math.log(1.5) / 8) ** 2
    return float(len(y) * (math.log(max(linear, floor)) - math.log(max(float(fitted.fun), floor))))


# -- the main arm, by a rule committed before the runs -----------------------------------------------------------------

TRAINED = 65.0
"""Percent: a run below it has not trained. Exploratory runs ended below 50 or above 75; chance is 10."""
THRESHOLD = 10
"""§4, Fig 4: batches of about 10 and fewer do not train at ε = 1, m = 0.9, N = 1,000."""


def threshold(accuracies: Mapping[int, float]) -> int | None:
    """The smallest batch from which on every tested batch trains; None if the largest does not."""
    found = None
    for batch in sorted(accuracies, reverse=True):
        if accuracies[batch] < TRAINED:
            break
        found = batch
    return found


def choose(candidates: Mapping[str, Mapping[int, float]], small: int = 5, trains: int = 30) -> str:
    """The candidate whose training threshold is the paper's: ``{name: {batch: mean held-out accuracy in percent}}``.

    It must not train at ``small`` and must at ``trains`` and above; of those, the one whose threshold is nearest to 10
    in ln B; of equals the first. ValueError when there is none. Test accuracy plays no part.
    """
    kept = {}
    for name, accuracies in candidates.items():
        at = threshold(accuracies)
        if accuracies[small] < TRAINED and at is not None and at <= trains:
            kept[name] = abs(math.log(at / THRESHOLD))
    if not kept:
        raise ValueError(f"no candidate fails at B = {small} and trains at {trains}: {', '.join(candidates)}")
    return min(kept, key=lambda name: kept[name])


def best_rate(errors: Mapping[float, float]) -> float:
    """The rate with the lowest held-out error; of equals the smaller."""
    return min(sorted(errors), key=lambda lr: errors[lr])
