"""Static figures: matplotlib with seaborn's theme; SVG, PNG and the CSV of the plotted points."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from shared.report.lines import Line
from shared.report.plots import Pane, Plot, raised
from shared.report.style import COLORS, DASHES, FEW, MARKERS, WIDTH, dense, plain, save, style

WORD = 19.0
"""Width in points of a caret's number, with a gap."""


def write(plot: Plot, folder: Path) -> list[Path]:
    """``folder/<name>.{svg,png,csv}`` for one figure; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{plot.name}.csv"
    plot.table().to_csv(table, index=False, float_format="%.10g", lineterminator="\n")
    return [*save(draw(plot), folder / plot.name), table]


def draw(plot: Plot) -> Figure:
    """One figure, at most as wide as the text of the report; legends stand above their panels, clear of the curves."""
    columns = max(1, plot.columns)
    rows = -(-max(1, len(plot.panes)) // columns)
    width = WIDTH if columns > 1 else 0.72 * WIDTH
    tall = 3.0 if columns < 3 and rows == 1 else 2.5
    with style():
        figure = Figure(figsize=(width, rows * tall + 0.3), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        differ = len({pane.x_label for pane in plot.panes}) > 1
        for number, (ax, pane) in enumerate(zip(axes, plot.panes, strict=False)):
            first = number % columns == 0 or not plot.share_y
            _pane(ax, pane)
            ax.set_ylabel(pane.y_label if first else "")
            ax.set_xlabel(pane.x_label if differ or number + columns >= len(plot.panes) else "")
            if plot.share_y:
                ax.set_ylim(0, _top(plot))
                ax.tick_params(labelleft=first)
        for ax in axes[len(plot.panes) :]:
            ax.set_axis_off()
        figure.supxlabel("\n".join(_notes(plot)), fontsize=6.8, color="#444444")
        sns.despine(fig=figure)
        figure.draw_without_rendering()  # lays the panels out, once for all formats
        figure.set_layout_engine(None)
    return figure


def _notes(plot: Plot) -> list[str]:
    gaps = f"not run: {', '.join(plot.gaps)}".replace("`", "") if plot.gaps else ""
    width = 110 if plot.columns > 1 else 78
    return [line for text in (plot.footer, plot.remark, gaps) for line in textwrap.wrap(text, width)]


def _top(plot: Plot) -> float:
    tops = [line.frame["mean"].max() for pane in plot.panes for line in pane.lines if len(line.frame)]
    return min(100.0, 1.08 * float(np.nanmax(tops))) if tops else 100.0


def _pane(ax: Axes, pane: Pane) -> None:
    if pane.ticks:
        ax.set_xscale("log", base=2)
        ax.set_xticks([x for x, _ in pane.ticks], [label for _, label in pane.ticks])
        ax.minorticks_off()
    elif pane.x_log:
        ax.set_xscale("log")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ends = pane.range()
    for line in pane.lines:
        (_dots if line.points else _curve)(ax, line, ends[0] if ends else None)
    if pane.x_log and not pane.ticks:
        _plain(ax.xaxis)
    if ends:
        ax.set_yscale("log")
        ax.set_ylim(ends)
        _plain(ax.yaxis)
        _sunken(ax, pane, ends[0])
    if pane.cap is not None:
        _carets(ax, pane, pane.cap)
    for x, word in pane.marks:
        ax.axvline(x, color="#999999", linewidth=0.7, zorder=0)
        ax.annotate(word, (x, 0.5), (-2, 0), ("data", "axes fraction"), "offset points", ha="right", va="center",
                    fontsize=6.8, color="#666666")  # fmt: skip
    if pane.x_reversed:
        ax.invert_xaxis()
    if not any(len(line.frame) for line in pane.lines):
        ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", va="center", color="#777777")
    ax.set_title(pane.title, loc="left", pad=6 + 9.6 * _legend(ax, pane), fontweight="bold")


def _plain(axis: Axis) -> None:
    """Numbers as they are written on a logarithmic axis of few decades, up to two of them at 1, 2 and 5."""
    low, high = axis.get_view_interval()
    if plain(low, high):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if dense(low, high) else (1,)))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.set_minor_formatter(NullFormatter())


def _legend(ax: Axes, pane: Pane) -> int:
    """Above the panel; of several series the paper's share the keys of ours. Returns its lines."""
    keyed = [line for line in pane.lines if line.keyed]
    if len(keyed) == 1 and keyed[0].points:
        return 0
    handles = {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    several = len({line.series for line in keyed}) > 1
    keys: dict[object, list[Line]] = {}
    for line in keyed:
        keys.setdefault(line.series if several else line.label, []).append(line)
    drawn = [tuple(handles[line.label] for line in lines) for lines in keys.values()]
    ax.legend([key if len(key) > 1 else key[0] for key in drawn], [lines[0].label for lines in keys.values()],
              handler_map={tuple: HandlerTuple(ndivide=None, pad=0.6)}, loc="lower left", bbox_to_anchor=(0, 1),
              borderaxespad=0.2, borderpad=0.2, labelspacing=0.3,
              handlelength=4.2 if pane.shared else None)  # fmt: skip
    return len(keys)


def _carets(ax: Axes, pane: Pane, cap: float) -> None:
    """End the axis at the cap and mark what lies above it."""
    seen = pd.concat([line.frame[line.frame["mean"] <= cap] for line in pane.lines])
    low = float(np.fmin(seen["low"], seen["mean"]).min())
    ax.set_ylim(low - 0.06 * (cap - low), cap)
    beyond = [(x, mean, COLORS[line.color]) for line in pane.lines
              for x, mean in pane.beyond(line)[["x", "mean"]].itertuples(index=False)]  # fmt: skip
    ax.get_xlim()  # settles the axis, hence where x lies
    ends = [-math.inf]  # in points, of the words on each row so far: the next goes to the first row with room
    for x, mean, color in sorted(beyond):
        ax.plot([x], [cap], marker="^", color=color, markersize=6, clip_on=False, zorder=5)
        at = ax.transData.transform((x, cap))[0] * 72 / ax.figure.dpi
        row = next((i for i, end in enumerate(ends) if at - WORD >= end), len(ends))
        ends[row : row + 1] = [at]
        ax.annotate(f"{mean:.1f}", (x, cap), (0, -6 - 9 * row), textcoords="offset points", ha="center", va="top",
                    fontsize=6.8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip


def _sunken(ax: Axes, pane: Pane, low: float) -> None:
    """Mark at the lower edge what is 0 or less on a logarithmic axis."""
    for line in pane.lines:
        sunk = pane.sunk(line)
        for x, mean in zip(sunk["x"], sunk["mean"], strict=True):
            ax.plot([x], [low], marker="v", color=COLORS[line.color], markersize=6, clip_on=False, zorder=5)
            ax.annotate(f"{mean:g}", (x, low), (0, 5), textcoords="offset points", ha="center", fontsize=6.8)


def _curve(ax: Axes, line: Line, floor: float | None) -> None:
    frame, color = raised(line.frame.astype(float), floor), COLORS[line.color]
    dash = DASHES[line.dash] if len(frame) else ""  # an arm without runs keeps its place in the legend, without a line
    ax.plot(frame["x"], frame["mean"], color=color, linestyle=dash, label=line.label)
    ax.fill_between(frame["x"], frame["low"], frame["high"], color=color, alpha=0.2, linewidth=0)


def _dots(ax: Axes, line: Line, floor: float | None) -> None:
    frame, color, ours = raised(line.frame, floor), COLORS[line.color], bool(line.arm)
    low, high = frame["mean"] - frame["low"], frame["high"] - frame["mean"]
    size: dict[str, Any] = {"markersize": 2.8, "markevery": -(-len(frame) // FEW)} if line.thinned else {}
    size = size if line.joined else {"markersize": 3.2, **size}
    ax.errorbar(frame["x"], frame["mean"], yerr=np.nan_to_num([low, high]) if low.notna().any() else None,
                color=color, label=line.label if line.keyed else None, marker=MARKERS[line.dash][not ours],
                markerfacecolor=color if ours else "white", capsize=2.5, elinewidth=0.9,
                linewidth=1.1 if ours else 0.8, linestyle=_joint(line), **size)  # fmt: skip


def _joint(line: Line) -> object:
    if not line.joined or not len(line.frame):
        return ""
    dashed = not line.arm and line.dash == "solid" and len(line.frame) <= FEW
    return "--" if dashed else DASHES[line.dash]
