"""You, Gitman and Ginsburg 2017 (arXiv:1708.03888) as pure functions: LARS, its bounds, and the schedule around it.

Notation of the paper: w a layer's weights or biases, ∇L their gradient; γ the global and λ a layer's local learning
rate; η the trust coefficient; m momentum; β weight decay; v the momentum buffer. Norms are Euclidean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

TRUST = 0.001
"""η of every experiment in v3."""


# Global rate


def scaled_lr(base_lr: float, batch: int, base_batch: int) -> float:
    """Linear scaling: k times the rate for k times the batch. The paper's point is that AlexNet cannot bear it."""
    if batch < 1 or base_batch < 1:
        raise ValueError(f"batch sizes must be at least 1, not batch={batch} and base_batch={base_batch}")
    return base_lr * batch / base_batch


def growth_exponent(rates: tuple[float, float], batches: tuple[int, int]) -> float:
    """The p of rate ∝ batch^p through two points: 1 is linear scaling, ½ the square root."""
    return math.log(rates[1] / rates[0]) / math.log(batches[1] / batches[0])


def poly_decay(progress: float, power: float = 2.0) -> float:
    """(1 − t/T)^power for ``progress`` t/T in [0, 1] (Algorithm 1: γ_t = γ_0(1 − t/T)²)."""
    if not 0 <= progress <= 1:
        raise ValueError(f"progress={progress} lies outside [0, 1]")
    return (1 - progress) ** power


def learning_rate(
    step: int,
    *,
    steps: int,
    lr: float,
    warmup_steps: float = 0.0,
    warmup_lr: float = 0.0,
    power: float = 2.0,
    jump: bool = True,
) -> float:
    """γ of update number ``step`` (from 0) of ``steps``: a linear warm-up, then the polynomial decay of Algorithm 1.

    Warm-up goes from ``warmup_lr`` towards γ_0 (``lr``) over ``warmup_steps`` updates. With ``jump``, as in the
    authors' code, the decay counts from update 0 all the same, so that at the end of the warm-up the rate falls at
    once from γ_0 to γ_0(1 − warmup_steps/T)^power. Without it, the decay starts at γ_0 there.
    """
    if not 0 <= step < steps or not 0 <= warmup_steps < steps:
        raise ValueError(f"need 0 <= step < steps and 0 <= warmup_steps < steps={steps}, not {step} and {warmup_steps}")
    if step < warmup_steps:
        return warmup_lr + (lr - warmup_lr) * (step / warmup_steps)
    past = 0.0 if jump else warmup_steps
    return lr * poly_decay((step - past) / (steps - past), power)


def iterations(images: int, batch: int, epochs: float) -> float:
    """Updates that ``epochs`` passes over ``images`` take, as a real number."""
    return images * epochs / batch


# LARS


def local_rate(weight_norm: float, gradient_norm: float, *, weight_decay: float = 0.0, trust: float = TRUST) -> float:
    """λ = η‖w‖ / (‖∇L‖ + β‖w‖) (equation 6); without weight decay equation 5. NaN where both norms are 0."""
    below = gradient_norm + weight_decay * weight_norm
    if below == 0:
        return math.inf if weight_norm else math.nan
    return trust * weight_norm / below


