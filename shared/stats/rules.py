"""The closed list of rules. Each turns an estimate into *holds*, *fails* or *inconclusive*.

Levels: a rule holds at 5 % (one-sided, so the interval shown is the two-sided 90 % one). When k elementary tests must
*all* hold, holding needs no correction (intersection–union); failing means that *one* of k fails, so each fails at
5 %/k (Bonferroni), passed as ``refute``. Hence both a false "holds" and a false "fails" have probability ≤ 5 %, as
exactly as Welch's intervals keep their level: 5.6 % with three seeds against five, up to 8 % with two against five.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from shared.stats.intervals import (
    Estimate,
    Samples,
    StatsError,
    against_printed,
    combination,
    difference,
    freedom,
    mean,
)

ALPHA = 0.05
MAX_SEEDS = 999
RuleName = Literal["within", "equivalent", "greater", "monotone", "scales_as", "fits_better", "curves_overlap", "exact"]
"""The rules a claim may name; each is a function of this module."""
Finding = Literal["holds", "fails", "inconclusive"]

FEATURES = {
    "constant": None,
    "linear": lambda x: x,
    "sqrt": np.sqrt,
    "log": np.log,
    "inverse": lambda x: 1 / x,
    "square": np.square,
}
"""Models of ``fits_better``: y = β₀ + β₁·φ(x), or y = β₀."""


@dataclass(frozen=True)
class Result:
    """What one rule found."""

    finding: Finding
    estimate: float
    interval: tuple[float, float] | None
    """Two-sided at ``level``; None when an arm has one seed."""
    margin: float | None
    reason: str
    direction: bool | None = None
    """Whether the sign alone is established (lower bound above 0); None where the rule has no sign."""
    needed: int | None = None
    """Seeds per arm that would decide, if estimate and spread stay; None when decided or out of reach."""
    leans: Literal["holds", "fails"] | None = None
    """What they would then find; None when decided or out of reach."""
    floored: bool = False
    """Open, and part of the error is one that seeds do not shrink."""
    n: int = 0
    slack: float = 0.0
    """Room between estimate and the nearest bound, in half-widths of the interval; the smallest is the worst."""
    parts: tuple[Result, ...] = ()
    label: str = ""
    level: float = 1 - 2 * ALPHA
    """Level of ``interval``: 90 %, or for a part that fails the wider one, of 1 − 2·``refute``, that decided so."""

    @property
    def leaves(self) -> tuple[Result, ...]:
        """The elementary results: itself, or those of its parts."""
        return tuple(leaf for part in self.parts for leaf in part.leaves) if self.parts else (self,)


def n_needed(d: Estimate, distance: float, alpha: float = ALPHA) -> int | None:
    """Smallest seeds per arm whose one-sided bound is narrower than ``distance``; None beyond MAX_SEEDS.

    Every group gets as many more; of n the smallest group counts. The paper's share of the error stays as it is.
    """
    if math.isnan(d.se) or distance <= d.blur:
        return None
    if d.se == 0:
        return d.n
    for n in range(d.n + 1, MAX_SEEDS + 1):
        se, df = d.with_seeds(n - d.n)
        if stdtrit(df, 1 - alpha) * se < distance - d.blur:
            return n
    return None


def _between(
    d: Estimate, low: float, high: float, margin: float, refute: float, inside: str, signed: bool = False
) -> Result:
    """Holds when the interval lies in (low, high), fails when it lies outside; infinite ends give one-sided rules."""
    shown, wide = d.interval(1 - 2 * ALPHA), d.interval(1 - 2 * refute)
    if shown is None or wide is None:
        return Result("inconclusive", d.value, None, margin, "one seed has no spread", n=d.n)
    finding: Finding = "inconclusive"
    if low < shown[0] and shown[1] < high:
        finding = "holds"
    elif wide[0] > high or wide[1] < low:
        finding = "fails"
    verb = {"holds": "", "fails": "not ", "inconclusive": "not shown to be "}[finding]
    leans: Literal["holds", "fails"] | None = None
    needed = None
    if finding == "inconclusive":
        leans = "holds" if low < d.value < high else "fails"
        nearest = min(abs(d.value - low), abs(d.value - high))
        needed = n_needed(d, nearest, ALPHA if leans == "holds" else refute)
    half = (shown[1] - shown[0]) / 2
    slack = min(d.value - low, high - d.value) / (half or 1e-12)
    sign = shown[0] > 0 if signed else None
    alpha = refute if finding == "fails" else ALPHA
    bounds = wide if finding == "fails" else shown
    floored = finding == "inconclusive" and (d.fixed > 0 or d.blur > 0)
    return Result(finding, d.value, bounds, margin, verb + inside, sign, needed, leans, floored, d.n, slack,
                  level=1 - 2 * alpha)  # fmt: skip


def equivalent(d: Estimate, margin: float, refute: float = ALPHA) -> Result:
    """Two one-sided tests: the 90 % interval inside ±margin holds, wholly outside fails."""
    _positive(margin, "equivalent")
    return _between(d, -margin, margin, margin, refute, f"within ±{margin:g} of zero")


def within(
    ours: Samples,
    printed: float,
    margin: float,
    *,
    sd: float | None = None,
    n: int | None = None,
    digits: int | None = None,
    refute: float = ALPHA,
) -> Result:
    """Our mean against a printed one, equivalent within ±margin (see ``against_printed`` for a missing spread)."""
    _positive(margin, "within")
    d = against_printed(ours, printed, sd, n, digits)
    return _between(d, -margin, margin, margin, refute, f"within ±{margin:g} of the printed {printed:g}")


def greater(d: Estimate, margin: float = 0.0, refute: float = ALPHA, signed: bool = True) -> Result:
    """One-sided: lower bound above ``margin`` holds, upper bound below it fails.

    A negative margin makes it "not worse than". ``signed=False`` for distances, which are above 0 by construction.
    """
    return _between(d, margin, math.inf, margin, refute, f"greater than {margin:g}", signed and margin >= 0)


def below(found: Result) -> Result:
    """What ``greater`` found of −x, told of x: the same finding, the same sides."""
    bounds = None if found.interval is None else (-found.interval[1], -found.interval[0])
    margin = -(found.margin or 0.0) or 0.0
    reason = found.reason.replace(f"greater than {found.margin:g}", f"less than {margin:g}")
    return replace(found, estimate=-found.estimate, interval=bounds, margin=margin, reason=reason)


def monotone(
    groups: Sequence[Samples],
    margin: float = 0.0,
    refute: float = ALPHA,
    at_chance: Sequence[bool] = (),
    names: Sequence[str] = (),
    away: bool = False,
) -> Result:
    """Every step of the sequence rises by more than ``margin`` (negative: a fall of that size is tolerated).

    ``at_chance`` says for each group whether it stands at chance level. A step that starts there cannot rise however
    true the claim is: it can refute the claim by a fall from there, and else it carries no information and is left out,
    neither holds nor fails and has no sign. One between two groups at chance level takes no share of ``refute`` either.
    A step that ends there is judged. ``away``: values that rise away from chance level, as accuracies do, whose steps
    from there are judged as any. Without any step left: inconclusive. ``names`` are the steps' labels.
    """
    if len(groups) < 2:
        raise StatsError(f"monotone needs at least two groups, got {len(groups)}")
    lost = at_chance or [False] * len(groups)
    steps = judged_steps(lost)
    found = []
    for i in steps:
        step = greater(difference(groups[i + 1], groups[i]), margin, refute / len(steps))
        if away or not lost[i] or step.finding == "fails":
            found.append(replace(step, label=names[i]) if names else step)
    if not found:
        reason = f"every step {'lies' if away else 'starts'} at chance level, where nothing can be told"
        return Result("inconclusive", math.nan, None, margin, reason, n=min(len(g) for g in groups))
    return all_of(found)


def judged_steps(at_chance: Sequence[bool]) -> list[int]:
    """Positions of the steps of ``monotone`` that are looked at: all but those between two groups at chance level."""
    return [i for i, (start, end) in enumerate(pairwise(at_chance)) if not (start and end)]


def scales_as(
    x: Sequence[float],
    groups: Sequence[Samples],
    target: float,
    margin: float,
    refute: float = ALPHA,
    cells: Sequence[tuple[Samples, Samples]] = (),
) -> Result:
    """Exponent p of y ∝ xᵖ, equivalent to ``target`` within ±margin.

    p is the least-squares slope of mean log y on log x, a linear combination of the groups, so its error comes from the
    spread of seeds; how well a power law fits is not judged. Where y was read off a grid, ``cells`` has for each group
    the grid's values below and above it: the error of the reading (``grid_error``), which more seeds do not shrink, is
    added in squares. Seeds that agree would else stand for certainty.
    """
    _positive(margin, "scales_as")
    logs = np.log(np.asarray(x, dtype=float)) if min(x, default=0) > 0 else None
    if logs is None or len(set(x)) < 2 or any(np.min(g) <= 0 for g in groups):
        raise StatsError("scales_as needs positive values at two or more different x")
    centred = logs - logs.mean()
    d = combination([np.log(g) for g in groups], list(centred / (centred**2).sum()))
    if cells and not math.isnan(d.se):
        read = grid_error(x, [_geometric(low) for low, _ in cells], [_geometric(up) for _, up in cells]) ** 2
        df = freedom([(d.se**2, d.df), (read, math.inf)])
        d = replace(d, se=math.hypot(d.se, math.sqrt(read)), df=df, fixed=read)
    return _between(d, target - margin, target + margin, margin, refute, f"within ±{margin:g} of exponent {target:g}")


def grid_error(x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> float:
    """Standard error of the exponent of y ∝ xᵖ where each y is the best value of a grid, and nothing else.

    low, high: the grid's values next to each y. ln y is taken to lie anywhere between the midpoints towards them with
    equal probability, a standard deviation of (ln high − ln low)/(2√12), independently of the other grids'. Too small
    where y stands at the end of its grid.
    """
    widths = (np.log(high) - np.log(low)) / 2
    centred = np.log(x) - np.mean(np.log(x))
    return float(np.sqrt(np.sum((centred * widths) ** 2) / 12) / np.sum(centred**2))


def _geometric(values: Samples) -> float:
    return float(np.exp(np.mean(np.log(values))))


def fits_better(
    x: Sequence[float],
    runs: np.ndarray,
    first: str,
    second: str,
    margin: float = 0.0,
    refute: float = ALPHA,
) -> Result:
    """The first of two FEATURES models fits better: mean over seeds of AICc(second) − AICc(first) > margin.

    ``runs`` is [seeds, points]; each seed is fitted on its own, so the seeds are the independent samples.
    """
    y = np.asarray(runs, dtype=float)
    if y.ndim != 2 or y.shape[1] != len(x):
        raise StatsError(f"fits_better needs [seeds, {len(x)} points], got {y.shape}")
    gain = _aicc(second, np.asarray(x, dtype=float), y) - _aicc(first, np.asarray(x, dtype=float), y)
    found = greater(mean(gain), margin, refute)
    return replace(found, reason=f"AICc gain of {first} over {second} {found.reason}")


def curves_overlap(d: Estimate, margin: float, refute: float = ALPHA) -> Result:
    """Mean absolute distance of two curves (≥ 0): upper 95 % bound below ``margin`` holds, lower above fails."""
    _positive(margin, "curves_overlap")
    return _between(d, -math.inf, margin, margin, refute, f"closer than {margin:g}")


def exact(cases: Sequence[tuple[str, bool]]) -> Result:
    """Named cases that must all hold; the estimate is how many do."""
    failed = [name for name, ok in cases if not ok]
    passed = len(cases) - len(failed)
    if not cases:
        return Result("inconclusive", 0, None, None, "no cases were checked")
    reason = f"{passed} of {len(cases)} cases hold" + (f"; not: {', '.join(failed)}" if failed else "")
    return Result("fails" if failed else "holds", passed, None, None, reason, n=len(cases))


def all_of(results: Sequence[Result]) -> Result:
    """Intersection–union: fails if one part fails, holds if all hold. Shown is the worst part, nearest to failing."""
    if not results:
        raise StatsError("all_of needs at least one result")
    rank = {"fails": 0, "inconclusive": 1, "holds": 2}
    leaves = [leaf for r in results for leaf in r.leaves]
    worst = min(leaves, key=lambda r: (rank[r.finding], r.slack))
    signs = [r.direction for r in leaves if r.direction is not None]
    open_ = [r for r in leaves if r.finding == "inconclusive"]
    refuting = [r.needed for r in open_ if r.leans == "fails" and r.needed is not None]  # one of them is enough
    showing = [r.needed for r in open_ if r.leans != "fails" and r.needed is not None]
    needed = min(refuting) if refuting else max(showing) if showing and len(showing) == len(open_) else None
    return replace(
        worst,
        leans="fails" if refuting else "holds" if needed is not None else None,
        floored=any(r.floored for r in open_),
        direction=all(signs) if signs else None,
        needed=needed,
        n=min(r.n for r in leaves),
        parts=tuple(results) if len(leaves) > 1 else (),
    )


def _positive(margin: float, rule: str) -> None:
    if not margin > 0:
        raise StatsError(f"{rule} needs a margin above 0, not {margin}")


def _aicc(model: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if model not in FEATURES:
        raise StatsError(f"unknown model {model!r}; there are: {', '.join(FEATURES)}")
    phi = FEATURES[model]
    design = np.ones((len(x), 1)) if phi is None else np.column_stack([np.ones(len(x)), phi(x)])
    points, k = len(x), design.shape[1] + 1
    if points <= k + 1:
        raise StatsError(f"fits_better needs more than {k + 1} points for {model}, got {points}")
    residual = y - y @ np.linalg.pinv(design).T @ design.T
    variance = np.maximum((residual**2).sum(axis=1) / points, np.finfo(float).tiny)
    return points * np.log(variance) + 2 * k + 2 * k * (k + 1) / (points - k - 1)
