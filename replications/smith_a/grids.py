"""Which conventions of momentum, start and pixels are tried, and which batches at each value of ε, N, m and width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from replications.smith_a.spec import Convention

CANDIDATES = tuple(
    Convention(form, init, pixels)
    for form in ("averaging", "reference")
    for init in ("glorot", "he", "normal")
    for pixels in ("unit", "standardised")
)
"""In the order in which ties are broken."""
CHOSEN = Convention("averaging", "glorot", "unit")
"""``method.choose`` on the ``pilot`` runs, which look at held-out images alone: see there for the rule."""
OTHER = Convention("reference", "glorot", "unit")

GRID = (1, 5, 10, 15, 20, 30, 45, 65, 100, 220, 1000)
"""Figure 4; spacing about 1.5 around the peak."""
ACC_GRID = (30, 100, 220, 500, 1000)
"""Figure 4 in the other convention at the paper's ε = 1: from where nothing trains to the full batch. Thin, since no
best batch is read off it."""
ACC_EPS = 0.1
"""Rate of Figure 7's runs in the other convention: ε/(1 − m) then goes from 0.1 to 4, and every m trains. At m = 0.9
that is the main curve itself: summing at ε(1 − m) is averaging at ε."""


@dataclass(frozen=True)
class Family:
    """Curves of accuracy against B that differ in one quantity."""

    axis: Literal["lr", "train_size", "momentum", "width"]
    grids: Mapping[float, tuple[int, ...]]
    base: float | None
    """The value at which the curve is the main one, ``b-…``."""
    values: tuple[float, ...]
    """Those whose B_opt enter the exponent."""


FAMILIES = {
    "eps": Family("lr", {0.1: (1, 2, 3, 4, 6, 9), 3: (20, 30, 45, 65, 100, 150, 220),
                         10: (45, 65, 100, 150, 220, 330, 500, 750, 1000)}, 1, (0.1, 1, 3, 10)),
    "n": Family("train_size", {5000: (10, 15, 20, 30, 45, 65, 100, 150),
                               20000: (10, 15, 20, 30, 45, 65, 100, 150, 220, 330),
                               40000: (10, 15, 20, 30, 45, 65, 100, 150, 220, 330, 500),
                               60000: (10, 15, 20, 30, 45, 65, 100, 150, 220, 330, 500, 700)},
                1000, (1000, 5000, 20000)),
    "time-n": Family("train_size", {3000: (15, 20, 30, 45, 65, 100, 150)}, 1000, (1000, 3000)),
    "m": Family("momentum", {0.0: (15, 20, 30, 45, 65, 100), 0.975: (15, 20, 30, 45, 65)}, 0.9, (0.0, 0.9, 0.975)),
    "acc-m": Family("momentum", {0.0: (1, 2, 3, 4, 6, 9), 0.5: (2, 3, 4, 6, 9, 13),
                                 0.975: (45, 65, 100, 150, 220)}, 0.9,
                    (0.0, 0.5, 0.9, 0.975)),
    "width": Family("width", {200: (10, 15, 20, 30, 45, 65, 100, 150), 3200: (3, 5, 7, 10, 15, 20, 30, 45)}, 800,
                    (200, 800, 3200)),
}  # fmt: skip
"""Figures 5 and 6, Figure 6 at equal time of the stochastic differential equation, Figure 7, Figure 7 with summed
gradients, and Park et al. 2019.

Grids lie around what the exact law makes of a peak between 20 and 45 at ε = 1, wide enough to choose a batch that the
law does not have: one that has not moved, and one ∝ √N. A peak at the end of a grid means that the grid must be
extended, by the factor of its last step, on that side. Before they ran, the grids at ε = 0.1, at m = 0 and 0.5 with
summed gradients and at 200 and 3200 units were given smaller batches, because the main curve had its peak at 20.
Extended after their runs: ε = 10, best at 500, up to the full batch; N = 5,000 and 20,000, best at 30 and 45, down to
10, and then 40,000 and 60,000, not run by then, in the same way; averaged m = 0 and 3200 units, where
one seed of five had its best batch at the upper end. Sizes and widths share the main curve's batches, so that a peak
that stays where it is reads the same.
"""
N_LARGE = (40000, 60000)

TUNE_LRS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""For every batch. 0.1 was added, for all of them, when 0.3 was the best at B = 10 and stood at the end."""
TUNE_BATCHES = (10, 20, 30, 100, 220, 1000)
"""20, the best batch at ε = 1, was added when that was known and before any run at a tuned rate."""
TUNED: dict[int, float] = {10: 0.3, 20: 1.0, 30: 1.0, 100: 3.0, 220: 10.0, 1000: 10.0}
"""``method.best_rate`` on the ``tune`` runs, batch by batch: the lowest held-out error."""
