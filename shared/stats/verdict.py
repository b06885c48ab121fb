"""From rows to verdicts: does a claim hold here, at which scale, with how many seeds?

Outcomes, from what the rules found (every elementary test must hold):

| found | strength ``full`` | strength ``direction`` |
|---|---|---|
| all hold | reproduced | reproduced (the margin declared for that preset is itself one of direction or shape) |
| one fails, its sign not established | not-reproduced | not-reproduced |
| one fails, all that do with their sign established | not-reproduced | as if these were open |
| else, every test that does not hold has its sign established | direction-only | direction-only |
| else | inconclusive | inconclusive |

A sign is established when the lower bound of a difference lies above 0. Equivalence, overlap, distances and "not worse
than" have no sign: where they hold they do not stand in the way of direction-only, where one is open the claim is
inconclusive, where one fails it is not-reproduced. Steps from chance level can only refute (``rules.monotone``).
A run that diverged stands at chance level, and likeness of arms that all stand there is inconclusive; where what is
judged has no such level, what would hold is inconclusive.
``within`` (a printed number) is only accepted for strength ``full``, hence a reduced run never refutes one. Fewer
seeds than the claim's ``min_seeds`` are inconclusive whatever they show, and so is what holds while a claim that it
``requires`` does not. ``smoke`` is always inconclusive: it shows
that the plumbing works.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import pandas as pd

from shared.paper import Paper
from shared.spec import Preset
from shared.stats import rules
from shared.stats.claims import Claim, ClaimError, Strength, load_claims
from shared.stats.intervals import StatsError, places
from shared.stats.judge import Judged, Scale, judge
from shared.stats.notes import lost, processors, revisions
from shared.stats.posthoc import POST_HOC, posthoc
from shared.stats.reference import references
from shared.stats.rules import ALPHA, Result
from shared.stats.samples import Elementary, MissingRuns, Runs, expand

KEYS = (
    "paper", "claim", "where", "own", "says", "outcome", "scale", "n", "metric", "ours", "interval", "reference",
    "rule", "margin", "runs", "reason", "note",
)  # fmt: skip


def verdicts(
    paper: Paper, rows: pd.DataFrame, history: pd.DataFrame, presets: Sequence[Preset] = ("paper", "reduced")
) -> list[dict[str, Any]]:
    """One JSON-ready dictionary with the keys KEYS for each claim, in the order of ``claims.toml``.

    ``rows``: one row a run; ``history``: one row an evaluation. The scale that speaks is the first of ``presets``
    that has ``min_seeds`` seeds of every arm, else the first that has every arm at all.
    ``metric``: the columns of the rows or the history that the tests read. ``ours`` is the estimate of the one
    elementary test, or of several a list of ``{"label", "value", "interval", "found"}``, the last in words;
    ``interval`` is that of the test that decides: the 90 % one, or for a refutation among several tests the wider one
    that refutes (its level stands in the reason). ``reference``: one entry or a list, see ``references``; of the tests
    that may speak at the scale judged. ``note``: ``reason`` without the numbers that stand in ``ours``. Raises
    ClaimError for a bad claim.
    """
    tables = {p: Runs(paper, p, rows, history) for p in presets}
    claims = {claim.id: claim for claim in load_claims(paper)}
    found: dict[str, dict[str, Any]] = {}
    for name in TopologicalSorter({c.id: c.requires for c in claims.values()}).static_order():
        premises = [found[r] for r in claims[name].requires]
        found[name] = _premised(_verdict(paper, claims[name], tables), premises)
    return [found[name] for name in claims]


def _premised(verdict: dict[str, Any], premises: list[dict[str, Any]]) -> dict[str, Any]:
    """A verdict that speaks for a claim falls silent as long as one that it requires is not reproduced there."""
    lacking = [f"{p['claim']} ({p['outcome']})" for p in premises if p["outcome"] != "reproduced"]
    held = [p for p in premises if p["outcome"] == "reproduced" and p["rule"] != "exact"]
    lacking += [f"{p['claim']} (reproduced at {p['scale']} scale only)" for p in held if p["scale"] != verdict["scale"]]
    if not lacking or verdict["outcome"] not in ("reproduced", "direction-only"):
        return verdict
    lead = f"{verdict['outcome']} by its own rule, but what it builds on is not established: {', '.join(lacking)}; "
    texts = {key: _after_mark(verdict[key], lead) for key in ("reason", "note")}
    return verdict | texts | {"outcome": "inconclusive"}


def _after_mark(reason: str, lead: str) -> str:
    mark = f"{POST_HOC}: "
    return f"{mark}{lead}{reason.removeprefix(mark)}" if reason.startswith(mark) else lead + reason


def outcome_of(result: Result, strength: Strength) -> str:
    """The table in the module's docstring."""
    short = [leaf for leaf in result.leaves if leaf.finding != "holds"]
    if not short:
        return "reproduced"
    failed = [leaf for leaf in short if leaf.finding == "fails"]
    if failed and (strength == "full" or not all(leaf.direction is True for leaf in failed)):
        return "not-reproduced"
    return "direction-only" if all(leaf.direction is True for leaf in short) else "inconclusive"


