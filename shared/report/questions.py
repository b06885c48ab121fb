"""Questions that several papers answer: their answers side by side, each with what its claims came to here."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources

from pydantic import TypeAdapter, ValidationError

from shared.paper import Paper
from shared.report.claims import Verdict
from shared.report.data import ReportError
from shared.report.grid import Column, Grid
from shared.spec import Frozen

FILE = "questions.toml"


class Answer(Frozen):
    """What one paper says to a question, and its claims that test it."""

    paper: str
    says: str
    claims: tuple[str, ...]


class Question(Frozen):
    """One question and the papers' answers, in the order in which they appeared."""

    key: str
    ask: str
    apart: str
    """How the answers can differ: what the papers held fixed, scaled or left out."""
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
        if unknown := set(answer.claims) - {c["id"] for c in papers[answer.paper].claims()}:
            raise ReportError(f"{package}/{FILE}, {question.key}: {answer.paper} has no claim {sorted(unknown)}")
    return found


def grid(question: Question, names: Mapping[str, str], verdicts: Mapping[str, Iterable[Verdict]]) -> Grid:
    """One row a paper: what it says and what its claims came to, those of one outcome and scale together."""
    columns = Column("paper", 14), Column("its answer", 44), Column("here", 42)
    judged = {(key, v["claim"]): v for key, listed in verdicts.items() for v in listed}
    rows = []
    for answer in question.answers:
        together: dict[str, list[str]] = {}
        for claim in answer.claims:
            verdict = judged.get((answer.paper, claim), {"outcome": "not-run", "scale": None})
            scale = f" at {verdict['scale']} scale" if verdict["scale"] else ""
            together.setdefault(f"`{verdict['outcome']}`{scale}", []).append(claim)
        here = "\n".join(f"{outcome}: {', '.join(claims)}" for outcome, claims in together.items())
        rows.append((names[answer.paper], answer.says, here))
    return Grid(f"question-{question.key}", question.ask, columns, tuple(rows))
