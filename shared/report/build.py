"""One report from tables and verdicts: report.md, and from it report.pdf and report.html. Same input, same bytes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from shared.paper import Paper
from shared.report import claims, figures, interactive, ledger, questions, render, tables
from shared.report.data import Source, batch_number, data_names
from shared.report.grid import Column, Grid
from shared.report.plots import Plot, arms_of, plot
from shared.spec import PRESETS
from shared.stats.chance import at_chance

TITLE = "Large-batch replications: report"
ROLES = ("base", "large", "twice")
"""The roles of single batches that a reader must be able to translate."""
DRAW_AT_ONCE = 4
MANY_ARMS = 16
ODD_DATA = {"cifar10-jpeg": "CIFAR-10 encoded anew as JPEG, hence lossy"}
Tables = Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
"""``{paper key: (rows, history)}``; a paper that is absent has no runs."""


@dataclass(frozen=True)
class Report:
    """What was written, and the plots behind the figures."""

    markdown: Path
    html: Path
    pdf: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    plots: tuple[Plot, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.markdown, self.html, self.pdf, *self.figures, *self.tables)


def build_report(
    papers: Iterable[Paper],
    data: Tables,
    verdicts: Mapping[str, Iterable[claims.Verdict]],
    out_dir: Path,
    asked: Iterable[questions.Question] = (),
) -> Report:
    """Write report.md, report.html, report.pdf, figures/ and tables/ below ``out_dir``.

    ``verdicts`` is {paper key: the dictionaries of ``shared.stats.verdict.verdicts``}; ``asked`` are the questions
    over which the papers are set against each other. Missing runs become stated gaps. Raises ReportError for tables
    or verdicts that lack what they must have.
    """
    writer = _Writer(out_dir)
    listed = list(papers)
    found = {p.key: sources(p, data) for p in listed}
    entries = [writer.paper(p, found[p.key], claims.check(verdicts.get(p.key, ()))) for p in listed]
    scales = [s for s in PRESETS if any(s in e["scales"] for e in entries)]
    status = status_grid(listed, data, verdicts)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(render.TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
    text = environment.get_template("report.md.j2").render(
        title=TITLE, papers=entries, scales=scales, how=_how(),
        stands_on=ledger.summary(s.rows for shown in found.values() for s in shown),
        status=writer.table(status), cross=_across(writer, entries) if len(entries) > 1 else "",
        questions=[
            {"table": writer.table(questions.grid(q, {p.key: short_name(p) for p in listed}, verdicts)),
             "apart": q.apart, "here": q.here} for q in asked
        ],
    )  # fmt: skip
    drawn = writer.figures()
    markdown = out_dir / "report.md"
    markdown.write_text(_tidy(text), encoding="utf-8")
    shown = ", ".join(scales) or "none"
    interactive.write_script(out_dir)
    live = {p.name: (interactive.as_json(p), " · ".join(filter(None, (p.footer, p.remark)))) for p in writer.plots}
    page = render.to_html(_tidy(text), out_dir, TITLE, shown, live)
    pdf = render.to_pdf(_tidy(text), out_dir, TITLE)
    return Report(markdown, page, pdf, tuple(drawn), tuple(writer.tables), tuple(writer.plots))


def sources(paper: Paper, data: Tables) -> list[Source]:
    """The presets to show: those with finished runs; smoke only where there is nothing else."""
    rows, history = data.get(paper.key, (pd.DataFrame(), pd.DataFrame()))
    found = [s for preset in PRESETS if len((s := Source.select(paper, preset, rows, history)).rows)]
    return [s for s in found if s.preset != "smoke"] or found


def status_grid(papers: Iterable[Paper], data: Tables, verdicts: Mapping[str, Iterable[claims.Verdict]]) -> Grid:
    """Papers × outcomes, one row for each scale that has runs or verdicts on runs.

    Exact checks and claims not run have no scale: they are counted in a paper's first row.
    """
    entries = []
    for paper in papers:
        runs: dict[str, int] = {s.preset: len(s.rows) for s in sources(paper, data)}
        found: dict[str | None, list[claims.Verdict]] = {}
        for verdict in verdicts.get(paper.key, ()):
            found.setdefault(None if claims.is_exact(verdict) else verdict["scale"], []).append(verdict)
        rest = found.pop(None, [])
        scales: list[str] = [preset for preset in PRESETS if preset in runs or preset in found]
        for scale in scales or ["–"]:
            entries.append((short_name(paper), scale, runs.get(scale, 0), [*found.get(scale, []), *rest]))
            rest = []
    return claims.overview(entries)


def short_name(paper: Paper) -> str:
    """``Goyal et al. 2017``; two authors are both named."""
    first, *others = (name.strip() for name in paper.authors.split(","))
    more = f" and {others[0]}" if len(others) == 1 else " et al." if others else ""
    return f"{first}{more} {paper.year}"


def again(source: Source, arms: Iterable[str]) -> str:
    """The make commands that run these arms."""
    return " && ".join(source.paper.commands_for(source.preset, set(arms)))


def findings(paper: Paper) -> str:
    """What the card says in words of what came out, between ``<!-- findings -->`` and ``<!-- /findings -->``."""
    card = paper.folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    found = re.search(r"<!-- findings -->(.*?)<!-- /findings -->", text, re.DOTALL)
    return found[1].strip() if found else ""


class _Writer:
    """Writes figures and tables while the text is put together."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tables: list[Path] = []
        self.plots: list[Plot] = []
        folder.mkdir(parents=True, exist_ok=True)

    def table(self, grid: Grid) -> str:
        if grid.rows:
            self.tables.append(grid.write(self.folder / "tables"))
        return grid.markdown()

    def paper(self, paper: Paper, found: list[Source], verdicts: list[claims.Verdict]) -> dict[str, Any]:
        declared = paper.dotted("figures")
        if verdicts:
            full = self.folder / "tables" / f"{paper.key}-verdicts.json"
            full.parent.mkdir(exist_ok=True)
            full.write_text(claims.as_json(verdicts), encoding="utf-8")
            self.tables.append(full)
        spare = Source(paper, "paper", pd.DataFrame(), pd.DataFrame())
        return {
            "name": short_name(paper), "authors_short": short_name(paper).rsplit(" ", 1)[0], "year": paper.year,
            "title": paper.title, "authors": paper.authors, "arxiv": paper.arxiv,
            "scales": [s.preset for s in found], "runs": sum(len(s.rows) for s in found),
            "command": f"make replicate-{paper.key}", "notes": paper.notes, "errata": paper.errata,
            "findings": findings(paper), "basis": paper.basis,
            "terms": paper.terms,
            "outcomes": self.table(claims.outcomes(verdicts, paper.key)) if verdicts else "",
            "evidence": self.table(claims.evidence(verdicts, paper.key)) if verdicts else "",
            "unjudged": self._unjudged(verdicts, paper.key),
            "sections": [self._section(s, declared) for s in found],
            "not_run": [self.table(tables.of_paper(t, spare)) for t in declared.TABLES if not t.rows],
            "cost": sum(float(ledger.cost_of(s.rows)["core_hours"]) for s in found),
        }  # fmt: skip

    def _unjudged(self, verdicts: list[claims.Verdict], key: str) -> str:
        grid = claims.not_run(verdicts, key)
        return self.table(grid) if grid.rows else ""

    def _section(self, source: Source, declared: Any) -> dict[str, Any]:
        shown = [f for f in declared.FIGURES if arms_of(f, source)]
        grids = [(t, tables.of_paper(t, source)) for t in declared.TABLES if t.rows and source.preset in t.presets]
        placed = [t.where for t in (*shown, *(t for t, grid in grids if grid.rows))]
        lacking = [t.where for t in (*declared.FIGURES, *(t for t, _ in grids)) if t.where not in placed]
        return {
            "preset": source.preset,
            "about": _about(source),
            "setup": self.table(ledger.setup(source)),
            "figures": [self._figure(f, source) for f in shown],
            "tables": [self.table(grid) for _, grid in grids if grid.rows],
            "lacking": "; ".join(dict.fromkeys(lacking)),
            "tuning": self.table(tables.tuning(source, source.paper.chosen_by)),
            "choice": tables.choice(source),
            "deviations": self.table(ledger.deviations(source)),
            "alone": _alone(source),
            "cost": self.table(ledger.cost(source)),
            "origin": self.table(ledger.origin(source)),
            "commands": source.paper.commands_for(source.preset, set(source.rows["arm"])),
        }  # fmt: skip

    def figures(self) -> list[Path]:
        """Draw what was plotted, over the cores: drawing is most of a report's time."""
        with ProcessPoolExecutor(min(DRAW_AT_ONCE, os.cpu_count() or 1)) as pool:
            drawn = pool.map(figures.write, self.plots, repeat(self.folder / "figures"))
            return [path for paths in drawn for path in paths]

    def _figure(self, declared: Any, source: Source) -> str:
        drawn = plot(declared, source)
        head = f"**{declared.where}: {declared.title}** ({source.preset} scale)"
        if drawn.empty:
            lost = ", ".join(drawn.gaps)
            command = again(source, arms_of(declared, source))
            return f"{head}: no finished runs of {lost}." + f" Run `{command}`." * bool(command)
        self.plots.append(drawn)
        gaps = f" Not run: {', '.join(drawn.gaps)}." if drawn.gaps else ""
        caption = " ".join(filter(None, (declared.caption, declared.also.get(source.preset))))
        return f"![{head}. {caption}{gaps}](figures/{drawn.name}.svg)"