def _verdict(paper: Paper, claim: Claim, tables: dict[Preset, Runs]) -> dict[str, Any]:
    base = {
        "paper": paper.key, "claim": claim.id, "where": claim.where, "own": claim.own, "says": claim.says,
        "scale": None, "n": 0, "metric": None, "ours": None, "interval": None,
        "reference": _one_or_many(references(paper, claim)),
        "rule": " + ".join(dict.fromkeys(t.rule for t in claim.test)) or None, "margin": None, "runs": [],
    }  # fmt: skip
    if claim.not_run:
        near = claim.not_run.command
        reason = claim.not_run.reason + (f"; nearest command: {near}" if near else "")
        return _record(base, outcome="not-run", reason=reason)
    if claim.exact:
        return _exact(paper, claim, base)
    judged: list[Judged] = []
    why: dict[Preset, str] = {}
    unfit: dict[Preset, str] = {}
    for preset, runs in tables.items():
        try:
            judged.append(judge(paper, claim, runs))
        except MissingRuns as error:
            why[preset] = str(error)
        except StatsError as error:  # such as a noise scale of 0 in a law of powers
            unfit[preset] = f"there are runs, but the rule cannot be applied to their values: {error}."
    if unfit and not judged:
        preset, reason = next(iter(unfit.items()))
        return _record(base, outcome="inconclusive", scale=preset, reason=reason)
    if not judged:
        return _record(base, outcome="not-run", reason=_not_run(paper, claim, why))
    best = next((j for j in judged if j.result.n >= claim.min_seeds), judged[0])
    return _speak(paper, claim, best, base)


def _speak(paper: Paper, claim: Claim, judged: Judged, base: dict[str, Any]) -> dict[str, Any]:
    r, preset, used = judged.result, judged.preset, judged.used
    acts_as: Scale = "reduced" if preset == "smoke" else preset
    enough = r.n >= claim.min_seeds
    if preset == "smoke":
        outcome, lead = "inconclusive", "smoke shows that the plumbing works and nothing else: "
    elif claim.once:
        outcome, lead = "inconclusive", "chosen once and repeated by every run, so n is 1 and has no spread: "
    elif not enough:
        outcome, lead = "inconclusive", f"{r.n} of the {claim.min_seeds} seeds that the claim asks for: "
    else:
        outcome = outcome_of(r, claim.presets[acts_as])
        lead = "the sign is established, the size is not: " if outcome == "direction-only" else ""
        if judged.without and outcome in ("reproduced", "direction-only"):
            outcome, lead = "inconclusive", f"{outcome} by the runs that have a value: "
    rest = ""
    undecided = outcome in ("inconclusive", "direction-only") and (r.finding == "inconclusive" or not enough)
    if undecided and preset != "smoke" and not claim.once:
        rest += _more(r, claim.min_seeds)
    rest += "".join(f"; {note}" for note in (*judged.notes, *lost(used, judged.without), *processors(used)))
    if preset != "smoke":
        revs = [*revisions(used), *revisions(judged.behind)]
        past = posthoc(paper.folder / "claims.toml", claim.id, revs)
        if (claim.late and not paper.unseen) or past.posthoc:
            lead = f"{POST_HOC}: {lead}"
        elif past.posthoc is None:
            rest += f"; cannot tell whether the claim precedes its runs ({past.note})"
    kept = [t for t in claim.test if t.speaks_at(acts_as)]
    told, margins = zip(*(t.words_at(acts_as) for t in kept), strict=True)
    ours = [{"label": x.label, "value": _round(x.estimate), "interval": _bounds(x), "found": x.reason}
            for x in r.leaves]  # fmt: skip
    metrics = dict.fromkeys(m for t in kept if (m := t.metric or claim.metric))
    return _record(
        base, outcome=outcome, scale=preset, n=1 if claim.once else r.n, metric=list(metrics),
        ours=ours if len(ours) > 1 else ours[0]["value"], interval=None if claim.once else _bounds(r),
        reference=_one_or_many(references(paper, claim, acts_as)), rule=" + ".join(dict.fromkeys(told)),
        margin=_one_or_many(list(dict.fromkeys(margins))), runs=sorted(map(str, used["run_id"])),
        reason=f"{lead}{_finding(r)}{rest}.", note=f"{lead}{_place(r) or f'{r.label}: {r.reason}'}{rest}.",
    )  # fmt: skip


