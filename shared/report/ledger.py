"""What the runs were: every setting that differs from the paper, what they cost, where they come from."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pandas as pd

from shared.report.data import Source
from shared.report.grid import Column, Grid, number, short
from shared.spec import RunSpec, diff

FOLLOWS = ("parents",)
"""Fields that differ because others do: the runs that a run starts from have names of their own."""


def deviations(source: Source) -> Grid:
    """Every field in which an arm differs from its counterpart in the paper: a diff of one spec each."""
    pairs: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    arms = []
    for arm, spec in source.specs.items():
        theirs = source.paper.counterpart(spec)
        if theirs is None:
            continue
        arms.append(arm)
        for field, pair in _changes(theirs, spec).items():
            pairs[field][pair].append(arm)
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


def _changes(theirs: RunSpec, ours: RunSpec) -> dict[str, tuple[str, str]]:
    """``diff`` for print; a part that one side lacks altogether is one change."""
    found: dict[str, tuple[str, str]] = {}
    for field, (a, b) in diff(theirs, ours).items():
        part = field.partition(".")[0]
        if part in FOLLOWS:
            continue
        if None in (getattr(theirs, part), getattr(ours, part)) and part != field:
            found[part] = ("none", "given") if getattr(theirs, part) is None else ("given", "none")
        else:
            found[field] = (_setting(a), _setting(b))
    return found


def _setting(value: object) -> str:
    """A list of whole structures is counted: its fields would not fit a cell."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} of them"
    return short(value)


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
    """Runs, hours, speed and samples of each sweep, those without runs together; a run that stands in several sweeps
    counts in the first."""
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
    idle = [item for item in numbers if not item["runs"]]
    if len(idle) > 1:
        rest = {"sweep": f"{len(idle)} others", "declared": sum(i["declared"] for i in idle), **cost_of(pd.DataFrame())}
        numbers = [*(item for item in numbers if item["runs"]), rest]
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
