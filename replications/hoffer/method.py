"""Hoffer, Hubara and Soudry 2017 (arXiv:1705.08741) as pure functions: rates, ghost statistics, regimes, diffusion.

Notation of the paper: B_S and B_L the small and the large batch, η the learning rate of B_S, K = |B_L|/|B_S|. The batch
norm itself is ``shared.models.GhostBatchNorm``; here is the arithmetic that it and the training have to agree with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SMALL = 128
"""|B_S|, and the ghost batch."""
CLIP = 5.0
"""Bound of the gradient's L2 norm, at every step of every run (released code)."""
Regime = Sequence[tuple[int, float]]
"""``(epoch from which it holds, factor of the first rate)``, rising."""


# -- learning rate and noise -------------------------------------------------------------------------------------------


def sqrt_scaled(lr: float, batch: int, base: int = SMALL) -> float:
    """η_L = √(|B_L|/|B_S|)·η: keeps the covariance of an update when the batch grows."""
    return lr * math.sqrt(batch / base)


def learning_rate(update: int, steps_per_epoch: int, lr: float, regime: Regime) -> float:
    """Rate of update number ``update`` (from 0): ``lr`` times the factor of the last entry whose epoch has begun."""
    factor = 1.0
    for epoch, value in regime:
        if update >= epoch * steps_per_epoch:
            factor = value
    return lr * factor


