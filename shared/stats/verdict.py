"""From rows to verdicts: does a claim hold here, at which scale, with how many seeds?

Outcomes, from what the rules found (every elementary test must hold):

| found | strength ``full`` | strength ``direction`` |
|---|---|---|
| all hold | reproduced | reproduced (the margin declared for that preset is itself one of direction or shape) |
| one fails | not-reproduced | not-reproduced; direction-only if what failed is a size and every sign is established |
| else, every sign established | direction-only | direction-only |
| else | inconclusive | inconclusive |

A sign is established when the lower bound of a difference lies above 0; equivalence and overlap have no sign, so they
neither give nor block it, but at least one test must have one. Some tests holding and none failing is inconclusive.
``within`` (a printed number) is only accepted for strength ``full``, hence a reduced run never refutes one. Fewer
seeds than the claim's ``min_seeds`` are inconclusive whatever they show. ``smoke`` is always inconclusive: it shows
that the plumbing works.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from shared.paper import Paper
from shared.stats import rules
from shared.stats.claims import Claim, ClaimError, Strength, Test, load_claims
from shared.stats.intervals import StatsError
from shared.stats.posthoc import posthoc
from shared.stats.reference import printed_for, references
from shared.stats.rules import ALPHA, Result
from shared.stats.samples import Elementary, MissingRuns, Runs, expand

KEYS = (
    "paper", "claim", "where", "says", "outcome", "scale", "n", "ours", "interval", "reference", "rule", "margin",
    "runs", "reason",
)  # fmt: skip
OUTCOMES = ("reproduced", "direction-only", "not-reproduced", "inconclusive", "not-run")


@dataclass(frozen=True)
class Judged:
    """A claim at one preset."""

    preset: str
    result: Result
    used: pd.DataFrame
    """The rows of every run that took part."""


def verdicts(
    paper: Paper, rows: pd.DataFrame, history: pd.DataFrame, presets: Sequence[str] = ("paper", "reduced")
) -> list[dict[str, Any]]:
    """One JSON-ready dictionary with the keys KEYS for each claim, in the order of ``claims.toml``.

    ``rows``: one row a run; ``history``: one row an evaluation. The scale that speaks is the first of ``presets``
    that has ``min_seeds`` seeds of every arm, else the first that has every arm at all.
    Raises ClaimError for a bad claim.
    """
    tables = {p: Runs(paper, p, rows, history) for p in presets}
    return [_verdict(paper, claim, tables) for claim in load_claims(paper)]


def outcome_of(result: Result, strength: Strength) -> str:
    """The table in the module's docstring."""
    if result.finding == "holds":
        return "reproduced"
    if result.finding == "fails":
        sized = all(leaf.finding != "fails" or leaf.direction for leaf in result.leaves)
        return "direction-only" if strength == "direction" and sized and result.direction else "not-reproduced"
    return "direction-only" if result.direction else "inconclusive"


def judge(paper: Paper, claim: Claim, runs: Runs) -> Judged:
    """Apply a claim's tests to the runs of one preset; MissingRuns when they do not suffice."""
    preset = "reduced" if runs.preset == "smoke" else runs.preset
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
    tests = sum(max(1, len(c.arms) - 1) if c.test.rule == "monotone" else 1 for c in cases)
    found = [_apply(claim, case, runs, case.test.margin_at(preset), ALPHA / tests, tests) for case in cases]
    return Judged(runs.preset, rules.all_of(found), runs.used(needed))


def _apply(claim: Claim, case: Elementary, runs: Runs, margin: float, refute: float, tests: int) -> Result:
    test, metric = case.test, case.test.metric or claim.metric
    if test.rule == "monotone":
        groups = [runs.values(arm, metric).to_numpy() for arm in case.arms]
        found = rules.monotone(groups, margin, ALPHA * (len(groups) - 1) / tests)
        names = [f"{b} − {a}" for a, b in pairwise(case.arms)]
        return rules.all_of([replace(r, label=name) for r, name in zip(found.leaves, names, strict=True)])
    if test.rule == "within":
        printed = printed_for(claim, case)
        if printed is None:
            raise ClaimError(f"claim {claim.id}: within has no printed number for {case.label}; add it to numbers")
        ours = runs.values(case.a[0].arm, metric).to_numpy()
        found = rules.within(
            ours, printed.mean, margin, sd=printed.sd, n=printed.n, digits=printed.digits, refute=refute
        )
    elif test.rule in ("equivalent", "greater"):
        distance = bool(case.a[0].against) and not case.b
        d = runs.contrast(case, metric)
        found = rules.equivalent(d, margin, refute) if test.rule == "equivalent" else rules.greater(
            d, margin, refute, signed=not distance
        )  # fmt: skip
    elif test.rule == "curves_overlap":
        a, b = case.a[0], case.b[0]
        part = runs.distance(a.arm, b.arm, a.metric or metric, b.metric or metric, test.over)
        found = rules.curves_overlap(rules.mean(part.to_numpy()), margin, refute)
    else:
        found = _fit(test, case, runs, metric, margin, refute)
    return replace(found, label=case.label)


def _fit(test: Test, case: Elementary, runs: Runs, metric: str, margin: float, refute: float) -> Result:
    x = [runs.x(arm, test.x) for arm in case.arms]
    columns = [runs.values(arm, metric) for arm in case.arms]
    if test.rule == "scales_as":
        return rules.scales_as(x, [c.to_numpy() for c in columns], test.target, margin, refute)
    together = pd.concat(columns, axis=1, join="inner")
    if together.empty:
        raise MissingRuns(f"{case.label}: the arms share no seed")
    return rules.fits_better(x, together.to_numpy(), *test.models, margin, refute)


