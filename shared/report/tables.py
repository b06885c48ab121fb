"""The paper's tables with ours beside them, and what the tuning runs say."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pandas as pd

from shared.report import effects
from shared.report.claims import as_printed
from shared.report.data import Source, Summary, batch_label, batch_number, spread
from shared.report.declare import SCORE, Cell, Effects, Row, Table
from shared.report.grid import Column, Grid, short
from shared.spec import Preset

LONG = 60
"""Rows of a table of choices beyond which the report shows what was chosen and leaves the rest to the file."""
CHOOSING = ("tune", "pilot")
"""Sweeps that choose settings on held-out training images; never judged."""
ROUNDING = 1e-12
"""A mean this small is the rounding of sums that cancel: an exponent of equal values."""


def of_paper(table: Table, source: Source) -> Grid:
    """The paper's table: its rows in its order, our mean ± sd (n) and settings, then the paper's."""
    if not table.rows:
        return _reference_only(table, source)
    if isinstance(table, Effects):
        return effects.grid(table, source)
    if table.cells:
        return _with_cells(table, source)
    reference = source.printed(table.reference)
    names = [heading for _, heading in table.fields]
    columns = (Column("run", 28), *(Column(n, 7, "right") for n in names),
               Column(f"{table.unit} (n)", 23, "right"), *(Column(f"paper {n}", 10, "right") for n in names),
               Column(f"paper's {table.unit} (n)", 26, "right"))  # fmt: skip
    settings = {s.arm: s for s in source.paper.runs("paper", seeds=1).values()}
    texts, numbers = [], []
    for row in table.rows:
        arm = source.paper.arms(row.arm, source.preset)[0]
        there = source.paper.arms(row.arm, "paper")[0]
        ours, theirs = source.summary(arm, table.metric), _printed(reference, there, table.metric)
        spec, origin = source.specs.get(arm), settings.get(there) if theirs else None
        texts.append((row.label, *_settings(spec, table), _ours(ours, spec is None), *_settings(origin, table),
                      score(theirs)))  # fmt: skip
        numbers.append({"run": row.label, "arm": arm, **_flat("ours", ours), **_flat("paper", theirs)})
    title = f"{table.where}: {table.title} ({source.preset} scale)"
    return Grid(f"{source.paper.key}-{source.preset}-{table.key}", title, columns, tuple(texts), pd.DataFrame(numbers))


def _with_cells(table: Table, source: Source) -> Grid:
    """Ours above the paper's, for each row that is declared at this preset and, at paper scale, each that is printed.

    A row whose arms all lack runs says so and shows the paper's numbers alone. No rows: none is declared here.
    """
    reference = source.printed(table.reference)
    whose = ("here", "paper") if len(reference) else ()
    texts, numbers = [], []
    for row in table.rows:
        cells = [(c, c.metric.replace("{row}", row.arm), _arm(c, row, source, source.preset)) for c in table.cells]
        theirs = [_printed(reference, _arm(c, row, source, "paper"), c.printed or m) for c, m, _ in cells]
        mine = [source.summary(arm, m) if row.at is None else source.at(arm, m, row.at) for _, m, arm in cells]
        declared = any(arm in source.specs for *_, arm in cells)
        if not (declared or (source.preset == "paper" and any(theirs))) or (row.at is not None and not any(mine)):
            continue
        run = any(len(source.of(arm)) for *_, arm in cells)
        if run or not any(theirs):
            ours = [score(_fine(s)) if s or len(source.of(arm)) or arm not in source.specs else "not run"
                    for (*_, arm), s in zip(cells, mine, strict=True)]  # fmt: skip
            texts.append((row.label, *whose[:1], *ours))
        if any(theirs):
            texts.append(("" if run else f"{row.label} (not run)", "paper", *map(score, theirs)))
        numbers += [{"run": row.label, "arm": arm, "metric": m, **_flat("ours", s), **_flat("paper", p)}
                    for (_, m, arm), s, p in zip(cells, mine, theirs, strict=True)]  # fmt: skip
    label = min(36, 2 + max((len(text[0]) for text in texts), default=0))
    wide = (100 - label - 8 * bool(whose)) // len(table.cells)
    columns = (Column("run", label), *(Column("", 8) for _ in whose[:1]),
               *(Column(f"{c.heading} (n)", wide, "right") for c in table.cells))  # fmt: skip
    title = f"{table.where}: {table.title} ({source.preset} scale)"
    return Grid(f"{source.paper.key}-{source.preset}-{table.key}", title, columns, tuple(texts), pd.DataFrame(numbers))


def _arm(cell: Cell, row: Row, source: Source, preset: Preset) -> str:
    return source.paper.arms(cell.arm.replace("{row}", row.arm), preset)[0]


def _fine(summary: Summary | None) -> Summary | None:
    """With enough places to show two digits of a small mean, unless all that is left of it is rounding."""
    if summary is None or not ROUNDING < abs(summary.mean) < 0.1:
        return summary
    return replace(summary, digits=min(7, 1 - math.floor(math.log10(abs(summary.mean)))))


def _settings(spec, table: Table) -> list[str]:
    if spec is None:
        return ["–"] * len(table.fields)
    return [batch_label(spec.batch_size) if field == "batch_size" else
            _short(field(spec) if callable(field) else getattr(spec, field)) for field, _ in table.fields]  # fmt: skip


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else short(value)


def _printed(reference: pd.DataFrame, arm: str, metric: str) -> Summary | None:
    """The printed mean, sd and n of an arm of the paper preset, or None."""
    if reference.empty:
        return None
    found = reference[(reference["arm"] == arm) & (reference["metric"] == metric)].dropna(subset=["mean"])
    if found.empty:
        return None
    one = found.iloc[0]
    error = float(one.get("reading_error", 0.005))  # half a unit of the last printed place, where one is printed
    digits = max(0, math.ceil(-math.log10(2 * error) - 1e-9)) if error > 0 else 2
    if one.get("tag") == "D":
        digits = len(as_printed(float(one["mean"]), None).partition(".")[2])
    return Summary(
        0 if pd.isna(one["n"]) else int(one["n"]), float(one["mean"]), float(one["sd"]), digits=digits, tag=one["tag"]
    )


def _ours(summary: Summary | None, undeclared: bool) -> str:
    return "not at this scale" if undeclared else "not run" if summary is None else score(summary)


def score(summary: Summary | None) -> str:
    """``24.84 ± 0.37 (5)``: mean, sd and seeds; a dash for nothing. A number from memory never goes without its tag."""
    if summary is None:
        return "–"
    lost = f", {summary.diverged} diverged" if summary.diverged else ""
    recalled = " (M)" if summary.tag == "M" else ""
    return spread(summary) + (f" ({summary.n}{lost})" if summary.n else "") + recalled


def _flat(prefix: str, s: Summary | None) -> dict[str, float | None]:
    return {f"{prefix}_{k}": getattr(s, k) if s else None for k in ("mean", "sd", "n")}


def _reference_only(table: Table, source: Source) -> Grid:
    """The paper's numbers, one column a metric; derived ones bear their tag, and one source for all goes unsaid."""
    frame = source.printed(table.reference)
    title = f"{table.where}: {table.title} (reference only; not run: {table.not_run})"
    key = f"{source.paper.key}-{table.key}"
    if frame.empty:
        return Grid(key, title, (), ())
    skip = ("arm", "metric", "mean", "sd", "n", "source", "tag", "reading_error")
    fields = [c for c in frame.columns if c not in skip]
    told = ["source"] if set(frame["source"]) != {table.where} else []
    metrics = list(dict.fromkeys(frame["metric"]))
    rows = []
    for values, part in frame.groupby(fields, sort=False):
        printed = {m: _printed(part, part["arm"].iloc[0], m) for m in metrics}
        texts = [batch_label(v) if f == "batch_size" else _short(v) for f, v in zip(fields, values, strict=True)]
        mark = " (D)" if set(part["tag"]) == {"D"} else ""
        rows.append((*texts, *(score(printed[m]) + mark for m in metrics), *part["source"].iloc[: len(told)]))
    names = {"batch_size": "kn", "lr": "η", SCORE: table.unit}
    widths = {c: 10 if pd.api.types.is_numeric_dtype(frame[c]) else 16 for c in fields}
    columns = tuple(Column(names.get(c, c.replace("_", " ")), widths.get(c, 24), "right")
                    for c in [*fields, *metrics])  # fmt: skip
    columns += tuple(Column("from", 40) for _ in told)
    return Grid(key, title, columns, tuple(rows), frame)


