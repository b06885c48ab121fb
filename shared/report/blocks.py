"""Generated blocks of README and cards: between ``<!-- generated:NAME -->`` and ``<!-- /generated:NAME -->``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from shared.paper import Paper
from shared.report import claims, ledger, tables
from shared.report.build import Tables, sources, status_grid, trained_on
from shared.report.data import ReportError, Source
from shared.report.declare import Effects, Points
from shared.report.grid import Column, Grid
from shared.report.plots import arms_of
from shared.spec import Preset

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

    They speak of every preset that has runs; without any run the settings of the reduced preset are compared.
    """
    found = sources(paper, data)
    shown = found or [Source.select(paper, "reduced", pd.DataFrame(), pd.DataFrame())]
    return {
        "time": _time(paper, found),
        "expected": _expected(shown, claims.check(verdicts)),
        "figures": _figures(shown),
        "deviations": "\n\n".join(
            f"At {s.preset} scale{trained_on(s.rows)}:\n\n{_bare(ledger.deviations(s))}" for s in shown
        ),
        "notes": "\n".join(f"- {note}" for note in paper.notes) or "None.",
        "errata": "\n".join(f"- {item}" for item in paper.errata) or "None.",
        "cost": "\n\n".join(f"At {s.preset} scale:\n\n{_bare(ledger.cost(s))}" for s in found) or _no_runs(shown[0]),
    }


def _bare(grid: Grid) -> str:
    """The table without its title."""
    return grid.markdown().split("\n\n", 1)[1]


def _no_runs(source: Source) -> str:
    return f"No finished runs yet. Run `make replicate-{source.paper.key}`."


def _time(paper: Paper, found: list[Source]) -> str:
    """For each command how many of its runs are done, what they took and on which processors."""
    rows = pd.concat([s.rows for s in found]) if found else pd.DataFrame({"run_id": []})
    declared: dict[str, set[str]] = {}
    presets: tuple[Preset, ...] = ("smoke",) if {s.preset for s in found} == {"smoke"} else ("paper", "reduced")
    for preset in presets:
        for line, sweeps in paper.commands(preset).items():
            declared.setdefault(line, set()).update(s.run_id for sweep in sweeps for s in sweep.specs)
    lines, seen = [], set[str]()
    for line, ids in declared.items():
        mine = rows[rows["run_id"].isin(ids - seen)]
        if len(mine):
            cpus = sorted({str(c) for c in mine.get("provenance.cpu", pd.Series(dtype=str)).dropna()})
            where = f" on {', '.join(cpus)}" if cpus else ""
            hours = ledger.cost_of(mine)["core_hours"]
            lines.append(f"- `{line}`: {len(mine)} of {len(ids - seen)} runs done, {hours:.1f} core-hours{where}.")
        else:
            lines.append(f"- `{line}`: none of {len(ids - seen)} runs done.")
        seen |= ids
    return "Measured:\n\n" + "\n".join(lines)


def _expected(shown: list[Source], verdicts: list[claims.Verdict]) -> str:
    """Every claim's outcome, the paper's tables with several columns, effects; folded, the arms of figures' points."""
    if not any(len(source.rows) for source in shown):
        return _no_runs(shown[0])
    tabled, points = list[tuple[str, Grid]](), list[tuple[str, Grid]]()
    for source in shown:
        declared = source.paper.dotted("figures")
        wide = [t for t in declared.TABLES if (t.cells or isinstance(t, Effects)) and source.preset in t.presets]
        grids = [(f"{t.title}, {source.preset} scale", tables.of_paper(t, source)) for t in wide]
        tabled += [
            (title, grid)
            for title, grid in grids
            if grid.rows and grid.numbers is not None and grid.numbers["ours_n"].notna().any()
        ]
        seen = set[tuple[str, ...]]()
        for figure in declared.FIGURES:
            if isinstance(figure, Points):
                points += _points(figure, source, seen)
    parts = [f"Outcomes:\n\n{_bare(claims.outcomes(verdicts, shown[0].paper.key))}"] if verdicts else []
    if shown[0].paper.terms:
        parts.insert(0, shown[0].paper.terms)
    parts.append("In the tables: mean ± standard deviation over the seeds, and how many they are.")
    parts += [f"{title}:\n\n{_bare(grid)}" for title, grid in tabled]
    if points:
        folded = "\n\n".join(f"{title}:\n\n{_bare(grid)}" for title, grid in points)
        parts.append(f"<details>\n<summary>Every point of the figures, arm by arm</summary>\n\n{folded}\n\n</details>")
    return "\n\n".join(parts)


def _points(declared: Points, source: Source, seen: set[tuple[str, ...]]) -> list[tuple[str, Grid]]:
    """For each set of arms of a figure its metrics, a row for each arm; none for arms without any run.

    A column that an earlier figure had for the same arms is in ``seen`` and left out, as is 100 % less one.
    """
    if declared.sweep in tables.CHOOSING:  # the table of choices has them
        return []
    metrics: dict[tuple[str, ...], dict[str, str]] = {}
    for panel in declared.parts():
        for s in panel.series:
            arms = source.arms(s.arm) if (s.draw or declared.draw) == "arms" else ()
            if source.preset in panel.presets and len(source.missing(arms)) < len(arms):
                label = panel.y_label or declared.y_label
                name = label if not declared.panels else f"{label}, {s.label}"
                metrics.setdefault(arms, {})[s.metric] = name
    grids = []
    for arms, names in metrics.items():
        names = {m: name for m, name in names.items() if (*arms, m.removeprefix("100-")) not in seen}
        seen.update((*arms, m.removeprefix("100-")) for m in names)
        if names:
            columns = (Column("arm", 20), *(Column(f"{name} (seeds)", 30, "right") for name in names.values()))
            rows = tuple((f"`{a}`", *(tables.score(source.summary(a, m)) for m in names)) for a in arms)
            title = f"{declared.where}, {declared.title}, {source.preset} scale"
            grids.append((title, Grid("", "", columns, rows)))
    return grids


def _figures(shown: list[Source]) -> str:
    """Paper item → sweep → file, for what the paper's figures and tables declare at the presets that are shown."""
    paper = shown[0].paper
    declared = paper.dotted("figures")
    rows = []
    for f in declared.FIGURES:
        files = [f"`figures/{paper.key}-{s.preset}-{f.key}.svg`" for s in shown if arms_of(f, s)]
        rows.append((f.where, f.title, _sweeps(f.sweep), "\n".join(files) or "not at this scale"))
    for t in declared.TABLES:
        if not t.rows:
            rows.append((t.where, t.title, f"not run: {t.not_run}", f"`tables/{paper.key}-{t.key}.csv`"))
            continue
        files = [f"`tables/{paper.key}-{s.preset}-{t.key}.csv`" for s in shown
                 if s.preset in t.presets and tables.of_paper(t, s).rows]  # fmt: skip
        rows.append((t.where, t.title, _sweeps(t.sweep), "\n".join(files) or "not at this scale"))
    file = Column("file below `results/report/`", 40)
    columns = (Column("paper", 16), Column("shows", 40), Column("sweep", 16), file)
    return _bare(Grid("", "", columns, tuple(rows)))


def _sweeps(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))
