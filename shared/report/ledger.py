"""What the runs were: every setting that differs from the paper, what they cost, where they come from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pandas as pd

from shared.report.data import Source
from shared.report.grid import Column, Grid, number, short
from shared.spec import RunSpec, diff

FOLLOWS = ("parents", "protocol")
"""Fields that differ because others do: the runs that a run starts from have names of their own. And the protocol,
which tells our rows from those of our own earlier code."""
FORMS = {
    "reference": "",
    "averaging": " averaged",
    "absorbed": ", rate inside",
    "absorbed-corrected": ", rate inside, corrected",
}
"""How the momentum buffer is kept, after its factor; "rate inside": it sums rate times gradient."""
NO_SETTING = (
    "None that is a field of a run: these runs are the paper's as this suite declares it. What the paper leaves open, "
    "and what differs without being a setting, is listed with the other differences."
)


def setup(source: Source) -> Grid:
    """What each sweep with finished runs trains: data, net, batches, optimizer, rates, length; and its seeds so far."""
    columns = (Column("sweep", 15), Column("data", 18), Column("net", 22), Column("batches", 14), Column("rates", 13),
               Column("optimizer", 22), Column("length", 15), Column("seeds", 7))  # fmt: skip
    rows = []
    done = set(source.rows["run_id"]) if len(source.rows) else set()
    for sweep in source.paper.sweeps(source.preset):
        specs = [s for s in sweep.specs if s.task == "train"]
        if not specs or not done & {s.run_id for s in sweep.specs}:
            continue
        cells = (
            _several([f"{name}, {size:,} images" if size else name for name, size in
                      sorted({(s.data.name, s.data.train_size or 0) for s in specs})]),
            _variants(_net(s) for s in specs),
            _several([str(b) for b in sorted({s.batch_size for s in specs})]),
            _several([f"{lr:g}" for lr in sorted({s.lr for s in specs})]),
            _variants(_optimizer(s) for s in specs),
            _several([f"{n:,} {unit}" for n, unit in sorted({_length(s) for s in specs})]),
            _span(sorted({s.seed for s in sweep.specs if s.run_id in done})),
        )  # fmt: skip
        rows.append((sweep.name, *cells))
    title = f"What was run ({source.preset} scale)"
    return Grid(f"{source.paper.key}-{source.preset}-setup", title, columns, tuple(rows))


def _span(whole: list[int]) -> str:
    """``1–5`` for what has no gaps."""
    gapless = len(whole) > 2 and whole[-1] - whole[0] == len(whole) - 1
    return f"{whole[0]}–{whole[-1]}" if gapless else ", ".join(map(str, whole))


def _net(spec: RunSpec) -> tuple[str, str]:
    lower = [spec.precision] if spec.precision != "32-true" else []
    return spec.model.name, ", ".join([*(f"{name}={value}" for name, value in spec.model.args.items()), *lower])


def _optimizer(spec: RunSpec) -> tuple[str, str]:
    o = spec.optimizer
    form = FORMS[o.momentum_form] if o.momentum else ""
    decay = f", decay {o.weight_decay:g}" if o.weight_decay else ""
    kind = "β₁" if o.name == "adam" else "Nesterov momentum" if o.nesterov else "momentum"
    return o.name, f"{kind} {o.momentum:g}{form}{decay}"


def _length(spec: RunSpec) -> tuple[int, str]:
    return (spec.updates, "updates") if spec.updates else (spec.epochs or 0, "epochs")


def _variants(found: Iterable[tuple[str, str]], most: int = 3) -> str:
    """Names with their settings, of a name with many how many."""
    settings: dict[str, dict[str, None]] = defaultdict(dict)
    for name, args in found:
        settings[name][args] = None
    lines = []
    for name, variants in settings.items():
        if len(variants) <= most and sum(map(len, variants)) <= 80:
            lines += [f"{name}, {args}" if args else name for args in variants]
        else:
            lines.append(
                f"{name}, {len(variants)} settings" if len(variants) > 1 else f"{name}, {next(iter(variants))}"
            )
    return "\n".join(lines)


def _several(values: list[str], most: int = 5) -> str:
    """All of them, or the first and the last and how many there are."""
    if len(values) > most:
        return f"{values[0]} … {values[-1]} ({len(values)})"
    return ", ".join(values) if all(len(v) < 8 for v in values) else "\n".join(values)


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
    return Grid(f"{source.paper.key}-{source.preset}-deviations", title, columns, tuple(rows), none=NO_SETTING)


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


def summary(parts: Iterable[pd.DataFrame]) -> str:
    """``120 finished runs of 2026-11-20 to 2026-11-29, 4.3 core-hours on AMD EPYC``: what a report stands on."""
    rows = pd.concat([p for p in parts if len(p)] or [pd.DataFrame()], ignore_index=True)
    text = f"{len(rows):,} finished run{'s' * (len(rows) != 1)}"
    if "provenance.started_at" in rows and len(days := rows["provenance.started_at"].dropna().str[:10].sort_values()):
        text += f" of {' to '.join(dict.fromkeys((days.iloc[0], days.iloc[-1])))}"
    if len(rows):
        text += f", {number(float(cost_of(rows)['core_hours']), 1)} core-hours"
    if "provenance.cpu" in rows and len(kinds := sorted(rows["provenance.cpu"].dropna().unique())):
        text += f" on {' and '.join(kinds)}"
    return text


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
