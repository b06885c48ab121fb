"""Verdicts as tables: what holds at which scale, and the numbers behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.report.data import ReportError
from shared.report.grid import Column, Grid, number
from shared.report.units import unit
from shared.stats.intervals import PLACES, places
from shared.stats.posthoc import POST_HOC

OUTCOMES_TITLE, NUMBERS_TITLE = "Claims and outcomes", "The numbers behind the outcomes"
OUTCOMES: Mapping[str, str] = {
    "reproduced": "Every test written down for the claim at this scale holds. At reduced scale these mostly ask for a "
    "direction or a shape and not for a size; rule and margin say which.",
    "direction-only": "The sign is established, the size is not. At paper scale this is said only where the size is "
    "open: where it is refuted, so is the claim, whatever its sign.",
    "not-reproduced": "The rule fails: the interval lies wholly on the other side of the margin. Of k tests each is "
    "held to 5 %/k for failing, so that chance refutes the claim no more often than with one.",
    "inconclusive": "The interval straddles the margin, or there are too few seeds; of k tests one may miss its margin "
    "and yet not fail at 5 %/k. The reason says what would decide.",
    "not-run": "No finished runs at a scale that may speak about the claim.",
}
SCALES: Mapping[str, str] = {
    "paper": "As published: only here can a printed number be refuted. (Exact checks of equations, printed numbers and "
    "errata train nothing: they have no scale and are counted apart.)",
    "reduced": "Real but smaller data and net, on two CPU cores. Speaks of directions, orders and exponents.",
    "smoke": "Seconds of training on toy data. Shows that the plumbing works and nothing else.",
}
RULES: Mapping[str, str] = {
    "greater": "a − b (or a alone) lies above the margin; with a margin below 0, not below it. An arm may be weighted, "
    "so that a difference of differences is one a − b.",
    "less": "a − b (or a alone) lies below the margin: in `claims.toml` `greater` with weights of −1.",
    "equivalent": "a − b lies within ± the margin: shown to be small, which is more than not shown to be large.",
    "within": "Our mean lies within ± the margin of the printed number, whose own spread counts where it is printed.",
    "monotone": "Every step of a sequence of arms rises by more than the margin; a step that starts at chance can "
    "refute that by a fall and is else left out.",
    "scales_as": "The exponent p of y ∝ xᵖ lies within ± the margin of the one that is claimed.",
    "fits_better": "One model (say log t) fits better than another (√t): their difference in AICc, seed by seed, lies "
    "above the margin.",
    "curves_overlap": "The mean absolute distance of two curves over a stretch of training is below the margin.",
    "exact": "Every named case of a computation holds. Nothing is trained.",
}
"""When each rule of ``shared.stats.rules`` holds. It holds, or fails, where the whole interval is on one side."""
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


def is_exact(verdict: Verdict) -> bool:
    """Whether it is of an equation, a printed number or an erratum: nothing was trained, so nothing was reproduced."""
    return verdict.get("rule") == "exact"


def is_late(verdict: Verdict) -> bool:
    """Whether its rule was written or edited after runs that it judges."""
    return str(verdict.get("reason")).startswith(POST_HOC)


def said(verdict: Verdict) -> str:
    """The outcome for print; of an exact check whether it holds."""
    if not is_exact(verdict):
        return f"`{verdict['outcome']}`"
    return "exact check, holds" if verdict["outcome"] == "reproduced" else "exact check, fails"


def outcomes(verdicts: Sequence[Verdict], key: str) -> Grid:
    """Claim, place in the paper, what it says, outcome, scale: one row per verdict."""
    columns = (Column("claim", 11), Column("where", 24), Column("claim in our words", 41), Column("outcome", 16),
               Column("scale", 8))  # fmt: skip
    rows = tuple((str(v["claim"]), number(v.get("where")), number(v.get("says")),
                  "\n".join([said(v), *[POST_HOC] * is_late(v)]), "–" if is_exact(v) else number(v["scale"]))
                 for v in verdicts)  # fmt: skip
    return Grid(f"{key}-claims", OUTCOMES_TITLE, columns, rows)


def evidence(verdicts: Sequence[Verdict], key: str) -> Grid:
    """The numbers behind each outcome that runs led to: ours with its interval, the paper's, seeds, rule, reason.

    An exact check stands here only if it fails, with the cases that do.

    Several tests of a claim, or several numbers of the paper, stand one below the other; a test's own line says what it
    asked and found.
    """
    columns = (Column("claim", 13), Column("ours [interval]", 27), Column("paper", 18), Column("n", 4, "right"),
               Column("rule, margin, of what", 15), Column("reason", 23))  # fmt: skip
    rows = tuple((f"{v['claim']}\n`{v['outcome']}`\n{number(v['scale'])}", ours(v), printed(v.get("reference")),
                  value(v.get("n")), rule(v), number(v.get("note") or v.get("reason")))
                 for v in verdicts if v["outcome"] != "not-run"
                 and not (is_exact(v) and v["outcome"] == "reproduced"))  # fmt: skip
    return Grid(f"{key}-evidence", NUMBERS_TITLE, columns, rows)


def not_run(verdicts: Sequence[Verdict], key: str) -> Grid:
    """Claims without an outcome, those of one reason and one command together."""
    together: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        if verdict["outcome"] == "not-run":
            why, mark, command = re.split("; (to run|nearest command): |$", number(verdict.get("reason")), maxsplit=1)
            if why.startswith("no run of "):
                why = "an arm that they need has no finished run"
            lead = "nearest, does not decide: " if mark == "nearest command" else ""
            told = f"{lead}`{command}`" if command else "nothing here decides it"
            together.setdefault((why, told), []).append(str(verdict["claim"]))
    columns = (Column("claims", 24), Column("why", 30), Column("to run", 46))
    rows = tuple((", ".join(ids), why, command) for (why, command), ids in together.items())
    return Grid(f"{key}-not-run", "Claims that were not run", columns, rows)


def value(item: Any, digits: int = PLACES) -> str:
    """One figure or several: integers without decimals, a true minus sign."""
    if isinstance(item, list | tuple):
        return ", ".join(value(part) for part in item) or "–"
    if isinstance(item, str):
        return item
    return (str(item) if isinstance(item, int) else number(item, digits)).replace("-", "−")


def ours(verdict: Verdict) -> str:
    """``0.12 [−0.05, 0.29]`` of the only test, else ``label: value [interval], found`` for each, one a line.

    Tests with the same numbers share a line.
    """
    found = verdict.get("ours")
    if not isinstance(found, list | tuple):
        return interval(found, verdict.get("interval"))
    tests = [test if isinstance(test, Mapping) else {"value": test} for test in found]
    alike: dict[str, list[str]] = {}
    for t in tests:
        said = interval(t.get("value"), t.get("interval")), t.get("found")
        alike.setdefault(", ".join(filter(None, said)), []).append(str(t.get("label") or ""))
    lines = [_labelled(", ".join(filter(None, labels)), text) for text, labels in alike.items()]
    return "\n".join(lines) or "–"


def interval(estimate: Any, bounds: Any) -> str:
    """``0.12 [−0.05, 0.29]``; the estimate alone where there is no interval, ∞ for an open end.

    An interval without width is that of a number that is the same in all runs, and says so.
    """
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        return value(estimate, _digits(None, estimate))
    if bounds[0] is not None and bounds[0] == bounds[1]:
        return f"{value(estimate, _digits(None, estimate))} (the same in all runs)"
    digits = PLACES if None in bounds else _digits((float(bounds[0]), float(bounds[1])), estimate)
    low, high = ("∞" if b is None else value(float(b), digits) for b in bounds)
    return f"{value(estimate, digits)} [{low}, {high}]"


def _digits(bounds: tuple[float, float] | None, estimate: Any) -> int:
    return places(bounds, estimate) if isinstance(estimate, float) else PLACES


def printed(reference: Any) -> str:
    """The paper's numbers with their tags, ``kn-8k − kn-256: 0.14 (D)``, one a line; a dash for none."""
    entries = reference if isinstance(reference, list | tuple) else [reference]
    return "\n".join(_of_paper(entry) for entry in entries if entry is not None) or "–"


