"""A reader of the HTML or PDF gets from a claim's name to its outcome, and from there to its numbers."""

from __future__ import annotations

import re

from replications import PAPERS
from shared.report.build import build_report
from shared.report.links import linked

SECTION = """## Paper {n}

Prose on {own} (H1-F1), code `{own}`, [a page](https://x.org/{own}) and C1.

#### Claims and outcomes

| claim | says |
|:--|:--|
| {own} | one |
| E1 | a check |

#### The numbers behind the outcomes

| claim | ours |
|:--|:--|
| {own}<br>`reproduced` | 1 |
"""
OTHER = "#### Table 1\n\n| net | error |\n|:--|:--|\n| C1 | 5 |\n"
TEXT = SECTION.format(n=1, own="H1-F1") + OTHER + SECTION.format(n=2, own="C1") + "## Across\n\nH1-F1, C1, E1, K9-F1.\n"


def test_a_claim_links_to_its_row_and_that_to_its_numbers_and_back():
    first = linked(TEXT).split("## Paper 2")[0]
    assert "Prose on [H1-F1](#claim-1-H1-F1) ([H1-F1](#claim-1-H1-F1)), code `H1-F1`, " in first
    assert "[a page](https://x.org/H1-F1)" in first
    assert "| [[H1-F1](#numbers-1-H1-F1)]{#claim-1-H1-F1} | one |" in first
    assert "| [[H1-F1](#claim-1-H1-F1)]{#numbers-1-H1-F1}<br>`reproduced` | 1 |" in first
    assert "| [E1]{#claim-1-E1} | a check |" in first


def test_elsewhere_only_a_name_that_can_mean_nothing_else_is_linked():
    first, rest = linked(TEXT).split("## Paper 2")
    assert "and C1." in first
    assert "| C1 | 5 |" in first
    assert "([H1-F1](#claim-1-H1-F1)), " in rest
    assert "and [C1](#claim-2-C1)." in rest
    assert rest.endswith("[H1-F1](#claim-1-H1-F1), C1, E1, K9-F1.\n")


def test_every_link_of_a_page_has_its_target_and_no_target_stands_twice(paper, verdicts, tmp_path):
    made = build_report([paper, PAPERS["keskar"]], {}, {"goyal": verdicts}, tmp_path)
    page = made.html.read_text()
    targets = re.findall(r'\bid="((?:claim|numbers)-[^"]+)"', page)
    assert len(set(targets)) == len(targets) >= len(verdicts)
    assert set(re.findall(r'href="#((?:claim|numbers)-[^"]+)"', page)) <= set(targets)
    assert made.markdown.read_text().count("(#claim-") == 0
