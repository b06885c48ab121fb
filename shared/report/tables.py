"""The paper's tables with ours beside them, and the tables on tuning, deviations, cost and origin."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pandas as pd

from shared.report.claims import as_printed
from shared.report.data import Source, Summary, batch_label, batch_number
from shared.report.declare import SCORE, Table
from shared.report.grid import Column, Grid, number, short
from shared.report.plots import read_reference, spread
from shared.spec import diff

CHOOSING = ("tune", "pilot")
"""Sweeps that choose settings on held-out training images; never judged."""


def of_paper(table: Table, source: Source) -> Grid:
    """The paper's table: its rows in its order, our mean ± sd (n) and settings, then the paper's."""
    if not table.rows:
        return _reference_only(table, source)
    reference = read_reference(source, table.reference)
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
    digits = max(0, round(-math.log10(2 * error))) if error > 0 else 2
    if one.get("tag") == "D":
        digits = len(as_printed(float(one["mean"]), None).partition(".")[2])
    return Summary(0 if pd.isna(one["n"]) else int(one["n"]), float(one["mean"]), float(one["sd"]), digits=digits)


def _ours(summary: Summary | None, undeclared: bool) -> str:
    return "not at this scale" if undeclared else "not run" if summary is None else score(summary)


def score(summary: Summary | None) -> str:
    """``24.84 ± 0.37 (5)``: mean, sd and seeds; a dash for nothing."""
    if summary is None:
        return "–"
    lost = f", {summary.diverged} diverged" if summary.diverged else ""
    return spread(summary) + (f" ({summary.n}{lost})" if summary.n else "")


def _flat(prefix: str, s: Summary | None) -> dict[str, float | None]:
    return {f"{prefix}_{k}": getattr(s, k) if s else None for k in ("mean", "sd", "n")}


def _reference_only(table: Table, source: Source) -> Grid:
    """The paper's numbers, one column a metric; derived ones bear their tag, and one source for all goes unsaid."""
    frame = read_reference(source, table.reference)
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


def tuning(source: Source, metric: str = SCORE) -> Grid:
    """Runs that chose settings: hold-out error of each arm, the lowest of every (sweep, batch) marked."""
    columns = (Column("sweep", 10), Column("arm", 30), Column("kn", 8, "right"), Column("η", 8, "right"),
               Column("hold-out error % (n)", 24, "right"), Column("lowest", 10, "center"))  # fmt: skip
    found: list[tuple[str, str, Summary]] = []
    declared = {sweep.name: sweep for sweep in source.paper.sweeps(source.preset)}
    for name in CHOOSING:
        for arm in dict.fromkeys(s.arm for s in declared[name].specs) if name in declared else ():
            if summary := source.summary(arm, metric):
                found.append((name, arm, summary))
    best: dict[tuple[str, int], float] = defaultdict(lambda: math.inf)
    for name, arm, s in found:
        cell = (name, source.specs[arm].batch_size)
        best[cell] = min(best[cell], s.mean)
    rows, numbers = [], []
    for name, arm, s in found:
        spec = source.specs[arm]
        mark = "yes" if name == "tune" and s.mean == best[name, spec.batch_size] else ""
        rows.append((name, f"`{arm}`", batch_label(spec.batch_size), short(spec.lr), score(s), mark))
        numbers.append({"sweep": name, "arm": arm, "batch_size": spec.batch_size, "lr": spec.lr, **_flat("holdout", s)})
    key = f"{source.paper.key}-{source.preset}-tuning"
    title = f"Settings chosen on held-out training images ({source.preset} scale)"
    return Grid(key, title, columns, tuple(rows), pd.DataFrame(numbers))


def choice(source: Source, metric: str = SCORE) -> str:
    """What the tuning and pilot runs say and what the judged runs use; empty without such runs."""
    arms = {sweep.name: list(dict.fromkeys(s.arm for s in sweep.specs)) for sweep in source.paper.sweeps(source.preset)}
    roles, text = source.paper.roles(source.preset), []
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


def deviations(source: Source) -> Grid:
    """Every field in which an arm differs from its counterpart in the paper: a diff of one spec each."""
    pairs: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    arms = []
    for arm, spec in source.specs.items():
        theirs = source.paper.counterpart(spec)
        if theirs is None:
            continue
        arms.append(arm)
        for field, (a, b) in diff(theirs, spec).items():
            pairs[field][short(a), short(b)].append(arm)
    rows = []
    for field, groups in pairs.items():
        if len(groups) > 3:
            theirs_, ours_ = ([p[i] for p in groups] for i in (0, 1))
            touched = sum(len(g) for g in groups.values())
            rows.append((f"`{field}`", _range(theirs_), _range(ours_), f"{touched} of {len(arms)} arms, each its own"))
            continue
        for (a, b), where in groups.items():
            rows.append((f"`{field}`", a, b, _arms(where, arms)))
    columns = (Column("field", 20), Column("paper", 22), Column("here", 24), Column("arms", 34))
    title = f"Settings that differ from the paper ({source.preset} scale)"
    return Grid(f"{source.paper.key}-{source.preset}-deviations", title, columns, tuple(rows))


