"""A declaration and a source → what is plotted, once, for the static and the interactive figure and the CSV."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd

from shared.report.data import ReportError, Source, Summary, band, batch_label
from shared.report.declare import BANDS, Curves, Figure, Panel, Points


@dataclass(frozen=True)
class Line:
    label: str
    arm: str
    """Empty for the paper's own points."""
    frame: pd.DataFrame
    """Columns x, mean, sd, n, low, high (and ``arm`` for points)."""
    color: str
    dash: str = "solid"
    points: bool = False
    """Markers with error bars rather than a curve with a band; the paper's are hollow."""


@dataclass(frozen=True)
class Pane:
    title: str
    lines: tuple[Line, ...]
    x_label: str
    y_label: str
    ticks: tuple[tuple[float, str], ...] = ()
    """(position, label) on a log2 axis; empty for a linear axis."""
    cap: float | None = None
    """Upper end of the y axis; points above it stand there as a caret with their value."""

    def beyond(self, line: Line) -> pd.DataFrame:
        """The points of a line that lie above the cap."""
        return line.frame[line.frame["mean"] > (math.inf if self.cap is None else self.cap)]


@dataclass(frozen=True)
class Plot:
    """Everything that a drawing of one figure needs."""

    name: str
    """``<paper>-<preset>-<key>``: the file name without suffix."""
    panes: tuple[Pane, ...]
    footer: str
    """n, scale and interval, printed on the figure."""
    columns: int
    share_y: bool
    gaps: tuple[str, ...] = field(default=())
    """Declared arms that have no finished run."""
    remark: str = ""
    """What a reader must know about the paper's points."""

    @property
    def empty(self) -> bool:
        return not any(len(line.frame) for pane in self.panes for line in pane.lines if line.arm)

    def table(self) -> pd.DataFrame:
        """The plotted points: panel, series, arm, x, mean, sd, n, low, high."""
        parts = []
        for pane in self.panes:
            for line in pane.lines:
                part = line.frame.copy()
                part.insert(0, "panel", pane.title.replace("\n", " "))
                part.insert(1, "series", line.label.split("\n")[0])
                if "arm" not in part:
                    part.insert(2, "arm", line.arm)
                parts.append(part)
        columns = ["panel", "series", "arm", "x", "mean", "sd", "n", "low", "high"]
        parts = [p[columns] for p in parts if len(p)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def plot(declared: Figure, source: Source) -> Plot:
    """What a declared figure shows for these runs; arms without runs become gaps, never an error."""
    return _points(declared, source) if isinstance(declared, Points) else _curves(declared, source)


def spread(s: Summary) -> str:
    """``24.84 ± 0.37``, or the mean alone where there is a single value."""
    return f"{s.mean:.{s.digits}f}" + ("" if math.isnan(s.sd) else f" ± {s.sd:.{s.digits}f}")


def _footer(source: Source, arms: list[str], kind: str) -> str:
    have = [s.n for a in dict.fromkeys(arms) if (s := source.summary(a))]
    if not have:
        return f"{source.preset} scale · no runs"
    n = f"{have[0]}" if min(have) == max(have) else f"{min(have)}–{max(have)}"
    data = sorted({str(d) for a in arms for d in source.of(a).get("data.name", ())})
    return " · ".join([f"{source.preset} scale", *data, f"n = {n} seeds an arm", BANDS[kind]])


def _curves(declared: Curves, source: Source) -> Plot:
    panes, arms = [], []
    for panel in declared.panels:
        for value in _values(panel, source):
            roles = dict(value)
            series = [(s, source.paper.arms(s.arm.format_map(_Keep(roles)), source.preset)[0]) for s in panel.series]
            if len(series) > 1 and len({(a, s.metric) for s, a in series}) == 1:
                continue
            if any(_stands_for(source, arm) in declared.omit for _, arm in series):
                continue
            arms += [arm for _, arm in series]
            lines = tuple(
                Line(_legend(declared, source, source.label(s.label, arm, **roles), arm), arm,
                     source.curve(arm, s.metric, declared.x, declared.band), s.color, s.dash)
                for s, arm in series
            )  # fmt: skip
            panes.append(Pane(source.label(panel.title, series[-1][1], **roles), lines,
                              declared.x_label, declared.y_label))  # fmt: skip
    return Plot(_name(declared, source), tuple(panes), _footer(source, arms, declared.band),
                min(declared.columns, max(1, len(panes))), True, tuple(source.missing(arms)))  # fmt: skip


def _stands_for(source: Source, arm: str) -> str:
    """The arm of the paper preset; empty where there is none."""
    theirs = source.paper.counterpart(source.specs[arm]) if arm in source.specs else None
    return theirs.arm if theirs else ""


class _Keep(dict):
    """Fills the roles that it knows and leaves the others as templates."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _values(panel: Panel, source: Source) -> list[tuple[tuple[str, str], ...]]:
    """One set of role values per panel: every value of the one role that holds several."""
    roles = source.paper.roles(source.preset)
    many = {k for k, v in roles.items() if isinstance(v, tuple) for s in panel.series if "{" + k + "}" in s.arm}
    if len(many) > 1:
        raise ReportError(f"panel {panel.title!r} expands over {' and '.join(sorted(many))}; use one such role")
    return [((role, value),) for role in many for value in roles[role]] or [()]


def _legend(declared: Curves, source: Source, label: str, arm: str) -> str:
    score = source.summary(arm, declared.legend_metric) if declared.legend_metric else None
    if not len(source.of(arm)):
        return f"{label}: not run"
    if score is None:
        return label
    lost = f", {score.diverged} of {score.n} diverged" if score.diverged else ""
    return f"{label}: {spread(score)} %{lost}"


def _points(declared: Points, source: Source) -> Plot:
    arms = list(source.paper.arms(declared.arms, source.preset))
    found: list[tuple[str, Summary]] = [(a, s) for a in arms if (s := source.summary(a, declared.metric))]
    ours = pd.DataFrame(
        [{"arm": a, "x": float(getattr(source.specs[a], declared.x)), "mean": s.mean, "sd": s.sd, "n": s.n,
          **dict(zip(("low", "high"), map(float, s.band(declared.band)), strict=True))} for a, s in found],
        columns=["arm", "x", "mean", "sd", "n", "low", "high"],
    ).sort_values("x")  # fmt: skip
    lines = [Line("ours", "ours", ours, "large", points=True)]
    theirs, unsure = _reference(declared, source)
    panes = [Pane(f"This suite, {source.preset} scale", tuple(lines), declared.x_label, declared.y_label,
                  _ticks(ours["x"]), _cap(declared, ours))]  # fmt: skip
    if len(theirs):
        line = Line("paper", "", theirs, "paper", points=True)
        if source.preset == "paper":
            xs = pd.concat([ours["x"], theirs["x"]])
            panes = [Pane("", (*lines, line), declared.x_label, declared.y_label, _ticks(xs))]
        else:
            title = f"{source.paper.authors.split(',')[0]} et al. {source.paper.year}, {declared.where}"
            panes.append(Pane(title, (line,), declared.x_label, declared.y_label, _ticks(theirs["x"])))
    return Plot(_name(declared, source), tuple(panes), _footer(source, arms, declared.band),
                len(panes), False, tuple(source.missing(arms)), unsure)  # fmt: skip


def _reference(declared: Points, source: Source) -> tuple[pd.DataFrame, str]:
    """The paper's points with the band of ours, and a remark on those left out because no number is printed."""
    table = read_reference(source, declared.reference)
    if table.empty:
        return table, ""
    unsure = table["mean"].isna() | (table["tag"] == "M")
    kept = table[~unsure]
    frame = pd.DataFrame({"arm": "", "x": kept[declared.x], "mean": kept["mean"], "sd": kept["sd"], "n": kept["n"]})
    frame = frame.astype({c: float for c in ("x", "mean", "sd", "n")}).sort_values("x").reset_index(drop=True)
    frame["low"], frame["high"] = band(frame["mean"], frame["sd"], frame["n"], declared.band)
    lost = ", ".join(batch_label(x) for x in sorted(table.loc[unsure, declared.x]))
    return frame, f"the paper plots {lost} without printing a number: left out" if lost else ""


def read_reference(source: Source, name: str | None) -> pd.DataFrame:
    """A CSV of the paper's ``reference/`` folder; empty when there is none."""
    path = source.paper.folder / "reference" / (name or "")
    return pd.read_csv(path, comment="#") if name and path.is_file() else pd.DataFrame()


def _cap(declared: Points, ours: pd.DataFrame) -> float | None:
    """Where to cut the y axis so that a failed batch does not flatten the others; None when all are within reach."""
    if declared.reach is None or ours.empty:
        return None
    top = math.ceil(float(ours["mean"].min()) + declared.reach)
    return float(top) if (ours["mean"] > top).any() else None


def _ticks(xs: pd.Series) -> tuple[tuple[float, str], ...]:
    return tuple((float(x), batch_label(x)) for x in sorted(set(xs)))


def _name(declared: Figure, source: Source) -> str:
    return f"{source.paper.key}-{source.preset}-{declared.key}"
