"""Claim ids as links, for HTML and PDF: in the text to the claim's outcome, from there to the numbers behind it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from shared.report.claims import NUMBERS_TITLE, OUTCOMES_TITLE

_ID = r"[A-Z]+\d*(?:-[\w-]*\w)?"
_ROW = re.compile(rf"\| ({_ID})(?=<br>| )")
_LEFT_ALONE = re.compile(r"(`[^`]*`|!?\[[^\]]*\]\([^)]*\)|\$[^$]*\$|https?://\S+)")
_KINDS = {OUTCOMES_TITLE: "claim", NUMBERS_TITLE: "numbers"}
_OTHER = {"claim": "numbers", "numbers": "claim"}


def linked(markdown: str) -> str:
    """The report with links in pandoc's markdown; a claim without a row in a table of outcomes stays as it is.

    A paper's section means its own claims. Elsewhere an id is linked that one paper alone has, unless a row of some
    other table is named so too: C1 is a claim and also a net.
    """
    places = list(_places(markdown))
    targets, others = dict[str, int](), set[str]()
    for n, (line, section, table) in enumerate(places):
        if row := _ROW.match(line):
            if kind := _KINDS.get(table):
                targets.setdefault(_name(kind, section, row[1]), n)
            else:
                others.add(row[1])
    claims = [name.split("-", 2)[1:] for name in targets if name.startswith("claim-")]
    papers = Counter(claim for _, claim in claims)
    anywhere = {c: _name("claim", s, c) for s, c in claims if papers[c] == 1 and c not in others}
    own: dict[str, dict[str, str]] = {}
    for section, claim in claims:
        own.setdefault(section, {})[claim] = _name("claim", section, claim)
    lines = []
    for n, (line, section, table) in enumerate(places):
        if line.startswith(("#", "    ", "|:", "|-")):
            lines.append(line)
            continue
        head, row = "", _ROW.match(line)
        if row and (kind := _KINDS.get(table)) and targets[name := _name(kind, section, row[1])] == n:
            there = _name(_OTHER[kind], section, row[1])
            head = f"| [{f'[{row[1]}](#{there})' if there in targets else row[1]}]{{#{name}}}"
            line = line[row.end() :]
        known = {**anywhere, **own.get(section, {})}
        parts = _LEFT_ALONE.split(line)
        lines.append(head + "".join(part if i % 2 else _link(part, known) for i, part in enumerate(parts)))
    return "\n".join(lines)


def _places(markdown: str) -> Iterator[tuple[str, str, str]]:
    """Each line with the number of its section and the heading of its table."""
    section, table = 0, ""
    for line in markdown.split("\n"):
        section += line.startswith("## ")
        if line.startswith("#"):
            table = line.lstrip("# ")
        yield line, str(section), table


def _name(kind: str, section: str, claim: str) -> str:
    return f"{kind}-{section}-{claim}"


def _link(text: str, known: Mapping[str, str]) -> str:
    return re.sub(rf"(?<![\w-]){_ID}(?![\w-])", lambda m: f"[{m[0]}](#{known[m[0]]})" if m[0] in known else m[0], text)
