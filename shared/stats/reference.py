"""The paper's printed numbers for a claim's contrasts: what our estimates are shown beside."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from shared.paper import Paper
from shared.stats.claims import Claim, Printed
from shared.stats.intervals import combination_from_stats
from shared.stats.samples import Elementary, expand

Reference = dict[str, Any]
"""Keys ``label mean sd n digits tag interval``: sd and n for a number of one arm, a 90 % Welch interval for a
difference; ``digits`` after the point as printed (of a difference: as many as its terms have), None where unsaid."""
STATED = "as the paper states it"


def references(paper: Paper, claim: Claim, preset: str | None = None) -> list[Reference]:
    """One entry for each elementary contrast at the paper preset's roles, so far as the paper prints its numbers.

    Given a preset, only tests that take part in it. Order and labels are those of the estimates at the paper preset;
    a number given with a test itself keeps its own label, for it need not be of our contrast. Claims that are not run
    give the numbers of their arms.
    """
    if claim.not_run:
        return [_entry(arm, p) for arm, p in claim.numbers.items()]
    if claim.exact:
        return []
    roles, found = paper.roles("paper"), []
    for test in claim.test:
        if preset is not None and not test.speaks_at(preset):
            continue
        if test.reference:
            found.append(_entry(STATED, test.reference))
            continue
        for case in expand(test, roles) if (test.metric or claim.metric) == claim.metric else []:
            found += _of_case(claim, case)
    return found


def printed_for(claim: Claim, case: Elementary) -> Printed | None:
    """The number that a ``within`` test is held against."""
    return case.test.reference or claim.numbers.get(case.a[0].arm)


def _of_case(claim: Claim, case: Elementary) -> list[Reference]:
    rule, numbers = case.test.rule, claim.numbers
    if rule == "monotone":
        wanted = [(f"{b} − {a}", {b: 1.0, a: -1.0}) for a, b in pairwise(case.arms)]
    elif rule in ("scales_as", "fits_better"):
        wanted = [(arm, {arm: 1.0}) for arm in case.arms]
    elif any(t.against or t.metric for t in (*case.a, *case.b)) or rule == "curves_overlap":
        return []
    else:
        weights: dict[str, float] = {}
        flip = -1.0 if case.test.below else 1.0  # as its label has it
        for sign, terms in ((flip, case.a), (-flip, case.b)):
            for t in terms:
                weights[t.arm] = weights.get(t.arm, 0.0) + sign * t.weight
        wanted = [(case.label, weights)]
    return [_combined(label, w, numbers) for label, w in wanted if set(w) <= set(numbers)]


def _combined(label: str, weights: dict[str, float], numbers: dict[str, Printed]) -> Reference:
    parts = [numbers[arm] for arm in weights]
    if len(parts) == 1 and set(weights.values()) == {1.0}:
        return _entry(label, parts[0])
    printed = [p.digits for p in parts if p.digits is not None]
    digits = max(printed) + any(abs(w) != 1 for w in weights.values()) if printed else None
    value = sum(w * p.mean for w, p in zip(weights.values(), parts, strict=True))
    value = round(value, 6 if digits is None else digits)
    interval = None
    full = [(p.mean, p.sd, p.n) for p in parts if p.sd is not None and p.n]
    if len(full) == len(parts):
        found = combination_from_stats(full, list(weights.values())).interval()
        interval = [round(v, 4) for v in found] if found else None
    n = min((p.n for p in parts if p.n), default=None)
    return {
        "label": label, "mean": value, "sd": None, "n": n, "digits": digits, "tag": "D", "interval": interval,
    }  # fmt: skip


def _entry(label: str, p: Printed) -> Reference:
    return {
        "label": p.label or label, "mean": p.mean, "sd": p.sd, "n": p.n, "digits": p.digits, "tag": p.tag,
        "interval": None,
    }  # fmt: skip