def _about(source: Source) -> str:
    done, every = len(source.rows), len({s.run_id for sw in source.paper.sweeps(source.preset) for s in sw.specs})
    text = f"{done} of {every} declared runs are finished{trained_on(source.rows)}."
    if lost := int((source.rows["status"] == "diverged").sum()):
        text += f" Diverged, and counted at chance level: {lost}."
    if stuck := _stuck(source.rows):
        text += f" Finished at chance level: {stuck}."
    if late := outdated(source.rows):
        text += (
            f" Measured before the runs that they read were trained again, so that the two do not fit together: "
            f"{', '.join(f'`{a}`' for a in late)}; the same command measures them anew."
        )
    if source.left_out:
        text += f" Rows of this scale left out because no current declaration names them: {source.left_out}."
    if gaps := [arm for arm in source.missing(source.expected) if arm not in source.idle]:
        text += f" Arms without a run: {', '.join(f'`{a}`' for a in gaps)}."
    text += _idle(source)
    return " ".join(filter(None, (text, _stands_for(source))))


def trained_on(rows: pd.DataFrame) -> str:
    """``, on mnist, cifar10-jpeg (…)``: the data sets of finished runs, empty without any."""
    names = sorted(set(data_names(rows).dropna()))
    return f", on {', '.join(f'{n} ({ODD_DATA[n]})' if n in ODD_DATA else n for n in names)}" if names else ""


