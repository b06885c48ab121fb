"""Claim ids as links, for HTML and PDF: in the text to the claim's outcome, from there to the numbers behind it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from shared.report.claims import NUMBERS_TITLE, OUTCOMES_TITLE

_ID = r"[A-Z]+\d*(?:-[\w-]*\w)?"
_ROW = re.compile(rf"\| ({_ID})(?=<br>| )")
_LEFT_ALONE = re.compile(r"(`[^`]*`|!?\[[^\]]*\]\([^)]*\)|\$[^$]*\$|https?://\S+)")
_KINDS = {OUTCOMES_TITLE: "claim", NUMBERS_TITLE: "numbers"}
_OTHER = {"claim": "numbers", "numbers": "claim"}


class Target(NamedTuple):
    """A row of a claim: where a link may lead."""

    kind: str
    """``claim``: its outcome; ``numbers``: those behind it; empty: a row of some other table that is named so."""
    section: int
    claim: str

    def link(self) -> str:
        return f"[{self.claim}](#{self.name})"

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.section}-{self.claim}"


def linked(markdown: str) -> str:
    """The report with links in pandoc's markdown; a claim without a row in a table of outcomes stays as it is.

    A paper's section means its own claims. Elsewhere an id is linked that one paper alone has, unless a row of some
    other table is named so too: C1 is a claim and also a net.
    """
    places = list(_places(markdown))
    targets: dict[Target, int] = {}  # and the first line that is one
    for n, (_, _, row) in enumerate(places):
        if row:
            targets.setdefault(row, n)
    others = {t.claim for t in targets if not t.kind}
    papers = Counter(t.claim for t in targets if t.kind == "claim")
    anywhere = {t.claim: t for t in targets if t.kind == "claim" and papers[t.claim] == 1 and t.claim not in others}

    def link(claim: str, section: int) -> str:
        target: Target | None = Target("claim", section, claim)
        if target not in targets:
            target = anywhere.get(claim)
        return target.link() if target else claim

    lines = []
    for n, (line, section, row) in enumerate(places):
        if line.startswith(("#", "    ", "|:", "|-")):
            lines.append(line)
            continue
        head, text = "", line
        if row and row.kind and targets[row] == n:
            there = row._replace(kind=_OTHER[row.kind])
            head = f"| [{there.link() if there in targets else row.claim}]{{#{row.name}}}"
            text = line.removeprefix(f"| {row.claim}")
        parts = _LEFT_ALONE.split(text)
        parts[::2] = [re.sub(rf"(?<![\w-]){_ID}(?![\w-])", lambda m, s=section: link(m[0], s), p) for p in parts[::2]]
        lines.append(head + "".join(parts))
    return "\n".join(lines)


def _places(markdown: str) -> Iterator[tuple[str, int, Target | None]]:
    """Each line with the number of its section, and as what it may be a target."""
    section, table = 0, ""
    for line in markdown.split("\n"):
        section += line.startswith("## ")
        if line.startswith("#"):
            table = line.lstrip("# ")
        row = _ROW.match(line)
        yield line, section, Target(_KINDS.get(table, ""), section, row[1]) if row else None
