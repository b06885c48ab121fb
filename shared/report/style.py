"""One look for every figure of the suite: sizes for A4, colours that survive colour blindness, reproducible bytes."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure

COLORS = {
    "base": "#E69F00",
    "large": "#0072B2",
    "other": "#009E73",
    "fourth": "#CC79A7",
    "fifth": "#D55E00",
    "paper": "#5A5A5A",
}
"""Okabe–Ito. The small batch is orange and the large one blue, as in Goyal et al."""

MARKERS = {"solid": "os", "dash": "DD", "dot": "^^"}
"""Of our points and of the paper's, which are hollow."""
FEW = 30
"""Points of a line that get a full marker each; of more, small ones and not all."""
DASHES = {"solid": "-", "dash": (0, (4, 1.6)), "dot": (0, (1, 1.4))}
WIDTH = 6.69
"""Inches: the text width of an A4 page with 20 mm margins."""

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6.8,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "svg.hashsalt": "large-batch-replications",
    "svg.fonttype": "path",
    "savefig.dpi": 160,
}


def plain(low: float, high: float) -> bool:
    """Whether a logarithmic axis bears numbers as they are written, and not powers of ten: they are few and short."""
    return high / low <= 1e4 and low >= 5e-5


def dense(low: float, high: float) -> bool:
    """Whether a plain logarithmic axis has room for 1, 2 and 5 of each decade."""
    return high / low <= 1e2 and low >= 5e-3


@contextmanager
def style():
    """seaborn's ticks theme with the sizes above, undone afterwards."""
    with matplotlib.rc_context(), sns.axes_style("ticks"):
        matplotlib.rcParams.update(RC)
        yield


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.svg`` and ``stem.png`` without dates or versions: the same figure gives the same bytes."""
    with style():
        svg, png = stem.with_suffix(".svg"), stem.with_suffix(".png")
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
        figure.savefig(png, metadata={"Software": None})
    return [svg, png]