def tuning(source: Source, metric: str) -> Grid:
    """Runs that chose settings: hold-out error of each arm, the lowest of arms alike but for ``-lr-<rate>`` marked."""
    columns = (Column("sweep", 10), Column("arm", 30), Column("batch", 8, "right"), Column("rate", 8, "right"),
               Column("hold-out error % (n)", 24, "right"), Column("lowest", 10, "center"))  # fmt: skip
    found: list[tuple[str, str, Summary]] = []
    declared = {sweep.name: sweep for sweep in source.paper.sweeps(source.preset)}
    for name in CHOOSING:
        for arm in dict.fromkeys(s.arm for s in declared[name].specs) if name in declared else ():
            if summary := source.summary(arm, metric):
                found.append((name, arm, summary))
    cells = [(name, arm.rpartition("-lr-")[0]) for name, arm, _ in found]
    best: dict[tuple[str, str], float] = defaultdict(lambda: math.inf)
    for cell, (_, _, s) in zip(cells, found, strict=True):
        best[cell] = min(best[cell], s.mean)
    rows, numbers = [], []
    for cell, (name, arm, s) in zip(cells, found, strict=True):
        spec = source.specs[arm]
        mark = "yes" if name == "tune" and s.mean == best[cell] else ""
        rows.append((name, f"`{arm}`", batch_label(spec.batch_size), short(spec.lr), score(s), mark))
        numbers.append({"sweep": name, "arm": arm, "batch_size": spec.batch_size, "lr": spec.lr, **_flat("holdout", s)})
    key = f"{source.paper.key}-{source.preset}-tuning"
    title = f"Settings chosen on held-out training images ({source.preset} scale)"
    if len(rows) > LONG:  # pages of rates help nobody
        title += f": the lowest of each; all {len(rows)} arms are in tables/{key}.csv"
        rows = [row for row in rows if row[-1]]
    return Grid(key, title, columns, tuple(rows), pd.DataFrame(numbers))


