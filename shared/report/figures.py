"""Static figures: matplotlib with seaborn's theme; SVG, PNG and the CSV of the plotted points."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shared.report.plots import Line, Pane, Plot
from shared.report.style import COLORS, DASHES, WIDTH, save, style


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
    with style():
        figure = Figure(figsize=(width, rows * (3.0 if columns < 3 else 2.5) + 0.3), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for number, (ax, pane) in enumerate(zip(axes, plot.panes, strict=False)):
            first = number % columns == 0 or not plot.share_y
            _pane(ax, pane)
            ax.set_ylabel(pane.y_label if first else "")
            ax.set_xlabel(pane.x_label if number + columns >= len(plot.panes) else "")
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
    gaps = f"not run: {', '.join(plot.gaps)}" if plot.gaps else ""
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
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for line in pane.lines:
        (_dots if line.points else _curve)(ax, line)
    if pane.cap is not None:
        _carets(ax, pane, pane.cap)
    if not any(len(line.frame) for line in pane.lines):
        ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", va="center", color="#777777")
    legend = len(pane.lines) > 1 or not pane.lines[0].points
    if legend:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, borderpad=0.2, labelspacing=0.3)
    ax.set_title(pane.title, loc="left", pad=6 + 9.6 * len(pane.lines) * legend, fontweight="bold")


def _carets(ax: Axes, pane: Pane, cap: float) -> None:
    """End the axis at the cap and mark what lies above it."""
    seen = pd.concat([line.frame[line.frame["mean"] <= cap] for line in pane.lines])
    low = float(np.fmin(seen["low"], seen["mean"]).min())
    ax.set_ylim(low - 0.06 * (cap - low), cap)
    for line in pane.lines:
        beyond, color = pane.beyond(line), COLORS[line.color]
        for x, mean in zip(beyond["x"], beyond["mean"], strict=True):
            ax.plot([x], [cap], marker="^", color=color, markersize=6, clip_on=False, zorder=5)
            ax.annotate(f"{mean:.1f}", (x, cap), (0, -6), textcoords="offset points", ha="center", va="top",
                        fontsize=6.8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip


def _curve(ax: Axes, line: Line) -> None:
    frame, color = line.frame.astype(float), COLORS[line.color]
    dash = DASHES[line.dash] if len(frame) else ""  # an arm without runs keeps its place in the legend, without a line
    ax.plot(frame["x"], frame["mean"], color=color, linestyle=dash, label=line.label)
    ax.fill_between(frame["x"], frame["low"], frame["high"], color=color, alpha=0.2, linewidth=0)


def _dots(ax: Axes, line: Line) -> None:
    frame, color, ours = line.frame, COLORS[line.color], bool(line.arm)
    low, high = frame["mean"] - frame["low"], frame["high"] - frame["mean"]
    ax.errorbar(frame["x"], frame["mean"], yerr=np.nan_to_num([low, high]), color=color, label=line.label,
                marker="o" if ours else "s", markerfacecolor=color if ours else "white", capsize=2.5,
                elinewidth=0.9, linewidth=1.1 if ours else 0.8, linestyle="-" if ours else "--")  # fmt: skip