def lars_step(
    w: np.ndarray,
    v: np.ndarray,
    gradient: np.ndarray,
    lr: float,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    trust: float = TRUST,
    lr_in_momentum: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1 for one layer: v ← m·v + γλ(∇L + βw), w ← w − v; returns the new w and v.

    Without ``lr_in_momentum`` the usual form: v ← m·v + λ(∇L + βw), w ← w − γv. v3 prints the algorithm without η and
    with γ_{t+1} in place of γ_t; the text and the ICLR version have both as here.
    """
    norms = float(np.linalg.norm(w)), float(np.linalg.norm(gradient))
    pull = local_rate(*norms, weight_decay=weight_decay, trust=trust) * (gradient + weight_decay * w)
    inside, outside = (lr, 1.0) if lr_in_momentum else (1.0, lr)
    v = momentum * v + inside * pull
    return w - outside * v, v


# Bounds


def largest_local_rate(weight_decay: float, trust: float = TRUST) -> float:
    """η/β: no λ of equation 6 is larger."""
    return trust / weight_decay


def largest_step(lr: float, weight_norm: float, momentum: float = 0.0, trust: float = TRUST) -> float:
    """γη‖w‖ / (1 − m): the longest a step gets while γ and ‖w‖ last; without momentum, the longest any step gets."""
    return lr * trust * weight_norm / (1 - momentum)


def largest_norm(weight_norm: float, rates: Sequence[float], trust: float = TRUST) -> float:
    """‖w_0‖ · Π(1 + ηγ_t), which no run without momentum exceeds; at most ‖w_0‖·exp(η Σγ_t) (ICLR)."""
    return weight_norm * math.prod(1 + trust * rate for rate in rates)


# Initial norms


def gaussian_norm(std: float, count: int) -> float:
    """Norm of ``count`` weights drawn from N(0, std²): std·√count, to a relative 1/√(2·count)."""
    return std * math.sqrt(count)


def constant_norm(value: float, count: int) -> float:
    """Norm of ``count`` biases that are all ``value``."""
    return abs(value) * math.sqrt(count)


# Metrics


def final_accuracy(errors: Mapping[float, float], epochs: float) -> float:
    """Mean of 100 − error over the evaluations in the last 5 % of training: the last five of 100 epochs, as the
    authors average for the baseline (section 3), and at least the last one. ``errors``: percent by epoch.
    """
    if not errors:
        raise ValueError("no evaluation, so there is no accuracy")
    last = max(errors)
    kept = [100.0 - e for epoch, e in errors.items() if epoch == last or epoch > 0.95 * epochs + 1e-9]
    return sum(kept) / len(kept)


def expected_best(chosen_by: Sequence[float] | np.ndarray, worth: Sequence[float] | np.ndarray) -> list[float]:
    """Expected ``worth`` of the best of k = 1 … n trials, best by ``chosen_by``, over all subsets of k of them.

    Of n trials the one of rank r (0 the best) wins C(n−1−r, k−1) of the C(n, k) subsets. Ties go to the earlier trial.
    """
    n = len(chosen_by)
    if n < 1 or n != len(worth):
        raise ValueError(f"need one worth for each of some trials, not {len(worth)} for {n}")
    order = sorted(range(n), key=lambda i: (-chosen_by[i], i))
    return [
        sum(math.comb(n - 1 - r, k - 1) * worth[i] for r, i in enumerate(order)) / math.comb(n, k)
        for k in range(1, n + 1)
    ]


# Choices on held-out images


def chosen_rates(rows: pd.DataFrame) -> tuple[dict[str, float], list[str]]:
    """``(CHOSEN, cells whose best rate lies at an end of the grid)`` from the collated runs of the ``tune`` sweep.

    The rate with the lowest mean held-out error in each cell (net, batch, optimizer); a tie goes to the smaller rate.
    A diverged run counts at chance level.
    """
    tune = rows[rows["arm"].str.startswith("tune-")]
    cells = tune["arm"].str.removeprefix("tune-").str.rpartition("-lr-")[0]
    chosen, edges = {}, []
    for cell, runs in tune.groupby(cells, sort=False):
        errors = runs.groupby("lr")["val/error"].mean().sort_index()
        chosen[str(cell)] = float(errors.idxmin())
        if errors.idxmin() in (errors.index[0], errors.index[-1]):
            edges.append(str(cell))
    return chosen, edges


def chosen_trials(rows: pd.DataFrame) -> dict[str, int]:
    """``BEST_TRIAL`` from the collated runs of the ``pilot`` sweep: the trial with the lowest held-out error."""
    trials = rows[rows["arm"].str.fullmatch(r"trial-\w+-\d+")]
    parts = trials["arm"].str.extract(r"trial-(?P<optimizer>\w+)-(?P<number>\d+)")
    table = parts.assign(error=trials["val/error"], number=parts["number"].astype(int)).sort_values("number")
    return {str(name): int(part.loc[part["error"].idxmin(), "number"]) for name, part in table.groupby("optimizer")}


def quasi_random(index: int, dimensions: int) -> tuple[float, ...]:
    """Point number ``index`` of the additive sequence of Roberts 2018 in [0, 1)^d: ½ + i·(φ⁻¹, φ⁻², …) modulo 1.

    φ is the root of φ^(d+1) = φ + 1. Any stretch of it covers the cube evenly, so four neighbours make a small search.
    """
    phi = 2.0
    for _ in range(64):
        phi = (1 + phi) ** (1 / (dimensions + 1))
    return tuple((0.5 + index * phi ** -(j + 1)) % 1.0 for j in range(dimensions))
