"""Smith, Kindermans, Ying & Le 2018 (arXiv:1711.00489) as pure functions: schedules, noise scale, update counts.

Notation of the paper: ε learning rate, m momentum, B batch, N training images; ε multiplies the mean gradient. The
noise scale of SGD with momentum is g = ε/(1 − m)·(N/B − 1) ≈ εN/(B(1 − m)), so dividing ε by a factor and multiplying B
by it are the same to first order. Accumulator: ΔA = −(1 − m)A + dC/dw, Δw = −εA, with A = 0 at the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

Schedule = Literal["decay", "hybrid", "increase", "both", "constant"]


class Setting(NamedTuple):
    """What one update uses."""

    lr: float
    batch: int
    momentum: float


@dataclass(frozen=True)
class Rule:
    """How a schedule lets the noise fall by ``factor`` at each of its ``drops`` (fractions of training, rising).

    ``decay``: ε/factor. ``increase``: B·factor up to ``cap``, what the cap leaves over falls on ε (Section 5.2).
    ``hybrid``: B at the first drop, ε at the later ones (Figure 1). ``both``: ε/factor and B·factor, which is our
    control, as is ``constant``: neither. ``power`` p: a factor k of ε stands for k^p of B, 1 by the linear rule of SGD
    and 2 by the square-root rule of Adam. Batches are rounded to whole images.
    Raises ValueError for drops that are not rising fractions, and for a factor or power that makes no sense.
    """

    lr: float
    batch: int
    momentum: float
    schedule: Schedule
    drops: tuple[float, ...]
    factor: float = 5.0
    cap: int | None = None
    power: int = 1

    def __post_init__(self) -> None:
        ends = (0.0, *self.drops, 1.0)
        if any(a >= b for a, b in pairwise(ends)):
            raise ValueError(f"drops must be rising fractions of training between 0 and 1, not {self.drops}")
        if self.factor <= 1 or self.power < 1:
            raise ValueError(f"factor must be above 1 and power at least 1, not {self.factor:g} and {self.power}")

    def phases(self) -> tuple[Setting, ...]:
        """The setting before the first drop and after each."""
        return tuple(self._after(drop) for drop in range(len(self.drops) + 1))

    def at(self, progress: float) -> Setting:
        """The setting at a fraction of training: a drop belongs to the phase that it begins."""
        if not 0 <= progress <= 1:
            raise ValueError(f"progress must lie between 0 and 1, not {progress}")
        return self._after(sum(progress >= drop for drop in self.drops))

    def _after(self, drops: int) -> Setting:
        raised = {"decay": 0, "constant": 0, "hybrid": min(drops, 1)}.get(self.schedule, drops)
        lowered = {"increase": 0, "constant": 0, "hybrid": drops - raised}.get(self.schedule, drops)
        wanted = self.batch * self.factor ** (self.power * raised)
        batch = wanted if self.cap is None else min(wanted, float(max(self.cap, self.batch)))
        left = (batch / wanted) ** (1 / self.power)
        return Setting(self.lr * left / self.factor**lowered, round(batch), self.momentum)


# Noise


def noise_scale(lr: float, batch: float, momentum: float, n: int, exact: bool = True) -> float:
    """g = ε/(1 − m)·(N/B − 1), or with ``exact=False`` its approximation εN/(B(1 − m)) for B ≪ N."""
    return lr / (1 - momentum) * (n / batch - exact)


def error_of_approximation(batch: float, n: int) -> float:
    """By how much the exact noise scale lies below the approximate one, as a fraction of it: B/N."""
    return batch / n


def scaled(batch: int, momentum: float, to: float) -> int:
    """The batch that keeps εN/(B(1 − m)) when the momentum becomes ``to``: B ∝ 1/(1 − m)."""
    return round(batch * (1 - momentum) / (1 - to))


# Momentum: how long an accumulator that starts at 0 takes


def warmup_epochs(batch: float, momentum: float, n: int) -> float:
    """B/(N(1 − m)): epochs in which the accumulator relaxes, 1/(1 − m) updates of B/N epochs each."""
    return batch / (n * (1 - momentum))


def accumulator(gradients: Sequence[float], momentum: float) -> list[float]:
    """A after each update under ΔA = −(1 − m)A + dC/dw from A = 0."""
    held, found = 0.0, []
    for gradient in gradients:
        held += -(1 - momentum) * held + gradient
        found.append(held)
    return found


def lost_updates(momentum: float) -> float:
    """Updates' worth of a constant gradient that the warm-up loses in all: Σ(1 − A_t·(1 − m)) = m/(1 − m)."""
    return momentum / (1 - momentum)


# Updates


def updates(n: int, epochs: float, batches: Sequence[int], drops: Sequence[float], whole: bool = True) -> float:
    """Updates of a run of ``epochs`` epochs over n images whose k-th phase has batches of ``batches[k]``.

    ``whole``: an epoch has ⌊N/B⌋ updates, what is left over is not used (the runs here); otherwise N/B, the real
    number that the paper's settings imply. Raises ValueError when a phase is missing.
    """
    if len(batches) != len(drops) + 1:
        raise ValueError(f"{len(drops)} drops make {len(drops) + 1} phases, not {len(batches)}")
    lengths = [(b - a) * epochs for a, b in pairwise((0.0, *drops, 1.0))]
    if whole:
        return sum(round(length) * (n // batch) for length, batch in zip(lengths, batches, strict=True))
    return math.fsum(length * n / batch for length, batch in zip(lengths, batches, strict=True))
