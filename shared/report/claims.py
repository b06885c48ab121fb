"""Verdicts as tables: what holds at which scale, and the numbers behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.report.data import ReportError
from shared.report.grid import Column, Grid, number

OUTCOMES: Mapping[str, str] = {
    "reproduced": "The rule written down for the claim holds at the claim's own strength.",
    "direction-only": "The sign or order agrees; the size does not, or this scale may not speak about size.",
    "not-reproduced": "The rule fails: the interval lies wholly on the other side of the margin.",
    "inconclusive": "The interval straddles the margin, or there are too few seeds; the reason says what would decide.",
    "not-run": "No finished runs at a scale that may speak about the claim.",
}
SCALES: Mapping[str, str] = {
    "paper": "The paper's data, net and length. Only here can a printed number be refuted.",
    "reduced": "Real but smaller data and net, on two CPU cores. Speaks of directions, orders and exponents.",
    "smoke": "Seconds of training on toy data. Shows that the plumbing works and nothing else.",
}
Verdict = Mapping[str, Any]


def check(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts as a list. Raises ReportError for a missing key or an outcome or scale outside the closed lists."""
    listed = list(verdicts)
    for verdict in listed:
        if missing := {"paper", "claim", "outcome", "scale"} - set(verdict):
            raise ReportError(f"verdict {verdict.get('claim', '?')} lacks {', '.join(sorted(missing))}")
        if verdict["outcome"] not in OUTCOMES:
            raise ReportError(f"verdict {verdict['claim']}: outcome {verdict['outcome']!r} is not one of {[*OUTCOMES]}")
    return listed


def outcomes(verdicts: Sequence[Verdict], key: str) -> Grid:
    """Claim, place in the paper, what it says, outcome, scale: one row per verdict."""
    columns = (Column("claim", 11), Column("where", 18), Column("what the paper says", 46), Column("outcome", 16),
               Column("scale", 9))  # fmt: skip
    rows = tuple((str(v["claim"]), number(v.get("where")), number(v.get("says")), f"`{v['outcome']}`",
                  number(v["scale"])) for v in verdicts)  # fmt: skip
    return Grid(f"{key}-claims", "Claims and outcomes", columns, rows)


def evidence(verdicts: Sequence[Verdict], key: str) -> Grid:
    """The numbers behind each outcome: ours with its interval, the paper's, seeds, rule and margin, reason."""
    columns = (Column("claim", 10), Column("ours [interval]", 19), Column("paper", 23), Column("n", 4, "right"),
               Column("rule, margin", 15), Column("reason", 30))  # fmt: skip
    rows = tuple((str(v["claim"]), interval(v.get("ours"), v.get("interval")), value(v.get("reference"), "; "),
                  value(v.get("n")), rule(v), number(v.get("reason"))) for v in verdicts)  # fmt: skip
    return Grid(f"{key}-evidence", "The numbers behind the outcomes", columns, rows)


def value(item: Any, between: str = ", ") -> str:
    """One figure or several: integers without decimals, labelled ones as ``label: figure``, a true minus sign."""
    if isinstance(item, Mapping):
        printed = f"{round(item['mean'], 2):g}".replace("-", "−")  # no zeros that the paper did not print
        return f"{item['label']}: {printed}"
    if isinstance(item, list | tuple):
        return between.join(value(part) for part in item) or "–"
    return item if isinstance(item, str) else (str(item) if isinstance(item, int) else number(item)).replace("-", "−")


def interval(ours: Any, bounds: Any) -> str:
    """``0.12 [−0.05, 0.29]``; of several tests the interval belongs to the one that decides."""
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        return value(ours)
    low, high = ("∞" if b is None else value(float(b)) for b in bounds)
    several = isinstance(ours, list | tuple) and len(ours) > 1
    return f"{value(ours)}{'; decisive test' if several else ''} [{low}, {high}]"


def rule(verdict: Verdict) -> str:
    margin = verdict.get("margin")
    return f"{verdict.get('rule') or '–'}" + (f", {value(margin)}" if margin not in (None, "") else "")


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Every verdict in full, run ids included."""
    return json.dumps([dict(v) for v in verdicts], indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def count(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many verdicts have each outcome, in the order of OUTCOMES."""
    listed = [v["outcome"] for v in verdicts]
    return {name: listed.count(name) for name in OUTCOMES}


def overview(entries: Sequence[tuple[str, str, int, Sequence[Verdict]]]) -> Grid:
    """Papers × outcomes. ``entries`` are (paper, scale, runs, verdicts)."""
    columns = (Column("paper", 19), Column("scale", 9), Column("runs", 7, "right"),
               *(Column(name, len(name) + 2, "right") for name in OUTCOMES))  # fmt: skip
    rows = tuple((paper, scale, str(runs), *map(str, count(verdicts).values()))
                 for paper, scale, runs, verdicts in entries)  # fmt: skip
    return Grid("status", "Claims by outcome", columns, rows)
