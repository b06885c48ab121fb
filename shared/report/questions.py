"""Questions that several papers answer: their answers side by side, each with what its claims came to here."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources

from pydantic import TypeAdapter, ValidationError

from shared.paper import Paper
from shared.report.claims import Verdict, is_exact, is_late, said
from shared.report.data import ReportError
from shared.report.grid import Column, Grid
from shared.spec import Frozen
from shared.stats.posthoc import POST_HOC

FILE = "questions.toml"


class Answer(Frozen):
    """What one paper says to a question, and its claims that test it."""

    paper: str
    says: str
    claims: tuple[str, ...]
    against: tuple[str, ...] = ()
    """Those that speak against the answer where they hold."""


class Question(Frozen):
    """One question and the papers' answers."""

    key: str
    ask: str
    apart: str
    """How the answers can differ: what the papers held fixed, scaled or left out."""
    here: str
    """What the runs amount to, in words; claims in brackets."""
    answers: tuple[Answer, ...]


def load(package: str, papers: Mapping[str, Paper]) -> tuple[Question, ...]:
    """The questions of ``<package>/questions.toml``; none where there is no such file.

    Raises ReportError for a file of another form, for an unknown paper and for a claim that the paper does not have.
    """
    file = resources.files(package) / FILE
    if not file.is_file():
        return ()
    try:
        listed = tomllib.loads(file.read_text(encoding="utf-8")).get("question", [])
        found = TypeAdapter(tuple[Question, ...]).validate_json(json.dumps(listed))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise ReportError(f"{package}/{FILE}: {error}") from None
    for question, answer in ((q, a) for q in found for a in q.answers):
        if answer.paper not in papers:
            raise ReportError(f"{package}/{FILE}, {question.key}: there is no paper {answer.paper!r}")
        if unknown := {*answer.claims, *answer.against} - {c["id"] for c in papers[answer.paper].claims()}:
            raise ReportError(f"{package}/{FILE}, {question.key}: {answer.paper} has no claim {sorted(unknown)}")
    return found


def grid(question: Question, names: Mapping[str, str], verdicts: Mapping[str, Iterable[Verdict]]) -> Grid:
    """One row a paper: what it says and what its claims came to, those of one outcome and scale together."""
    columns = Column("paper", 14), Column("its answer", 44), Column("here", 42)
    judged = {(key, v["claim"]): v for key, listed in verdicts.items() for v in listed}
    rows = []
    for answer in question.answers:
        found = [_together(answer.paper, claims, judged) for claims in (answer.claims, answer.against)]
        lines = [*found[0], *(["speaking against it where they hold:", *found[1]] if found[1] else [])]
        rows.append((names[answer.paper], answer.says, "\n".join(lines)))
    return Grid(f"question-{question.key}", question.ask, columns, tuple(rows))


def _together(paper: str, claims: Iterable[str], judged: Mapping[tuple[str, str], Verdict]) -> list[str]:
    found: dict[str, list[str]] = {}
    for claim in claims:
        verdict = judged.get((paper, claim), {"outcome": "not-run", "scale": None})
        at = "" if is_exact(verdict) or not verdict["scale"] else f" at {verdict['scale']} scale"
        late = f" ({POST_HOC})" if is_late(verdict) else ""
        found.setdefault(f"{said(verdict)}{at}", []).append(claim + late)
    return [f"{outcome}: {', '.join(ids)}" for outcome, ids in found.items()]