def outdated(rows: pd.DataFrame) -> list[str]:
    """Arms with a run that began before one of its parents did."""
    if not {"parents", "provenance.started_at"} <= set(rows):
        return []
    began = dict(zip(rows["run_id"], rows["provenance.started_at"].fillna(""), strict=True))
    listed = zip(rows["arm"], rows["run_id"], rows["parents"], strict=True)
    found = (arm for arm, run_id, parents in listed if isinstance(parents, str)
             and any(began.get(p, "") > began[run_id] for p in json.loads(parents)))  # fmt: skip
    return list(dict.fromkeys(found))


def _idle(source: Source) -> str:
    """The sweeps without any run, counted by the data that they train on, and the command that runs them."""
    names = set(source.idle.values())
    text = ""
    for line, sweeps in source.paper.commands(source.preset).items():
        found: dict[str, list[str]] = {}
        for sweep in sweeps:
            if sweep.name in names:
                found.setdefault(", ".join(sorted({s.data.name for s in sweep.specs})), []).append(sweep.name)
        if found:
            text += (
                f" Not run: {', '.join(f'{_names(some)} on {data}' for data, some in found.items())}; needs `{line}`."
            )
    return text


def _alone(source: Source) -> str:
    """The finished arms that the paper does not have; of a sweep with many, how many."""
    left = {a for a, spec in source.specs.items() if len(source.of(a)) and source.paper.counterpart(spec) is None}
    parts = []
    for sweep in source.paper.sweeps(source.preset):
        mine = list(dict.fromkeys(s.arm for s in sweep.every if s.arm in left))
        left -= set(mine)
        many = len(mine) > MANY_ARMS
        parts += [f"{len(mine)} of sweep `{sweep.name}`"] if many else [f"`{arm}`" for arm in mine]
    return f"Arms of ours alone, without a counterpart in the paper: {', '.join(parts)}." if parts else ""