def adapted(epochs: int, regime: Regime, ratio: int) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Regime adaptation: a period of e epochs lasts e·|B_L|/|B_S| epochs, so that both batches make as many updates.

    Returns the length and the regime of the large batch, ``ratio`` being |B_L|/|B_S|.
    """
    return epochs * ratio, tuple((epoch * ratio, factor) for epoch, factor in regime)


def updates(examples: int, batch: int, epochs: int, keep_partial: bool = False) -> int:
    """Updates of a run; ``keep_partial``: the images left over make a smaller last batch (released code)."""
    return epochs * (-(-examples // batch) if keep_partial else examples // batch)


def noise_variance(batch: int, base: int = SMALL) -> float:
    """σ² = M/S − 1: factors z ~ N(1, σ²) on the examples of a batch of M give an update the covariance of a batch of S.

    E[z²] = 1 + σ², so that cov ≈ (η²/M)(1 + σ²)·E[ggᵀ] = (η²/S)·E[ggᵀ] (from memory, the paper has σ² ∝ M). Raises
    ValueError for a batch below the base.
    """
    if batch < base:
        raise ValueError(f"a batch of {batch} is noisier than one of {base} already: σ² would be negative")
    return batch / base - 1


def noise_factors(draws: np.ndarray, variance: float) -> np.ndarray:
    """z ~ N(1, ``variance``) for raw 64-bit draws, uint64 [n] → float32 [n]."""
    from scipy.special import ndtri  # here, because declarations import this file and have to load fast

    uniform = ((draws >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52  # in (0, 1), ends excluded
    return (1 + math.sqrt(variance) * ndtri(uniform)).astype(np.float32)


def update_covariance(gradients: np.ndarray, lr: float, batch: int, variance: float = 0.0) -> np.ndarray:
    """cov(Δw) ≈ (η²/M)(1 + σ²)·(1/N) Σ gₙgₙᵀ of one step with M examples drawn from gradients [N, d]; [d, d].

    The mean gradient's own outer product, small near a critical point, is left out as, from memory, in the paper.
    """
    return lr**2 / batch * (1 + variance) * gradients.T @ gradients / len(gradients)


def momentum_gain(steps: int, momentum: float) -> float:
    """Mean gain of a momentum buffer over ``steps`` updates that start from an empty one; 1/(1 − m) for ever on.

    The k-th update after a reset moves a constant gradient by 1 + m + … + m^(k−1) times the rate. The released code
    makes a new optimiser at the start of every epoch.
    """
    return float(np.mean((1 - momentum ** np.arange(1, steps + 1)) / (1 - momentum)))


# -- ghost batch normalisation (Algorithm 1) ---------------------------------------------------------------------------


def ghost_statistics(x: np.ndarray, ghost: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """``(μ^l, σ^l)`` of the chunks of a batch [b, d], both [K, d]; σ^l = √(mean((X − μ)²) + ε). ValueError if K is no
    whole number."""
    if len(x) % ghost:
        raise ValueError(f"chunks of {ghost} do not divide a batch of {len(x)}")
    chunks = x.reshape(len(x) // ghost, ghost, *x.shape[1:])
    mean = chunks.mean(axis=1)
    return mean, np.sqrt(((chunks - mean[:, None]) ** 2).mean(axis=1) + eps)


def running_weights(chunks: int, momentum: float) -> tuple[float, np.ndarray]:
    """Algorithm 1, corrected: μ_run ← (1−η)^K·μ_run + Σᵢ η(1−η)^(K−i)·μⁱ, the result of K updates in a row.

    Returns the weight of the old average and those of the K chunks, [K]; together they are 1.
    """
    i = np.arange(1, chunks + 1)
    return (1 - momentum) ** chunks, momentum * (1 - momentum) ** (chunks - i)


def printed_running_weights(chunks: int, momentum: float, small: int = SMALL) -> tuple[float, np.ndarray]:
    """Algorithm 1 as printed: (1−η)^|B_S| for the old average and (1−η)^i·η for chunk i."""
    i = np.arange(1, chunks + 1)
    return (1 - momentum) ** small, momentum * (1 - momentum) ** i


def released_chunks(batch: int, large: int, small: int = SMALL) -> tuple[int, ...]:
    """Sizes into which the released code cuts a batch: ``chunk(large // small)``, whatever the batch's own size.

    So the partial batch at the end of an epoch has smaller chunks, the last of them smaller still, all weighted alike.
    """
    size = -(-batch // (large // small))
    return (size,) * (batch // size) + ((batch % size,) if batch % size else ())


# -- diffusion ---------------------------------------------------------------------------------------------------------


def log_spaced(last: int, per_octave: int) -> tuple[int, ...]:
    """Updates 1 … ``last``, about ``per_octave`` of them each time the number doubles."""
    if last < 1 or per_octave < 1:
        return ()
    points = round(math.log2(last) * per_octave) + 1
    return tuple(sorted({round(x) for x in np.geomspace(1, last, points)}))


def log_fit(t: np.ndarray, distance: np.ndarray) -> tuple[float, float]:
    """Slope per unit of ln t and R² of distance = a + b·ln t (the paper's law)."""
    return _line(np.log(t), distance)


def power_fit(t: np.ndarray, distance: np.ndarray) -> tuple[float, float]:
    """Exponent and R² of distance = c·t^p, fitted and judged on logarithms."""
    return _line(np.log(t), np.log(distance))


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - slope * x - intercept
    return float(slope), float(1 - (residual**2).sum() / ((y - y.mean()) ** 2).sum())


def interpolated(t: np.ndarray, distance: np.ndarray, at: float) -> float | None:
    """The distance after ``at`` updates, linear in ln t between recorded ones; None outside of them."""
    if len(t) == 0 or not t[0] <= at <= t[-1]:
        return None
    return float(np.interp(math.log(at), np.log(t), distance))


# -- random potential --------------------------------------------------------------------------------------------------


def spread_by_distance(
    distance: np.ndarray, rise: np.ndarray, reach: float, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """``(r, std)``, both [bins]: std ≜ √E(L(w) − L(w₀))² over the samples with ‖w − w₀‖ in a bin of (0, reach].

    ``distance`` and ``rise`` = L(w) − L(w₀) are [samples]; r is the root of the mean square of the distances in a bin,
    so that a std proportional to the distance stays so. The mean rise is part of ``std``, as in the paper's definition.
    ValueError for an empty bin.
    """
    edges = np.linspace(0, reach, bins + 1)
    place = np.clip(np.searchsorted(edges, distance, side="left") - 1, 0, bins - 1)
    if empty := sorted(set(range(bins)) - set(place.tolist())):
        low, high = edges[empty[0]], edges[empty[0] + 1]
        raise ValueError(f"no sample lies between {low:g} and {high:g}: draw more, or use fewer bins")
    r, std = (np.sqrt([np.mean(v[place == k] ** 2) for k in range(bins)]) for v in (distance, rise))
    return r, std


def taylor_slope(gradient_norm: float, weights: int) -> float:
    """std/‖w − w₀‖ of any smooth loss close to w₀: ‖∇L‖/√n for a uniformly random direction in n dimensions."""
    return gradient_norm / math.sqrt(weights)
