"""A declaration and a source → what is plotted, once, for the static and the interactive figure and the CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pandas as pd

from shared.report.data import ReportError, Source, batch_label, data_names
from shared.report.declare import BANDS, Curves, Figure, Panel, Points, Series
from shared.report.lines import Line, kind_of, ours, predicted, theirs

TICKS = 11
"""Labels that an axis of batches has room for."""


@dataclass(frozen=True)
class Pane:
    title: str
    lines: tuple[Line, ...]
    x_label: str
    y_label: str
    ticks: tuple[tuple[float, str], ...] = ()
    """(position, label) on a logarithmic x axis; empty: chosen when drawn."""
    cap: float | None = None
    """Upper end of the y axis; points above it stand there as a caret with their value."""
    x_log: bool = False
    x_reversed: bool = False
    y_log: bool = False
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def shared(self) -> bool:
        """Whether several series of ours and of the paper lie in one pane, so that they share keys."""
        whose = {bool(line.arm) for line in self.lines}
        return len(whose) > 1 and len({line.series for line in self.lines}) > 1

    def beyond(self, line: Line) -> pd.DataFrame:
        """The points of a line that lie above the cap."""
        return line.frame[line.frame["mean"] > (math.inf if self.cap is None else self.cap)]

    def sunk(self, line: Line) -> pd.DataFrame:
        """The points of a line that a logarithmic y axis cannot show: they stand at its lower edge."""
        return line.frame[(line.frame["mean"] <= 0) & self.y_log]

    def range(self) -> tuple[float, float] | None:
        """Ends of a logarithmic y axis: all positive means, and upper ends of bands. None for a linear axis."""
        if not self.y_log:
            return None
        frames = [line.frame for line in self.lines]
        means = [float(mean) for frame in frames for mean in frame["mean"] if mean > 0]
        tops = [*means, *(float(high) for frame in frames for high in frame["high"] if high > 0)]
        if not means:
            return 0.1, 10.0
        return min(means) / (4.0 if any(len(self.sunk(line)) for line in self.lines) else 1.5), 1.5 * max(tops)


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
    """Declared arms, or whole sweeps, that have no finished run."""
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


def raised(frame: pd.DataFrame, floor: float | None) -> pd.DataFrame:
    """With what lies below the lower end of a logarithmic axis at that end."""
    return frame if floor is None else frame.assign(**{c: frame[c].clip(lower=floor) for c in ("mean", "low", "high")})


def plot(declared: Figure, source: Source) -> Plot:
    """What a declared figure shows for these runs; arms without runs become gaps, never an error."""
    shown, arms, unsure = [], [], []
    for panel, roles in _expanded(declared, source):
        named = [(s, source.arms(s.arm, **roles)) for s in panel.series]
        if _skipped(declared, source, named):
            continue
        mine = [arm for _, found in named for arm in found]
        labels = [source.label(s.label, found[-1] if found else "", **roles) for s, found in named]
        lines = [replace(line, series=i) for i, ((s, found), label) in enumerate(zip(named, labels, strict=True))
                 for line in ours(s, declared, source, found, label)]  # fmt: skip
        laws = [line for law in panel.laws for line in predicted(law, lines, source)]
        lines += [replace(line, series=len(named) + i) for i, line in enumerate(laws)]
        several = len(panel.series) > 1
        printed = [theirs(s, declared, source, roles, s.color if several else "paper") for s in panel.series]
        there = {**source.paper.roles("paper"), **roles}
        stated = [source.label(s.label, found[-1] if found else "", **there) for s, found in named]
        others = [replace(line, series=i, label=f"paper, {label}" if several else "paper")
                  for i, (label, (line, _)) in enumerate(zip(stated, printed, strict=True)) if line]  # fmt: skip
        arms += mine
        unsure += [x for _, lost in printed for x in lost]
        title = source.label(panel.title, mine[-1] if mine else "", **roles)
        shown.append(_Shown(panel, title, lines, others, bool(len(source.missing(mine)) < len(set(mine)))))
    alone = source.preset == "paper" and any(s.run for s in shown)
    shown = [s for s in shown if s.run or (alone and s.panel.alone and s.theirs)]
    panes, columns = _laid_out(declared, source, shown)
    without = ", ".join(batch_label(x) for x in sorted(unsure))
    remarks = [f"the paper plots {without} without printing a number: left out"] * bool(unsure)
    remarks += ["hollow: the paper's points"] * any(pane.shared for pane in panes)
    remarks += _thinned(s.ours for s in shown) if isinstance(declared, Curves) else []
    return Plot(f"{source.paper.key}-{source.preset}-{declared.key}", panes, _footer(declared, source, arms), columns,
                declared.share_y, source.gaps(arms), "; ".join(remarks))  # fmt: skip


def arms_of(declared: Figure, source: Source) -> list[str]:
    """Every arm of this preset that a figure shows, run or not; empty when it has no place at this scale."""
    found = [source.arms(s.arm, **roles) for panel, roles in _expanded(declared, source) for s in panel.series]
    return [arm for arm in dict.fromkeys(a for arms in found for a in arms) if arm in source.specs]


@dataclass(frozen=True)
class _Shown:
    panel: Panel
    title: str
    ours: list[Line]
    theirs: list[Line]
    run: bool


def _expanded(declared: Figure, source: Source) -> Iterator[tuple[Panel, dict[str, str]]]:
    """Every panel for every value of the one role of its curves that holds several; panels that share the values
    take turns, so that what belongs to one value stands together."""
    roles = source.paper.roles(source.preset)
    values, panels = [], [p for p in declared.parts() if source.preset in p.presets]
    for panel in panels:
        curves = [s.arm for s in panel.series if kind_of(s, declared) not in ("arms", "ends")]
        many = {k for k, v in roles.items() if isinstance(v, tuple) and any("{" + k + "}" in arm for arm in curves)}
        if len(many) > 1:
            raise ReportError(f"panel {panel.title!r} expands over {' and '.join(sorted(many))}; use one such role")
        values.append([{role: value} for role in many for value in roles[role]] or [{}])
    if all(v == values[0] for v in values):
        yield from ((panel, value) for value in (values or [[]])[0] for panel in panels)
    else:
        yield from ((p, value) for p, found in zip(panels, values, strict=True) for value in found)


def _skipped(declared: Figure, source: Source, named: list[tuple[Series, tuple[str, ...]]]) -> bool:
    """Whether the paper's figure has no such panel, or one that would set an arm against itself."""
    if not isinstance(declared, Curves):
        return False
    if len(named) > 1 and len({(arms, s.metric) for s, arms in named}) == 1:
        return True
    return any(_stands_for(source, arm) in declared.omit for _, arms in named for arm in arms)