def _names(sweeps: list[str]) -> str:
    if len(sweeps) > 3:
        return f"{len(sweeps)} sweeps"
    return f"sweep{'s' * (len(sweeps) > 1)} {', '.join(f'`{name}`' for name in sweeps)}"


def _stuck(rows: pd.DataFrame) -> int:
    """Finished runs that learnt nothing; none are known where error or data set was not recorded."""
    ended = rows[rows["status"] == "finished"]
    if "val/error" not in ended:
        return 0
    return sum(map(at_chance, ended["val/error"], data_names(ended)))


def _stands_for(source: Source) -> str:
    """Which batch here has the part of which one of the paper; empty at the paper's own scale."""
    here, there = (source.paper.roles(preset) for preset in (source.preset, "paper"))
    pairs = {role: (str(here[role]), str(there[role])) for role in ROLES if role in here and role in there}
    if source.preset == "paper" or not pairs:
        return ""
    parts = [f"{ours} {'stands ' if i == 0 else ''}for {theirs}" for i, (ours, theirs) in enumerate(pairs.values())]
    if {"base", "large"} <= set(pairs):
        ratios = [batch_number(large) / batch_number(base)
                  for base, large in zip(pairs["base"], pairs["large"], strict=True)]  # fmt: skip
        parts[[*pairs].index("large")] += " (k = batch/base = {:g} where the paper has {:g})".format(*ratios)
    return f"Here batch {', '.join(parts)}."


def _how() -> dict[str, str]:
    def two(key: str, head: str, words: Mapping[str, str]) -> str:
        columns = (Column(head, 18), Column("means", 82))
        return Grid(key, f"{head.capitalize()}s", columns, tuple((f"`{k}`", v) for k, v in words.items())).markdown()

    words = {"outcome": claims.OUTCOMES, "scale": claims.SCALES, "rule": claims.RULES}
    return {f"{head}s": two(f"{head}s", head, means) for head, means in words.items()}


def _across(writer: _Writer, entries: list[dict[str, Any]]) -> str:
    names = ("paper", 40, "left"), ("scales", 20, "left"), ("runs", 20, "right"), ("core-hours", 20, "right")
    columns = tuple(Column(*name) for name in names)
    rows = tuple((e["name"], ", ".join(e["scales"]) or "–", str(e["runs"]), f"{e['cost']:.2f}") for e in entries)
    rows += (("all", "", str(sum(e["runs"] for e in entries)), f"{sum(e['cost'] for e in entries):.2f}"),)
    return writer.table(Grid("across", "Runs and cost", columns, rows))


def _tidy(text: str) -> str:
    """No trailing blanks, at most one empty line in a row."""
    lines: list[str] = []
    for line in (x.rstrip() for x in text.splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip() + "\n"