def _verdict(paper: Paper, claim: Claim, tables: dict[str, Runs]) -> dict[str, Any]:
    base = {
        "paper": paper.key, "claim": claim.id, "where": claim.where, "says": claim.says, "scale": None, "n": 0,
        "ours": None, "interval": None, "reference": _one_or_many(references(paper, claim)),
        "rule": " + ".join(dict.fromkeys(t.rule for t in claim.test)) or None, "margin": None, "runs": [],
    }  # fmt: skip
    if claim.not_run:
        reason = f"{claim.not_run.reason}; nearest command: {claim.not_run.command}"
        return _record(base, outcome="not-run", reason=reason)
    if claim.exact:
        return _exact(paper, claim, base)
    judged: list[Judged] = []
    why: dict[str, str] = {}
    for preset, runs in tables.items():
        try:
            judged.append(judge(paper, claim, runs))
        except (MissingRuns, StatsError) as error:
            why[preset] = str(error)
    if not judged:
        return _record(base, outcome="not-run", reason=_not_run(paper, claim, why))
    best = next((j for j in judged if j.result.n >= claim.min_seeds), judged[0])
    return _speak(paper, claim, best, base)


def _speak(paper: Paper, claim: Claim, judged: Judged, base: dict[str, Any]) -> dict[str, Any]:
    r, preset, used = judged.result, judged.preset, judged.used
    enough = r.n >= claim.min_seeds
    if preset == "smoke":
        outcome, lead = "inconclusive", "smoke shows that the plumbing works and nothing else: "
    elif not enough:
        outcome, lead = "inconclusive", f"{r.n} of the {claim.min_seeds} seeds that the claim asks for: "
    else:
        outcome = outcome_of(r, claim.presets[preset])
        lead = "the sign is established, the size is not: " if outcome == "direction-only" else ""
    reason = lead + _finding(r)
    undecided = outcome in ("inconclusive", "direction-only") and (r.finding == "inconclusive" or not enough)
    if undecided and preset != "smoke":
        reason += _more(r, claim.min_seeds)
    if diverged := int((used["status"] == "diverged").sum()):
        reason += f"; {diverged} of {len(used)} runs diverged and count at chance level"
    if preset != "smoke":
        past = posthoc(paper.folder, paper.folder / "claims.toml", claim.id, _revisions(used))
        if past.posthoc:
            reason = f"post hoc: {reason}"
        elif past.posthoc is None:
            reason += f"; cannot tell whether the claim precedes its runs ({past.note})"
    kept = [t for t in claim.test if t.speaks_at("reduced" if preset == "smoke" else preset)]
    margins = list(dict.fromkeys(t.margin_at("reduced" if preset == "smoke" else preset) for t in kept))
    return _record(
        base, outcome=outcome, scale=preset, n=r.n, ours=_one_or_many([_round(x.estimate) for x in r.leaves]),
        interval=None if r.interval is None else [_round(v) for v in r.interval],
        rule=" + ".join(dict.fromkeys(t.rule for t in kept)), margin=_one_or_many(margins),
        runs=sorted(map(str, used["run_id"])), reason=reason + ".",
    )  # fmt: skip


def _exact(paper: Paper, claim: Claim, base: dict[str, Any]) -> dict[str, Any]:
    cases: list[tuple[str, bool]] = []
    for test in claim.test:
        function = getattr(paper.dotted("checks"), test.check, None)
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
    text = f"{r.label}: {_signed(r.estimate)}"
    if r.interval is not None:
        text += f" [{_signed(r.interval[0])}, {_signed(r.interval[1])}]"
    others = len(r.leaves)
    place = {"holds": "the closest call", "fails": "the worst", "inconclusive": "the one in doubt"}[r.finding]
    return f"{text}, {r.reason}" + (f" ({place} of {others} tests)" if others > 1 else "")


def _more(r: Result, min_seeds: int) -> str:
    if r.finding == "inconclusive" and r.needed is None and r.interval is not None:
        return f"; not even {rules.MAX_SEEDS} seeds an arm would decide it at this estimate and spread"
    more = max(r.needed or 0, min_seeds) - r.n
    if more <= 0:
        return ""
    if r.interval is None:
        return f"; {more} more an arm are needed to have a spread and to speak"
    return f"; {more} more {'seed' if more == 1 else 'seeds'} an arm would decide it if estimate and spread stay"


def _not_run(paper: Paper, claim: Claim, why: dict[str, str]) -> str:
    open_to = [p for p in why if p in claim.presets or (p == "smoke" and "reduced" in claim.presets)]
    preset = open_to[-1] if open_to else next(iter(claim.presets))
    missing = why.get(preset) or f"the claim speaks for {' and '.join(claim.presets)} only"
    command = f"make smoke-{paper.key}" if preset == "smoke" else f"make replicate-{paper.key} PRESET={preset}"
    return f"{missing}; to run: {command}"


def _revisions(used: pd.DataFrame) -> list[str | None]:
    shas = used.get("provenance.git_sha", pd.Series(dtype=object))
    dirty = used.get("provenance.git_dirty", pd.Series(False, index=used.index))
    marks = ["-dirty" if str(d).lower() in ("true", "1", "1.0") else "" for d in dirty]
    return [f"{s}{m}" for s, m in zip(shas, marks, strict=False) if isinstance(s, str) and s]


def _record(base: dict[str, Any], **found: Any) -> dict[str, Any]:
    whole = {**base, **found}
    return {key: whole[key] for key in KEYS}


def _one_or_many(values: list[Any]) -> Any:
    return None if not values else values[0] if len(values) == 1 else values


def _round(value: float) -> float | int | None:
    """Six digits: enough to read, few enough to be the same on every machine."""
    if isinstance(value, int | np.integer):
        return int(value)
    return round(float(value), 6) if math.isfinite(value) else None


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