def choice(source: Source, metric: str = SCORE) -> str:
    """What the tuning and pilot runs say and what the judged runs use; empty without such runs."""
    arms = {sweep.name: list(dict.fromkeys(s.arm for s in sweep.specs)) for sweep in source.paper.sweeps(source.preset)}
    roles, text = source.paper.roles(source.preset), []
    if not {"base", "large"} <= set(roles):
        return ""
    base, large = batch_number(str(roles["base"])), roles["large"]

    def means(sweep: str) -> list[tuple[Any, float]]:
        pairs = ((source.specs[arm], source.summary(arm, metric)) for arm in arms.get(sweep, ()))
        return [(spec, s.mean) for spec, s in pairs if s]

    if tuned := [(mean, spec.lr) for spec, mean in means("tune") if spec.batch_size == base]:
        low, rate = min(tuned)
        judged = (source.specs[arm] for name in arms if name not in CHOOSING for arm in arms[name])
        chosen = next(spec.lr for spec in judged if spec.batch_size == base)
        text.append(f"Lowest mean hold-out error at batch {batch_label(base)}: η = {short(rate)} ({low:.2f} %); "
                    f"chosen for the judged runs: η = {short(chosen)}.")  # fmt: skip
    pilot = {spec.batch_size: mean for spec, mean in means("pilot")}
    if base in pilot and len(pilot) > 1:
        steps = [f"{batch_label(b)}: {m - pilot[base]:+.2f}" for b, m in sorted(pilot.items()) if b != base]
        text.append(f"Mean hold-out error of the pilot runs minus that of batch {batch_label(base)}, in points: "
                    f"{', '.join(steps).replace('-', '−')}; chosen as the last good batch: {large}.")  # fmt: skip
    return " ".join(text)
