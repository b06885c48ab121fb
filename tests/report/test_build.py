"""The whole report: same bytes twice, one row a claim, gaps that are stated, and no torch."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args

import pandas as pd
import pytest

from shared.report import build, claims, ledger
from shared.report.build import build_report, short_name, sources
from shared.report.data import ReportError, Source
from shared.stats.rules import RuleName


@pytest.fixture(scope="module")
def report(paper, runs, verdicts, tmp_path_factory):
    return build_report([paper], {"goyal": runs}, {"goyal": verdicts}, tmp_path_factory.mktemp("report"))


def section(text: str, title: str) -> list[str]:
    """Body rows of the markdown table under a heading."""
    block = text.split(f"#### {title}")[1].strip().split("\n\n")[0]
    return [line for line in block.splitlines() if line.startswith("|")][2:]


def test_the_same_rows_in_any_order_give_the_same_bytes(report, paper, runs, verdicts, tmp_path):
    rows, history = (t.sample(frac=1, random_state=0) for t in runs)
    again = build_report([paper], {"goyal": (rows, history)}, {"goyal": verdicts}, tmp_path)
    assert [p.name for p in again.paths] == [p.name for p in report.paths]
    assert {p.suffix for p in report.paths} == {".md", ".html", ".pdf", ".svg", ".png", ".csv", ".json"}
    for first, second in zip(report.paths, again.paths, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    assert report.pdf.read_bytes().startswith(b"%PDF")
    assert not (tmp_path / "report.typ").exists()


def test_every_claim_has_a_row_with_its_outcome_and_stands_with_its_numbers_or_with_what_is_missing(report, verdicts):
    text = report.markdown.read_text()
    rows = section(text, "Claims and outcomes")
    assert [r.split("|")[1].strip() for r in rows] == [v["claim"] for v in verdicts]
    for row, verdict in zip(rows, verdicts, strict=True):
        assert f"`{verdict['outcome']}`" in row
    numbers = section(text, "The numbers behind the outcomes")
    assert "0.12 \\[−0.05, 0.29\\]" in numbers[0]
    missing = [c for r in section(text, "Claims that were not run") for c in r.split("|")[1].strip().split(", ")]
    judged = [r.split("|")[1].strip().split("<br>") for r in numbers]
    assert judged == [[v["claim"], f"`{v['outcome']}`", v["scale"]] for v in verdicts if v["outcome"] != "not-run"]
    assert missing == [v["claim"] for v in verdicts if v["outcome"] == "not-run"]


def test_every_rule_is_explained(report):
    assert set(claims.RULES) == {*get_args(RuleName), "less"}
    text = report.markdown.read_text()
    assert all(f"| `{rule}` |" in text for rule in claims.RULES)


def test_a_bar_in_a_text_does_not_break_its_table(report):
    rows = section(report.markdown.read_text(), "Claims and outcomes")
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)


def test_links_of_the_report_lead_to_files_and_html_fetches_nothing(report):
    folder = report.markdown.parent
    images = re.findall(r"\]\((figures/[^)]+)\)", report.markdown.read_text())
    assert len(images) == len(report.plots) > 4
    page = report.html.read_text()
    loaded = re.findall(r'(?:src|data-src)="([^"]+)"', page) + re.findall(r'<link[^>]*href="([^"]+)"', page)
    assert set(loaded) == {*images, "plotly.min.js"}
    assert all((folder / name).is_file() for name in loaded)
    assert page.count('class="interactive"') == len(images)


def test_missing_arms_are_stated(paper, tmp_path, runs, verdicts, make_runs):
    gone = ("kn-64", f"kn-{paper.roles('reduced')['large']}-constant-warmup", "kn-32-lr-x2", "kn-32")
    made = build_report([paper], {"goyal": make_runs(drop=gone)}, {"goyal": verdicts}, tmp_path)
    text = made.markdown.read_text()
    about = next(line for line in text.splitlines() if "declared runs are finished" in line)
    assert all(f"`{arm}`" in about for arm in gone)
    assert "Not run: `kn-32`, `kn-64`." in text
    assert "no finished runs of `kn-32`, `kn-32-lr-x2`. Run `make replicate-goyal`" in text
    assert not list((tmp_path / "figures").glob("*-fig5.*"))
    warmups = section(text, "Table 1: Warm-up strategies, with k workers of n images (reduced scale)")
    assert [row for row in warmups if "not run" in row]


def test_a_paper_without_rows_says_so_and_how_to_make_them(paper, tmp_path, runs):
    made = build_report([paper], {}, {}, tmp_path)
    text = made.markdown.read_text()
    assert "There are no finished runs of this paper." in text
    assert "    make replicate-goyal\n" in text
    assert "Scale in this report: **none yet**" in text
    assert made.figures == ()
    assert made.pdf.stat().st_size > 10_000


def test_two_papers_get_a_page_across_them(paper, tmp_path):
    other = dataclasses.replace(paper, authors="Someone", year=1999)
    text = build_report([paper, other], {}, {}, tmp_path).markdown.read_text()
    assert text.count("\n## Across the papers\n") == 1
    rows = section(text, "Runs and cost")
    assert [short_name(paper), short_name(other)] == ["Goyal et al. 2017", "Someone 1999"]
    assert [r.split("|")[1].strip() for r in rows] == [short_name(paper), short_name(other), "all"]


def test_smoke_rows_show_only_where_there_is_nothing_else(paper, runs, make_runs):
    smoke = make_runs("smoke")
    both = tuple(pd.concat(pair) for pair in zip(smoke, runs, strict=True))
    assert [s.preset for s in sources(paper, {"goyal": smoke})] == ["smoke"]
    assert [s.preset for s in sources(paper, {"goyal": both})] == ["reduced"]
    assert [[*paper.commands(p)] for p in ("paper", "reduced", "smoke")] == [
        ["make replicate-goyal PRESET=paper"], ["make replicate-goyal"], ["make smoke-goyal"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), [({"outcome": "proved"}, "outcome 'proved'"), ({"claim": None}, "lacks claim")]
)
def test_a_bad_verdict_is_named(change, message, verdicts):
    verdict = {**verdicts[0], **change}
    with pytest.raises(ReportError, match=message):
        claims.check([{k: v for k, v in verdict.items() if v is not None}])


def test_several_tests_of_a_claim_stand_one_a_line_each_with_its_interval(paper, verdicts, tmp_path):
    several = [{"label": "kn-64 − kn-32", "value": 0.5, "interval": [0.25, None]}, {"label": "other", "value": -1.25}]
    assert claims.ours({"ours": several}) == "kn-64 − kn-32: 0.50 [0.25, ∞]\nother: −1.25"
    alike = [{"label": k, "value": 1.0, "interval": [1.0, 1.0], "found": "greater than 0"} for k in "ab"]
    assert claims.ours({"ours": alike}) == "a, b: 1.00 (the same in all runs), greater than 0"
    assert claims.ours({"ours": None, "interval": None}) == claims.ours({}) == claims.ours({"ours": []}) == "–"
    assert claims.ours({"ours": -0.001, "interval": [-0.2, 0.1]}) == "0.00 [−0.20, 0.10]"
    made = build_report([paper], {}, {"goyal": [{**verdicts[0], "ours": several}]}, tmp_path)
    assert "kn-64 − kn-32: 0.50 \\[0.25, ∞\\]<br>other: −1.25 |" in made.markdown.read_text()
    assert "kn-64 − kn-32: 0.50 [0.25, ∞]<br>other: −1.25</td>" in made.html.read_text()
    assert "\ue000" not in made.html.read_text()


def test_finished_runs_at_chance_level_are_counted_beside_the_diverged_ones(paper, runs):
    rows = runs[0].copy()
    assert "Finished at chance level" not in build._about(Source.select(paper, "reduced", *runs))
    rows.loc[rows["arm"] == "kn-2k", "val/error"] = 89.4
    rows.loc[rows["arm"] == "kn-1k", "val/error"] = 88.9
    text = build._about(Source.select(paper, "reduced", rows, runs[1]))
    assert "Diverged, and counted at chance level: 1. Finished at chance level: 5." in text


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ({"label": "kn-8k − kn-256", "mean": 0.14, "sd": None, "tag": "D"}, "kn-8k − kn-256: 0.14 (D)"),
        ({"label": "kn-256", "mean": 23.6, "sd": 0.12, "n": 5, "tag": "V2", "digits": 2}, "kn-256: 23.60 ± 0.12 (V2)"),
        ({"mean": 0.256, "tag": "D"}, "0.256 (D)"),
        ([{"label": "a", "mean": -0.5}, {"label": "b", "mean": 20.0}], "a: −0.5\nb: 20"),
        (0.14, "0.14"),
        (None, "–"),
        ([], "–"),
    ],
)
def test_the_papers_numbers_keep_their_digits_and_bear_their_tag(reference, text):
    assert claims.printed(reference) == text


def test_the_report_translates_batches_into_the_papers(report, paper, make_runs, tmp_path):
    here, there = paper.roles("reduced"), paper.roles("paper")
    text = report.markdown.read_text()
    assert f"Here batch {here['base']} stands for {there['base']}, {here['large']} for {there['large']} (k = " in text
    assert f"where the paper has 32), {here['twice']} for {there['twice']}." in text
    own = Source.select(paper, "paper", *make_runs("paper", seeds=1))
    assert "stands for" not in build._about(own)


@pytest.mark.parametrize(
    ("authors", "name"),
    [("Goyal, Dollár, He", "Goyal et al. 2017"), ("Smith, Le", "Smith and Le 2017"), ("Robbins", "Robbins 2017")],
)
def test_papers_are_named_as_they_are_cited(paper, authors, name):
    assert short_name(dataclasses.replace(paper, authors=authors)) == name


def test_measurements_older_than_what_they_read_are_named():
    rows = pd.DataFrame({
        "run_id": ["a", "b", "line", "late"], "arm": ["sb", "lb", "line", "late-line"],
        "parents": ["[]", None, '["a", "b"]', '["a", "gone"]'],
        "provenance.started_at": ["2026-01-02T00:00:00+00:00", None, "2026-01-01T00:00:00+00:00",
                                  "2026-01-03T00:00:00+00:00"],
    })  # fmt: skip
    assert build.outdated(rows) == ["line"]
    assert build.outdated(rows.drop(columns="parents")) == []


def test_a_report_says_at_once_what_it_stands_on():
    rows = pd.DataFrame({
        "status": "finished", "wall_s": 1800.0, "execution.threads": [1, 2, 1],
        "provenance.started_at": ["2026-11-29T03:00", "2026-11-27T01:00", None], "provenance.cpu": ["B", "A", "B"],
    })  # fmt: skip
    assert ledger.summary([rows, rows[:0]]) == (
        "3 finished runs of 2026-11-27 to 2026-11-29, 2.0 core-hours on A and B"
    )
    assert ledger.summary([rows[:1][["status", "wall_s"]]]) == "1 finished run, 0.5 core-hours"
    assert ledger.summary([]) == "0 finished runs"
