"""Papers set against each other: every answer stands beside what its claims came to, and stale names are refused."""

from __future__ import annotations

import pytest

from replications import PAPERS
from shared.report import questions
from shared.report.build import build_report
from shared.report.data import ReportError

ASKED = questions.Question(
    key="gap", ask="Is there a gap?", apart="They scale the rate differently.", here="Yes.",
    answers=(questions.Answer(paper="keskar", says="Yes.", claims=("K1-F1", "K1-F2", "K2-F1")),
             questions.Answer(paper="goyal", says="No.", claims=("G1",))),
)  # fmt: skip


def verdict(claim, outcome, scale):
    return {"claim": claim, "outcome": outcome, "scale": scale}


def test_claims_of_one_outcome_and_scale_stand_together_and_a_missing_one_was_not_run():
    verdicts = {"keskar": [verdict("K1-F1", "reproduced", "paper"), verdict("K2-F1", "reproduced", "paper")],
                "goyal": [verdict("G1", "inconclusive", "reduced")]}  # fmt: skip
    table = questions.grid(ASKED, {"keskar": "Keskar", "goyal": "Goyal"}, verdicts)
    assert table.rows == (
        ("Keskar", "Yes.", "`reproduced` at paper scale: K1-F1, K2-F1\n`not-run`: K1-F2"),
        ("Goyal", "No.", "`inconclusive` at reduced scale: G1"),
    )


def test_what_speaks_against_an_answer_an_exact_check_and_a_late_claim_are_told_apart():
    answer = questions.Answer(paper="keskar", says="Yes.", claims=("K1-F1", "K2-F1"), against=("K1-F2",))
    asked = ASKED.model_copy(update={"answers": (answer,)})
    verdicts = [verdict("K1-F1", "reproduced", "paper") | {"rule": "exact"},
                verdict("K2-F1", "reproduced", "paper") | {"reason": "post hoc: …"},
                verdict("K1-F2", "not-reproduced", "reduced")]  # fmt: skip
    ((_, _, here),) = questions.grid(asked, {"keskar": "Keskar"}, {"keskar": verdicts}).rows
    assert here.splitlines() == [
        "exact check, holds: K1-F1",
        "`reproduced` at paper scale: K2-F1 (post hoc)",
        "speaking against it where they hold:",
        "`not-reproduced` at reduced scale: K1-F2",
    ]


def test_the_report_asks_after_the_papers(tmp_path):
    papers = [PAPERS["keskar"], PAPERS["goyal"]]
    text = build_report(papers, {}, {}, tmp_path, [ASKED]).markdown.read_text()
    across = text.split("## Across the papers")[1]
    assert across.index("Is there a gap?") < across.index("They scale the rate differently.")
    assert across.index("They scale the rate differently.") < across.index("**Here.** Yes.")


def test_the_committed_questions_name_papers_and_claims_that_exist_and_set_papers_against_each_other():
    found = questions.load("replications", PAPERS)
    assert len({q.key for q in found}) == len(found) > 0
    assert {a.paper for q in found for a in q.answers} == set(PAPERS), "every paper has its say"


@pytest.fixture
def package(tmp_path, monkeypatch):
    def made(text: str | None) -> str:
        folder = tmp_path / f"suite_{tmp_path.name}"
        folder.mkdir()
        (folder / "__init__.py").touch()
        if text is not None:
            (folder / questions.FILE).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return folder.name

    return made


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            '[[question]]\nkey="a"\nask="?"\napart="."\nhere="."\nanswers=[{paper="nobody", says=".", claims=[]}]',
            "nobody",
        ),
        (
            '[[question]]\nkey="a"\nask="?"\napart="."\nhere="."\nanswers=[{paper="goyal", says=".", claims=["G99"]}]',
            "G99",
        ),
        ('[[question]]\nkey="a"\nask="?"\napart="."', "here"),
        ("[[question", "question"),
    ],
)
def test_a_question_about_nothing_is_refused_by_name(package, text, named):
    with pytest.raises(ReportError, match=named):
        questions.load(package(text), PAPERS)


def test_a_suite_without_questions_asks_none(package):
    assert questions.load(package(None), PAPERS) == ()