def _range(values: list[str]) -> str:
    try:
        ordered = sorted({float(v) for v in values})
    except ValueError:
        return ", ".join(dict.fromkeys(values))
    return f"{ordered[0]:g} … {ordered[-1]:g}"


def _arms(where: list[str], every: list[str]) -> str:
    if len(where) == len(every):
        return "every arm"
    shown = ", ".join(f"`{a}`" for a in where[:4])
    return shown if len(where) <= 4 else f"{shown} and {len(where) - 4} more"


def cost(source: Source) -> Grid:
    """Runs, hours, speed and samples of each sweep; a run that stands in several sweeps counts in the first."""
    columns = (Column("sweep", 18), Column("runs done / declared", 16, "right"), Column("diverged", 11, "right"),
               Column("core-hours", 12, "right"), Column("images/s (median)", 15, "right"),
               Column("samples, millions", 15, "right"))  # fmt: skip
    rows: list[tuple[str, ...]] = []
    numbers: list[dict[str, Any]] = []
    seen: set[str] = set()
    for sweep in source.paper.sweeps(source.preset):
        ids = {s.run_id for s in sweep.specs} - seen
        seen |= ids
        part = source.rows[source.rows["run_id"].isin(ids)] if len(source.rows) else source.rows
        numbers.append({"sweep": sweep.name, "declared": len(ids), **cost_of(part)})
    everything: dict[str, Any] = {"sweep": "all", "declared": len(seen), **cost_of(source.rows)}
    for item in [*numbers, everything]:
        rows.append((item["sweep"], f"{item['runs']} / {item['declared']}", str(item["diverged"]),
                     number(item["core_hours"]), number(item["images_per_s"], 0),
                     number(item["samples"] / 1e6, 1)))  # fmt: skip
    title = f"Cost ({source.preset} scale)"
    return Grid(f"{source.paper.key}-{source.preset}-cost", title, columns, tuple(rows), pd.DataFrame(numbers))


def cost_of(part: pd.DataFrame) -> dict[str, float]:
    """Runs, diverged runs, core-hours, median images/s and samples of some rows."""
    if not len(part):
        return {"runs": 0, "diverged": 0, "core_hours": 0.0, "images_per_s": math.nan, "samples": 0.0}
    cores = pd.Series(1.0, index=part.index)
    for name in ("execution.threads", "execution.devices", "execution.nodes"):
        if name in part:
            cores = cores * pd.to_numeric(part[name], errors="coerce").fillna(1)

    def values(name: str) -> pd.Series:
        return pd.to_numeric(part[name], errors="coerce") if name in part else pd.Series(math.nan, index=part.index)

    return {
        "runs": len(part),
        "diverged": int((part["status"] == "diverged").sum()),
        "core_hours": float((values("wall_s") * cores).sum() / 3600),
        "images_per_s": float(values("images_per_s").median()),
        "samples": float(values("samples").sum()),
    }


def origin(source: Source) -> Grid:
    """Which revision, machine and data the rows come from."""
    names = {"git_sha": "revision", "git_dirty": "edited", "data_name": "data", "data_sha256": "data sha256",
             "cpu": "processor", "torch": "torch"}  # fmt: skip
    have = [n for n in names if len(source.rows) and f"provenance.{n}" in source.rows]
    rows = []
    if have:
        keys = [f"provenance.{n}" for n in have]
        for values, part in source.rows.fillna({k: "–" for k in keys}).groupby(keys, dropna=False):
            texts = [_origin(n, v) for n, v in zip(have, values, strict=True)]
            rows.append((*texts, str(len(part))))
    widths = {"git_sha": 16, "git_dirty": 9, "data_name": 15, "data_sha256": 16, "cpu": 22, "torch": 12}
    columns = (*(Column(names[n], widths[n]) for n in have), Column("runs", 8, "right"))
    title = f"Where the rows come from ({source.preset} scale)"
    return Grid(f"{source.paper.key}-{source.preset}-origin", title, columns, tuple(rows))


def _origin(name: str, value: object) -> str:
    if name in ("git_sha", "data_sha256"):
        return f"`{str(value)[:12]}`"
    if name == "git_dirty":
        return "yes" if str(value).lower() in ("true", "1", "1.0") else "no"
    return str(value)