def _stands_for(source: Source, arm: str) -> str:
    """The arm of the paper preset; empty where there is none."""
    theirs_ = source.paper.counterpart(source.specs[arm]) if arm in source.specs else None
    return theirs_.arm if theirs_ else ""


def _laid_out(declared: Figure, source: Source, shown: list[_Shown]) -> tuple[tuple[Pane, ...], int]:
    """The panes in order and how many stand in a row: at paper scale the paper's points lie over ours, elsewhere they
    have panes of their own, beside a single panel or below a row of several."""
    columns = max(1, min(declared.columns, len(shown)))
    over = source.preset == "paper"
    apart = not over and any(s.theirs for s in shown)
    name = f"{source.paper.authors.split(',')[0]} et al. {source.paper.year}"
    panes: list[Pane] = []
    for start in range(0, len(shown), columns):
        row = shown[start : start + columns]
        for s in row:
            if not s.run:
                panes.append(_pane(declared, s, f"{s.title}, {name}", _alone(s.theirs)))
            elif over and s.theirs:
                panes.append(_pane(declared, s, s.title, [*s.ours, *s.theirs]))
            else:
                title = f"{s.title}, this suite" if apart else s.title
                here = f"This suite, {source.preset} scale" if isinstance(declared, Points) else ""
                panes.append(_pane(declared, s, title if s.panel.title else here, s.ours))
        for s in (s for s in row if apart and s.run and s.theirs):
            title = f"{s.title}, {name}" if s.panel.title else f"{name}, {declared.where}"
            panes.append(_pane(declared, s, title, _alone(s.theirs)))
    return tuple(panes), max(columns, 2) if apart else columns


def _alone(lines: list[Line]) -> list[Line]:
    """The paper's lines in a pane without ours."""
    return [replace(line, label=line.label.removeprefix("paper, "), joined=True) for line in lines]


def _pane(declared: Figure, shown: _Shown, title: str, lines: list[Line]) -> Pane:
    batches = declared.x == "batch_size" and declared.x_log
    return Pane(title, tuple(lines), shown.panel.x_label or declared.x_label, shown.panel.y_label or declared.y_label,
                _ticks(lines) if batches else (), _cap(declared, lines), declared.x_log, declared.x_reversed,
                shown.panel.y_log, declared.marks)  # fmt: skip


def _thinned(lines: Iterable[list[Line]]) -> list[str]:
    """What a mean and its band hide where runs of a line end at different times: that those left carry it on."""
    counts = [line.frame["n"] for part in lines for line in part]
    fewest = [int(n.iloc[-1]) for n in counts if len(n) and n.iloc[-1] < n.iloc[0]]
    return [f"runs end at different times: n falls to {min(fewest)} along a line"] if fewest else []


def _footer(declared: Figure, source: Source, arms: list[str]) -> str:
    have = [n for a in dict.fromkeys(arms) if (n := len(source.of(a)))]
    if not have:
        return f"{source.preset} scale · no runs"
    seeds = f"{have[0]}" if min(have) == max(have) else f"{min(have)}–{max(have)}"
    data = sorted({str(d) for a in arms for d in data_names(source.of(a))})
    kinds = {kind_of(s, declared) for panel in declared.parts() for s in panel.series}
    spread = max(have) > 1 and kinds - {"runs", "ends"}  # one seed has no band
    parts = [BANDS[declared.band]] * bool(spread) + ["a line for each run"] * ("runs" in kinds)
    parts += ["a point for each run"] * ("ends" in kinds)
    return " · ".join([f"{source.preset} scale", *data, f"n = {seeds} seed{'s' * (seeds != '1')} an arm", *parts])


def _cap(declared: Figure, lines: list[Line]) -> float | None:
    """Where to cut the y axis so that a failed batch does not flatten the others; None when all are within reach,
    and beside the paper's points."""
    mine = lines[0].frame["mean"]
    reach = declared.reach if isinstance(declared, Points) else None
    if reach is None or not len(mine) or not all(line.arm for line in lines):
        return None
    top = math.ceil(float(mine.min()) + reach)
    return float(top) if (mine > top).any() else None


def _ticks(lines: list[Line]) -> tuple[tuple[float, str], ...]:
    """A label for each batch, as far as there is room."""
    xs = sorted({float(x) for line in lines for x in line.frame["x"]})
    kept = xs[-1:]  # the largest has its label in any case
    for x in reversed(xs[:-1]):
        room = math.log(xs[-1] / xs[0]) / TICKS * max(1.0, len(batch_label(x)) / 3.5)
        if math.log(kept[0] / x) >= room:
            kept.insert(0, x)
    return tuple((x, batch_label(x)) for x in kept)