def _of_paper(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return value(entry)
    mean, sd, digits = entry.get("mean"), entry.get("sd"), entry.get("digits")
    text = "–" if mean is None else as_printed(mean, digits)
    if mean is not None and sd is not None:
        text += f" ± {as_printed(sd, digits)}"
    return _labelled(entry.get("label"), text + (f" ({entry['tag']})" if entry.get("tag") else ""))


def as_printed(figure: float, digits: int | None) -> str:
    """With the source's places; where they are unknown, up to three, without zeros that the paper did not print."""
    text = f"{figure:.3f}".rstrip("0").rstrip(".") if digits is None else f"{figure:.{digits}f}"
    return text.replace("-", "−")


def _labelled(label: Any, text: str) -> str:
    return f"{label}: {text}" if label else text


def rule(verdict: Verdict) -> str:
    """``greater, 0.50``, and below it the columns that it reads, each with its unit."""
    margin = verdict.get("margin")
    text = f"{verdict.get('rule') or '–'}" + (f", {value(margin)}" if margin not in (None, "") else "")
    columns = (", ".join(filter(None, (f"`{name}`", unit(name)))) for name in verdict.get("metric") or ())
    return "\n".join([text, *columns])


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Every verdict in full, run ids included."""
    return json.dumps([dict(v) for v in verdicts], indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def count(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many verdicts have each outcome, in the order of OUTCOMES; exact checks apart."""
    listed = [v["outcome"] for v in verdicts if not is_exact(v)]
    return {name: listed.count(name) for name in OUTCOMES}


def overview(entries: Sequence[tuple[str, str, int, Sequence[Verdict]]]) -> Grid:
    """Papers × outcomes, and how many exact checks hold. ``entries`` are (paper, scale, runs, verdicts).

    ``5 + 3``: five claims of the paper and three of ours. The column after the outcomes says how many of them are
    post hoc.
    """
    columns = (Column("paper", 19), Column("scale", 11), Column("runs", 6, "right"),
               *(Column(name, max(10, len(name) + 1), "right") for name in OUTCOMES),
               Column(POST_HOC, 7, "right"), Column("exact checks", 14, "right"))  # fmt: skip
    rows = tuple((paper, scale, str(runs), *_counts(verdicts), str(sum(map(is_late, verdicts))), _exact(verdicts))
                 for paper, scale, runs, verdicts in entries)  # fmt: skip
    return Grid("status", "Claims by outcome", columns, rows)


def _counts(verdicts: Sequence[Verdict]) -> list[str]:
    theirs, mine = (count(v for v in verdicts if v["own"] == own) for own in (False, True))
    return [f"{n} + {mine[name]}" if mine[name] else str(n) for name, n in theirs.items()]


def _exact(verdicts: Sequence[Verdict]) -> str:
    checks = [v["outcome"] == "reproduced" for v in verdicts if is_exact(v)]
    return f"{sum(checks)} of {len(checks)} hold" if checks else "–"
