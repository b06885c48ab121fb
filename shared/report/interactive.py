"""The same plots for the HTML report: plotly traces as JSON, with one shared script file beside the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

from shared.report.lines import Line
from shared.report.plots import Pane, Plot, raised
from shared.report.style import COLORS, FEW, dense, plain

SCRIPT = "plotly.min.js"
_SYMBOLS = {"solid": ("circle", "square-open"), "dash": ("diamond", "diamond-open"),
            "dot": ("triangle-up", "triangle-up-open")}  # fmt: skip


def write_script(folder: Path) -> Path:
    """plotly's own script, once for all figures: nothing is fetched when the report is opened."""
    path = folder / SCRIPT
    path.write_text(get_plotlyjs(), encoding="utf-8")
    return path


def spec(plot: Plot) -> dict[str, Any]:
    """``{"data": …, "layout": …}`` for ``Plotly.newPlot``; no identifiers that change from build to build."""
    columns = max(1, plot.columns)
    rows = -(-max(1, len(plot.panes)) // columns)
    lines = max((len(_keyed(pane)) for pane in plot.panes), default=1)
    head, tall = 24 + 17 * lines, 260 if columns < 3 else 210
    inner = rows * tall + (rows - 1) * (head + 40)
    gap = 0.075 if plot.share_y or columns < 3 else 0.11
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": inner + head + 60,
        "margin": {"l": 55, "r": 15, "t": head + 8, "b": 52},
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "showlegend": False,
        "plot_bgcolor": "#fff",
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(255,255,255,0)", "color": "#9aa3ab", "activecolor": "#1b1f24"},
        "annotations": [],
        "shapes": [],
    }
    for number, pane in enumerate(plot.panes, start=1):
        axis = "" if number == 1 else str(number)
        row, column = divmod(number - 1, columns)
        top = 1 - row * (tall + head + 40) / inner
        wide = (1 - (columns - 1) * gap) / columns
        left = column * (wide + gap)
        lined = {"gridcolor": "#E4E4E4", "zeroline": False}
        x: dict[str, Any] = {"domain": [left, left + wide], "anchor": f"y{axis}", **lined}
        y: dict[str, Any] = {"domain": [max(0.0, top - tall / inner), top], "anchor": f"x{axis}", **lined}
        if number + columns > len(plot.panes):
            x["title"] = {"text": pane.x_label}
        if column == 0 or not plot.share_y:
            y["title"] = {"text": pane.y_label}
        if plot.share_y:
            y |= {"rangemode": "tozero"} | ({"matches": "y"} if axis else {})
        if pane.cap is not None:
            y |= {"autorangeoptions": {"maxallowed": pane.cap}}
        if pane.ticks:
            x |= {"type": "log", "tickvals": [t for t, _ in pane.ticks], "ticktext": [label for _, label in pane.ticks]}
        elif pane.x_log:
            at = [float(v) for line in pane.lines for v in line.frame["x"] if v > 0] or [1.0]
            x |= {"type": "log", "tickangle": 0, **_decades(min(at), max(at))}
        if pane.x_reversed:
            x |= {"autorange": "reversed"}
        if ends := pane.range():
            y |= {"type": "log", **_decades(*ends), "range": [round(math.log10(end), 6) for end in ends]}
        layout |= {f"xaxis{axis}": x, f"yaxis{axis}": y}
        layout["annotations"].append({
            "text": _head(pane), "showarrow": False, "align": "left", "xref": f"x{axis} domain",
            "yref": f"y{axis} domain", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom",
        })  # fmt: skip
        for place, word in pane.marks:
            layout["shapes"].append({
                "type": "line", "xref": f"x{axis}", "yref": f"y{axis} domain", "x0": place, "x1": place,
                "y0": 0, "y1": 1, "layer": "below", "line": {"color": "#999", "width": 1},
            })  # fmt: skip
            layout["annotations"].append({
                "text": word, "showarrow": False, "xref": f"x{axis}", "yref": f"y{axis} domain", "x": place, "y": 0.5,
                "xanchor": "right", "yanchor": "middle", "font": {"color": "#666", "size": 11},
            })  # fmt: skip
        for line in pane.lines:
            data += _traces(line, axis, ends[0] if ends else None)
            data += _carets(pane, line, axis, ends[0] if ends else None)
    if not layout["shapes"]:
        del layout["shapes"]
    return {"data": data, "layout": layout}


def as_json(plot: Plot) -> str:
    """Safe inside a ``<script>`` element."""
    return json.dumps(spec(plot), ensure_ascii=False, sort_keys=True, allow_nan=False).replace("</", "<\\/")