def _exact(paper: Paper, claim: Claim, base: dict[str, Any]) -> dict[str, Any]:
    cases: list[tuple[str, bool]] = []
    for test in claim.test:
        function = getattr(paper.dotted("checks"), test.check or "", None)
        if function is None:
            raise ClaimError(f"claim {claim.id}: replications/{paper.key}/checks.py has no function {test.check}")
        try:
            cases += [(str(name), bool(ok)) for name, ok in function()]
        except Exception as error:  # a check that breaks is a case that does not hold, not the end of the report
            cases.append((f"{test.check} raised {type(error).__name__}: {error}", False))
    found = rules.exact(cases)
    outcome = {"holds": "reproduced", "fails": "not-reproduced", "inconclusive": "inconclusive"}[found.finding]
    return _record(base, outcome=outcome, scale="paper", n=len(cases), ours=found.estimate, reason=f"{found.reason}.")


def _finding(r: Result) -> str:
    """The part that decides, with its numbers, and its place among the others."""
    if not math.isfinite(r.estimate):
        return f"{r.label}: {r.reason}"
    digits = places(r.interval, r.estimate)
    text = f"{r.label}: {_signed(r.estimate, digits)}"
    if r.interval is not None:
        text += f" [{_signed(r.interval[0], digits)}, {_signed(r.interval[1], digits)}]"
    place = _place(r, named=False)
    return f"{text}, {r.reason}" + (f" ({place})" if place else "")


def _place(r: Result, named: bool = True) -> str:
    """Where the part that decides stands among several, by its name unless that was said; nothing where it is alone."""
    tests, open_ = len(r.leaves), [x.label for x in r.leaves if x.finding == "inconclusive"]
    if tests == 1:
        return ""
    name = f": {r.label}" if named else ""
    place = {"holds": f"the closest call of {tests} tests{name}", "fails": f"the worst of {tests} tests{name}"}.get(
        r.finding
    )
    if place is None and len(open_) == 1:
        place = f"in doubt: {r.label}, one of {tests} tests"
    elif place is None:
        place = f"{len(open_)} of {tests} tests in doubt, worst: {r.label}"
    if r.finding == "fails" and r.level > 1 - 2 * ALPHA:
        place += f"; the interval is the {100 * r.level:.3g} % one, at which one of several tests is refuted"
    return place


def _more(r: Result, min_seeds: int) -> str:
    if r.finding == "inconclusive" and r.needed is None and r.interval is not None:
        return f"; not even {rules.MAX_SEEDS} seeds an arm would decide it at this estimate and spread{_floor(r)}"
    more = max(r.needed or 0, min_seeds) - r.n
    if more <= 0:
        return ""
    if r.interval is None:
        return f"; {more} more an arm are needed to have a spread and to speak"
    verb = {"holds": "show it", "fails": "refute it", None: "decide it"}[r.leans]
    return f"; {more} more {'seed' if more == 1 else 'seeds'} an arm would {verb} if estimate and spread stay"


def _floor(r: Result) -> str:
    """Why more seeds are of no use, where one part of the error does not shrink with them."""
    if r.interval is not None and math.isclose(*r.interval, rel_tol=1e-9):
        return ", which is the same in every run"
    return ": the part of its error that does not shrink with seeds, the paper's own or a grid's, is as large" \
        if r.floored else ""  # fmt: skip


def _not_run(paper: Paper, claim: Claim, why: dict[Preset, str]) -> str:
    open_to = [p for p in why if p in claim.presets or (p == "smoke" and "reduced" in claim.presets)]
    preset = open_to[-1] if open_to else next(iter(claim.presets))
    missing = why.get(preset) or f"the claim speaks for {' and '.join(claim.presets)} only"
    if preset == "smoke":
        command = f"make smoke-{paper.key}"
    else:
        needed = {a for case in _cases(paper, claim, preset) for a in case.needs}
        command = " && ".join(paper.commands_for(preset, needed))
    return f"{missing}; to run: {command}"


def _cases(paper: Paper, claim: Claim, preset: Preset) -> list[Elementary]:
    tests = [t for t in claim.test if not t.only or preset in t.only]
    return [case for t in tests if t.rule != "exact" for case in expand(t, paper.roles(preset))]


def _record(base: dict[str, Any], **found: Any) -> dict[str, Any]:
    whole = {"note": found["reason"], **base, **found}
    return {key: whole[key] for key in KEYS}


def _one_or_many(values: list[Any]) -> Any:
    return None if not values else values[0] if len(values) == 1 else values


def _bounds(r: Result) -> list[float | int | None] | None:
    return None if r.interval is None else [_round(v) for v in r.interval]


def _round(value: float) -> float | int | None:
    """Six digits: enough to read, few enough to be the same on every machine."""
    if isinstance(value, int | np.integer):
        return int(value)
    return round(float(value), 6) if math.isfinite(value) else None


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
