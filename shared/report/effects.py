"""What each of several things contributes to a whole: contrasts of arms in points, and as shares of the whole."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from shared.report.data import Source
from shared.report.declare import Effect, Effects
from shared.report.grid import Column, Grid
from shared.stats.claims import Term, Test
from shared.stats.intervals import Estimate, StatsError
from shared.stats.samples import Elementary, MissingRuns, Runs

SHARE = "{:.0f} %"


def grid(table: Effects, source: Source) -> Grid:
    """A row for each effect whose arms are declared here, with the 90 % interval that the claims' rules use.

    The last columns are the effect over the first row's: over ours, and at paper scale over the one that is printed; a
    reduced run speaks of no printed number. No rows as long as nothing has run.
    """
    runs = Runs(source.paper, source.preset, source.rows, source.history)
    declared = [e for e in table.rows if all(_arm(name, source) in source.specs for _, name, _ in e.terms)]
    found = {e.label: _estimate(e, source, runs) for e in declared}
    if not any(found.values()):
        declared = []
    first = table.rows[0]
    whole, printed = found.get(first.label), first.printed if source.preset == "paper" else None
    texts, numbers = [], []
    for e in declared:
        mine = found[e.label]
        ours = _share(mine.value, whole.value) if mine and whole else None
        theirs = _share(mine.value, printed) if mine and printed else None
        stated = "–" if e.printed is None else f"{e.printed:.2f}".replace("-", "−")
        texts.append((e.label, _points(mine), _text(ours), stated, *([_text(theirs)] if printed else [])))
        numbers.append({"effect": e.label, **_flat(mine), "paper": e.printed, "share_here": ours,
                        "share_of_printed": theirs})  # fmt: skip
    columns = (Column("effect", 44), Column(f"{table.unit} [90 % interval] (n)", 30, "right"),
               Column("of ours", 9, "right"), Column("paper", 8, "right"),
               *([Column("of the paper's", 12, "right")] if printed else []))  # fmt: skip
    title = f"{table.where}: {table.title} ({source.preset} scale)"
    return Grid(f"{source.paper.key}-{source.preset}-{table.key}", title, columns, tuple(texts), pd.DataFrame(numbers))


def _arm(template: str, source: Source) -> str:
    return source.paper.arms(template, source.preset)[0]


def _estimate(effect: Effect, source: Source, runs: Runs) -> Estimate | None:
    """None without runs of every arm."""
    terms = tuple(Term(arm=_arm(name, source), weight=w, metric=metric) for w, name, metric in effect.terms)
    try:
        return runs.contrast(Elementary(Test(rule="greater", a=terms), terms), "")
    except (MissingRuns, StatsError):  # not run, or all diverged without a value
        return None


def _share(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole else None


def _text(share: float | None) -> str:
    return "–" if share is None else SHARE.format(share).replace("-", "−")


def _points(e: Estimate | None) -> str:
    if e is None:
        return "not run"
    inside = e.interval()
    text = f"{e.value:+.2f}" + (f" [{inside[0]:+.2f}, {inside[1]:+.2f}]" if inside else "")
    return f"{text} ({e.n})".replace("-", "−")


def _flat(e: Estimate | None) -> dict[str, Any]:
    low, high = (e.interval() if e else None) or (math.nan, math.nan)
    return {"ours": e.value if e else math.nan, "low": low, "high": high, "ours_n": e.n if e else math.nan}