_DOTS = {"solid": "●□", "dash": "◆◇", "dot": "▲△"}
_KEYS = {"solid": "━━", "dash": "╍╍", "dot": "┅┅"}


def _decades(low: float, high: float) -> dict[str, Any]:
    """Ticks as in the static figure: plain numbers on few decades, at 1, 2 and 5 on up to two of them."""
    if not plain(low, high):
        return {"dtick": 1, "exponentformat": "power"}
    return {"dtick": "D2" if dense(low, high) else 1, "tickformat": ",~g"}


def _head(pane: Pane) -> str:
    """Title and legend of one panel as plotly's small HTML."""
    lines = _keyed(pane)
    keys = [] if len(lines) == 1 and lines[0].points else [
        f'<span style="color:{COLORS[line.color]}">{_key(line)}</span> {line.label}' for line in lines
    ]  # fmt: skip
    return "<br>".join([f"<b>{pane.title}</b>", *keys])


def _key(line: Line) -> str:
    return _DOTS[line.dash][not line.arm] if line.points else _KEYS[line.dash]


def _keyed(pane: Pane) -> list[Line]:
    return [line for line in pane.lines if line.keyed]


def _numbers(values) -> list[float | None]:
    return [None if math.isnan(v) else float(f"{v:.6g}") for v in values.astype(float)]


def _traces(line: Line, axis: str, floor: float | None) -> list[dict[str, Any]]:
    """``floor``: the lower end of a logarithmic y axis."""
    frame, color = line.frame, COLORS[line.color]
    if frame.empty:
        return []
    frame = raised(frame, floor)
    place = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "type": "scatter"}
    x, mean = _numbers(frame["x"]), _numbers(frame["mean"])
    low, high = _numbers(frame["low"]), _numbers(frame["high"])
    hover = {
        "name": line.label,
        "customdata": [list(part) for part in zip(low, high, _numbers(frame["n"]), strict=True)],
        "hovertemplate": _hover(line, floor),
    }
    if line.points:
        marker = {"color": color, "size": 8, "symbol": _SYMBOLS[line.dash][not line.arm]}
        marker |= {"size": 5, "maxdisplayed": FEW} if line.thinned else {}
        dash = "dash" if not line.thinned and not line.arm and line.dash == "solid" else line.dash
        trace = place | hover | {"x": x, "y": mean, "mode": "lines+markers" if line.joined else "markers",
                                 "marker": marker, "line": {"color": color, "width": 1.5, "dash": dash}}  # fmt: skip
        return [trace | _bars(frame, color)]
    shade = {"mode": "lines", "line": {"width": 0, "color": color}, "hoverinfo": "skip"}
    return [
        place | shade | {"x": x, "y": low},
        place | shade | {"x": x, "y": high, "fill": "tonexty", "fillcolor": _translucent(color)},
        place | hover | {"x": x, "y": mean, "mode": "lines",
                         "line": {"color": color, "width": 2, "dash": line.dash}},
    ]  # fmt: skip


def _bars(frame: pd.DataFrame, color: str) -> dict[str, Any]:
    if not frame["low"].notna().any():
        return {}
    up, down = (_numbers(part.fillna(0)) for part in (frame["high"] - frame["mean"], frame["mean"] - frame["low"]))
    sides = {} if up == down else {"symmetric": False, "arrayminus": down}
    return {"error_y": {"type": "data", "array": up, "color": color, **sides}}


def _carets(pane: Pane, line: Line, axis: str, floor: float | None) -> list[dict[str, Any]]:
    """Points outside the y axis, at its edge with their value."""
    edges = ((pane.beyond(line), pane.cap, "triangle-up", "bottom center", ".1f"),
             (pane.sunk(line), floor and 1.1 * floor, "triangle-down", "top center", "g"))  # fmt: skip
    return [{"xaxis": f"x{axis}", "yaxis": f"y{axis}", "type": "scatter", "mode": "markers+text", "cliponaxis": False,
             "x": _numbers(frame["x"]), "y": [edge] * len(frame), "text": [format(m, form) for m in frame["mean"]],
             "textposition": where, "hovertemplate": "%{x}: %{text}<extra></extra>",
             "marker": {"color": COLORS[line.color], "size": 10, "symbol": symbol}}
            for frame, edge, symbol, where, form in edges if len(frame)]  # fmt: skip


def _hover(line: Line, floor: float | None) -> str:
    number = ":.2f" if floor is None else ":.3g"
    if not line.frame["low"].notna().any():
        return f"%{{x}}: %{{y{number}}}"
    return f"%{{x}}: %{{y{number}}} [%{{customdata[0]{number}}}, %{{customdata[1]{number}}}], n = %{{customdata[2]}}"


def _translucent(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
