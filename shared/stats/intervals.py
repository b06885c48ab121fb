"""Student and Welch intervals for the three to ten seeds an arm has.

Every spread is the sample standard deviation (``ddof=1``). No bootstrap: with five runs a nominal 95 % percentile
interval covers 82 %, Student's covers 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

Samples = Sequence[float] | np.ndarray
MOST_DF = 1e6
"""As good as a normal distribution."""
LAST_BITS = 1e-12
PLACES = 2
"""Decimals of a printed number, unless its interval or its size asks for more."""


class StatsError(ValueError):
    """Samples or numbers that a formula cannot take; the message names them."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error: a mean, a difference of means, or any linear combination of them."""

    value: float
    se: float
    """Standard error of ``value``; NaN when an arm has one seed and hence no spread."""
    df: float
    """Degrees of freedom, Satterthwaite's where variances differ."""
    n: int
    """Seeds per arm: the smallest group that went in."""
    blur: float = 0.0
    """Half-width of a known bounded error (rounding of a printed number), added at both ends of an interval."""
    fixed: float = 0.0
    """The part of se² that is the paper's, which more seeds of ours leave as it is."""
    fixed_df: float | None = math.inf
    """Its degrees of freedom; None where our own spread, of one group, stands for it."""
    groups: tuple[tuple[float, int], ...] = ()
    """Of each group of ours its share of se² and its seeds."""

    def with_seeds(self, more: int) -> tuple[float, float]:
        """(standard error, degrees of freedom) expected of so many more seeds in every group, if the spreads stay."""
        shares = [(v * n / (n + more), n + more - 1) for v, n in self.groups]
        se = math.sqrt(sum(v for v, _ in shares) + self.fixed)
        return se, shares[0][1] if self.fixed_df is None else freedom([*shares, (self.fixed, self.fixed_df)])

    def interval(self, level: float = 0.90) -> tuple[float, float] | None:
        """Two-sided interval; 90 % has the bounds of two one-sided tests at 5 %. None without a spread."""
        if not 0 < level < 1:
            raise StatsError(f"level must lie between 0 and 1, not {level}")
        if math.isnan(self.se):
            return None
        half = self.blur + (float(stdtrit(self.df, (1 + level) / 2)) * self.se if self.se > 0 else 0.0)
        return self.value - half, self.value + half


def places(bounds: tuple[float, float] | None, value: float) -> int:
    """Decimals that show the first digit of an interval's half-width; without a width, of a value too small for two."""
    half = (bounds[1] - bounds[0]) / 2 if bounds else 0.0
    half = 0.0 if half < 1e-9 * abs(value) else half  # equal numbers, but for their last bits
    size = half if half > 0 else abs(value)
    return max(PLACES, -math.floor(math.log10(size))) if math.isfinite(size) and 0 < size < 1 else PLACES


def moments(samples: Samples) -> tuple[float, float, int]:
    """``(mean, sd, n)`` with ``ddof=1``; sd is NaN for one sample. StatsError when empty or not finite."""
    x = np.asarray(samples, dtype=float)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise StatsError(f"need a flat list of finite numbers, got {samples!r}")
    return float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else math.nan, int(x.size)


def combination_from_stats(groups: Sequence[tuple[float, float, int]], weights: Sequence[float]) -> Estimate:
    """Σ wᵢ·meanᵢ of independent groups given as (mean, sd, n); Welch–Satterthwaite degrees of freedom."""
    if len(groups) != len(weights) or not groups:
        raise StatsError(f"{len(groups)} groups do not fit {len(weights)} weights")
    terms = [w * mean for w, (mean, _, _) in zip(weights, groups, strict=True)]
    value = sum(terms)
    if abs(value) < LAST_BITS * sum(map(abs, terms)):  # else rounding would decide where nothing has a spread
        value = 0.0
    n = min(n for _, _, n in groups)
    if any(math.isnan(sd) or n < 2 for _, sd, n in groups):
        return Estimate(value, math.nan, math.nan, n)
    shares = tuple((w * w * sd * sd / size, size) for w, (_, sd, size) in zip(weights, groups, strict=True))
    df = freedom([(v, size - 1) for v, size in shares])
    return Estimate(value, math.sqrt(sum(v for v, _ in shares)), df, n, groups=shares)


def freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Welch–Satterthwaite degrees of freedom of a sum of variances, given as (variance, degrees of freedom)."""
    total, spread = sum(v for v, _ in parts), sum(v * v / free for v, free in parts)
    # Variances near the smallest float square to zero; the pooled count is then as good as any.
    return min(MOST_DF, total * total / spread if spread > 0 else sum(free for _, free in parts))


def combination(groups: Sequence[Samples], weights: Sequence[float]) -> Estimate:
    """Σ wᵢ·mean(groupᵢ) for independent groups: a difference, or a difference of differences."""
    return combination_from_stats([moments(g) for g in groups], weights)


def mean(samples: Samples) -> Estimate:
    """Mean of one group (Student, n − 1 degrees of freedom)."""
    return combination([samples], [1.0])


def difference(a: Samples, b: Samples) -> Estimate:
    """mean(a) − mean(b), variances not assumed equal (Welch)."""
    return combination([a, b], [1.0, -1.0])


def difference_from_stats(mean_a, sd_a, n_a, mean_b, sd_b, n_b) -> Estimate:
    """Welch's difference from printed numbers; ``sd`` with ddof=1."""
    return combination_from_stats([(mean_a, sd_a, n_a), (mean_b, sd_b, n_b)], [1.0, -1.0])


def against_printed(
    samples: Samples, printed: float, sd: float | None = None, n: int | None = None, digits: int | None = None
) -> Estimate:
    """mean(samples) − printed.

    With the printed ``sd`` and ``n``: Welch. Without a spread, a prediction interval: our own spread stands for both
    sides, and the printed number counts as the mean of ``n`` runs (one if unsaid). ``digits`` printed after the point
    add half a unit of the last place on both sides.
    """
    ours = moments(samples)
    if sd is not None and n is not None and n > 1:
        found = replace(difference_from_stats(*ours, printed, sd, n), fixed=sd * sd / n, fixed_df=n - 1)
        found = replace(found, groups=found.groups[:1])
    else:
        theirs = ours[1] ** 2 / (n or 1)
        own = ours[1] ** 2 / ours[2]
        found = Estimate(ours[0] - printed, math.sqrt(own + theirs), ours[2] - 1, ours[2], fixed=theirs, fixed_df=None,
                         groups=((own, ours[2]),))  # fmt: skip
    return replace(found, n=ours[2], blur=0.0 if digits is None else 0.5 * 10.0**-digits)
