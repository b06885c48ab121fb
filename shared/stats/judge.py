"""One claim at one preset: which tests it has there, which runs they take, and what the rules find."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import pandas as pd

from shared.paper import Paper
from shared.spec import Preset
from shared.stats import rules
from shared.stats.claims import Claim, ClaimError, Test
from shared.stats.reference import printed_for
from shared.stats.rules import ALPHA, Result
from shared.stats.samples import Elementary, MissingRuns, Runs, expand

Scale = Literal["paper", "reduced"]
"""Presets for which a claim can speak."""


@dataclass(frozen=True)
class Judged:
    """A claim at one preset."""

    preset: Preset
    result: Result
    used: pd.DataFrame
    """The rows of every run that took part."""
    behind: pd.DataFrame
    """Those of the runs whose nets these start from or measure."""
    without: frozenset[str]
    """Runs that diverged and have no value of what is judged: the others alone would speak too well of it."""
    notes: tuple[str, ...] = ()
    """What was left out of the judgement, and why."""


def judge(paper: Paper, claim: Claim, runs: Runs) -> Judged:
    """Apply a claim's tests to the runs of one preset; MissingRuns when they do not suffice."""
    preset: Scale = "reduced" if runs.preset == "smoke" else runs.preset
    if preset not in claim.presets:
        raise MissingRuns(f"the claim speaks for {' and '.join(claim.presets)} only")
    roles = paper.roles(runs.preset)
    cases = [case for test in claim.test if test.speaks_at(preset) for case in expand(test, roles)]
    silent = [t for t in claim.test if t.speaks_at(preset) and not expand(t, roles)]
    if silent:
        raise MissingRuns(f"{runs.preset} has no batch for {', '.join(silent[0].templates)}")
    needed = [arm for case in cases for arm in case.needs]
    if absent := runs.missing(needed):
        raise MissingRuns(f"no run of {', '.join(absent)} at {runs.preset}")
    chance = [_at_chance(claim, case, runs) for case in cases]
    steps = [rules.judged_steps(flags) for flags in chance]
    tests = max(1, sum(len(s) if c.test.rule == "monotone" else 1 for c, s in zip(cases, steps, strict=True)))
    found = [_apply(claim, case, runs, case.test.margin_at(preset), ALPHA / tests) for case in cases]
    seen = [len(r.leaves) if math.isfinite(r.estimate) else 0 for r in found]
    notes = [_censored(c, s, x) for c, s, x in zip(cases, seen, chance, strict=True) if s < len(x) - 1]
    used = runs.used(needed)
    without = frozenset[str]().union(*(runs.without(case, claim.metric) for case in cases))
    return Judged(runs.preset, rules.all_of(found), used, runs.behind(used), without, tuple(notes))


def _censored(case: Elementary, judged: int, lost: list[bool]) -> str:
    names = [arm for arm, at in zip(case.arms, lost, strict=True) if at]
    text = f"{judged} of {len(lost) - 1} steps judged; {', '.join(names)} {'is' if len(names) == 1 else 'are'}"
    return f"{text} at chance level, where nothing can be told"


def _at_chance(claim: Claim, case: Elementary, runs: Runs) -> list[bool]:
    """For each arm of a ``monotone`` sequence whether it stands at chance level; empty for other rules."""
    if case.test.rule != "monotone":
        return []
    return [runs.at_chance(arm, case.test.metric or claim.metric) for arm in case.arms]


def _apply(claim: Claim, case: Elementary, runs: Runs, margin: float, refute: float) -> Result:
    found = _tested(claim, case, runs, margin, refute)
    no_worse = case.test.rule == "greater" and bool(case.b) and margin < 0
    alike = no_worse or case.test.rule in ("equivalent", "curves_overlap")
    if not alike or found.finding != "holds" or runs.learnt(case.needs):
        return found
    return replace(found, finding="inconclusive", reason="every arm of it is at chance level, where all look alike")


def _tested(claim: Claim, case: Elementary, runs: Runs, margin: float, refute: float) -> Result:
    test, metric = case.test, case.test.metric or claim.metric
    if test.rule == "monotone":
        groups = [runs.values(arm, metric).to_numpy() for arm in case.arms]
        lost = _at_chance(claim, case, runs)
        names = [f"{after} − {before}" for before, after in pairwise(case.arms)]
        away = "accuracy" in metric
        found = rules.monotone(groups, margin, refute * max(1, len(rules.judged_steps(lost))), lost, names, away)
        return found if math.isfinite(found.estimate) else replace(found, label=case.label)
    if test.rule == "within":
        printed = printed_for(claim, case)
        if printed is None:
            raise ClaimError(f"claim {claim.id}: within has no printed number for {case.label}; add it to numbers")
        ours = runs.values(case.a[0].arm, metric).to_numpy()
        found = rules.within(
            ours, printed.mean, margin, sd=printed.sd, n=printed.n, digits=printed.digits, refute=refute
        )
        return replace(found, label=f"{case.label} − printed")
    elif test.rule in ("equivalent", "greater"):
        distance = bool(case.a[0].against) and not case.b
        level = not case.b and margin != 0  # "trains to more than 97 %": that a percentage is above 0 says nothing
        d = runs.contrast(case, metric)
        found = rules.equivalent(d, margin, refute) if test.rule == "equivalent" else rules.greater(
            d, margin, refute, signed=not (distance or level)
        )  # fmt: skip
        found = rules.below(found) if test.below else found
    elif test.rule == "curves_overlap":
        a, b = case.a[0], case.b[0]
        part = runs.distance(a.arm, b.arm, a.metric or metric, b.metric or metric, test.over)
        found = rules.curves_overlap(rules.mean(part.to_numpy()), margin, refute)
    else:
        found = _fit(test, case, runs, metric, margin, refute)
    return replace(found, label=case.label)


def _fit(test: Test, case: Elementary, runs: Runs, metric: str, margin: float, refute: float) -> Result:
    x = [runs.x(arm, test.x or "") for arm in case.arms]
    columns = [runs.values(arm, metric) for arm in case.arms]
    if test.rule == "scales_as" and test.target is not None:
        near = [f"{metric}/{end}" for end in ("low", "high")]
        cells = []
        if any(runs.recorded(arm, column) for arm in case.arms for column in near):
            for arm, read in zip(case.arms, columns, strict=True):
                low, high = (runs.values(arm, column) for column in near)
                if lacking := set(read.index) - (set(low.index) & set(high.index)):
                    raise MissingRuns(f"{arm}, seed {min(lacking)}, did not record {' or '.join(near)}")
                cells.append((low.to_numpy(), high.to_numpy()))
        return rules.scales_as(x, [c.to_numpy() for c in columns], test.target, margin, refute, cells)
    together = pd.concat(columns, axis=1, join="inner")
    if together.empty:
        raise MissingRuns(f"{case.label}: the arms share no seed")
    first, second = test.models or ("", "")
    return rules.fits_better(x, together.to_numpy(), first, second, margin, refute)
