"""Generated blocks of README and cards: between ``<!-- generated:NAME -->`` and ``<!-- /generated:NAME -->``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from shared.paper import Paper
from shared.report import claims, tables
from shared.report.build import Tables, command, sources, status_grid
from shared.report.data import ReportError, Source
from shared.report.declare import Points
from shared.report.grid import Column, Grid

_BLOCK = re.compile(r"(<!-- generated:([\w-]+) -->)(.*?)(<!-- /generated:\2 -->)", re.DOTALL)


def names(path: Path) -> list[str]:
    """The blocks that a file has, in order. Raises ReportError for one that is opened and never closed."""
    text = path.read_text(encoding="utf-8")
    found = [match[2] for match in _BLOCK.finditer(text)]
    opened = re.findall(r"<!-- generated:([\w-]+) -->", text)
    if unclosed := [name for name in opened if name not in found]:
        raise ReportError(f"{path.name}: block {unclosed[0]!r} lacks <!-- /generated:{unclosed[0]} -->")
    return found


def update(path: Path, blocks: Mapping[str, str]) -> bool:
    """Rewrite the file's blocks that ``blocks`` names; whether anything changed."""
    names(path)
    old = path.read_text(encoding="utf-8")
    new = _BLOCK.sub(lambda m: _filled(m, blocks), old)
    if new != old:
        path.write_text(new, encoding="utf-8")
    return new != old


def stale(path: Path, blocks: Mapping[str, str]) -> list[str]:
    """Names of the blocks whose text is not what ``blocks`` says, or that the file lacks."""
    have = names(path)
    text = path.read_text(encoding="utf-8")
    old = [m[2] for m in _BLOCK.finditer(text) if _filled(m, blocks) != m[0]]
    return [*old, *(name for name in blocks if name not in have)]


def _filled(match: re.Match[str], blocks: Mapping[str, str]) -> str:
    if match[2] not in blocks:
        return match[0]
    return f"{match[1]}\n\n{blocks[match[2]].strip()}\n\n{match[4]}"


def readme_blocks(
    papers: Iterable[Paper], data: Tables, verdicts: Mapping[str, Iterable[claims.Verdict]]
) -> dict[str, str]:
    """``status``: papers × outcomes."""
    return {"status": _bare(status_grid(papers, data, verdicts))}


def card_blocks(paper: Paper, data: Tables, verdicts: Iterable[claims.Verdict]) -> dict[str, str]:
    """``time``, ``expected``, ``figures``, ``deviations``, ``notes``, ``errata`` and ``cost`` of a paper's card.

    They speak of the largest preset that has runs; without any run the settings of the reduced preset are compared.
    """
    found = sources(paper, data)
    empty = Source.select(paper, "reduced", pd.DataFrame(), pd.DataFrame())
    source = found[0] if found else empty
    return {
        "time": _time(source),
        "expected": _expected(source, claims.check(verdicts)),
        "figures": _figures(source),
        "deviations": f"At {source.preset} scale:\n\n{_bare(tables.deviations(source))}",
        "notes": "\n".join(f"- {note}" for note in paper.notes) or "None.",
        "errata": "\n".join(f"- {item}" for item in paper.errata) or "None.",
        "cost": f"At {source.preset} scale:\n\n{_bare(tables.cost(source))}" if found else _no_runs(source),
    }


def _bare(grid: Grid) -> str:
    """The table without its title."""
    return grid.markdown().split("\n\n", 1)[1]


def _no_runs(source: Source) -> str:
    return f"No finished runs yet. Run `{command(source.paper.key, source.preset)}`."


def _time(source: Source) -> str:
    """What the finished runs of a preset took, and on which processor."""
    if not len(source.rows):
        return _no_runs(source)
    spent = tables.cost_of(source.rows)
    cpus = sorted({str(c) for c in source.rows.get("provenance.cpu", pd.Series(dtype=str)).dropna()})
    where = f" on {', '.join(cpus)}" if cpus else ""
    every = sum(source.expected.values())
    return (f"Measured: `{command(source.paper.key, source.preset)}`, {len(source.rows)} of {every} runs, "
            f"{spent['core_hours']:.1f} core-hours{where}.")  # fmt: skip


def _expected(source: Source, verdicts: list[claims.Verdict]) -> str:
    """Error of every arm of the figures' point plots, then the outcome of every claim."""
    if not len(source.rows):
        return _no_runs(source)
    parts = []
    for declared in source.paper.dotted("figures").FIGURES:
        if isinstance(declared, Points):
            arms = source.paper.arms(declared.arms, source.preset)
            columns = (Column("arm", 20), Column(f"{declared.y_label} (seeds)", 30, "right"))
            rows = tuple((f"`{a}`", tables.score(source.summary(a, declared.metric))) for a in arms)
            parts.append(f"{declared.title}, {source.preset} scale:\n\n{_bare(Grid('', '', columns, rows))}")
    if verdicts:
        parts.append(f"Outcomes:\n\n{_bare(claims.outcomes(verdicts, source.paper.key))}")
    return "\n\n".join(parts)


def _figures(source: Source) -> str:
    """Paper item → sweep → file, for what the paper's figures and tables declare."""
    declared = source.paper.dotted("figures")
    stem = f"{source.paper.key}-{source.preset}"
    rows = [(f.where, f.title, f"`{f.sweep}`", f"`figures/{stem}-{f.key}.svg`") for f in declared.FIGURES]
    for t in declared.TABLES:
        run = f"`{t.sweep}`" if t.rows else f"not run: {t.not_run}"
        rows.append((t.where, t.title, run, f"`tables/{stem if t.rows else source.paper.key}-{t.key}.csv`"))
    file = Column("file below `results/report/`", 40)
    columns = (Column("paper", 16), Column("shows", 40), Column("sweep", 16), file)
    return _bare(Grid("", "", columns, tuple(rows)))
