"""How a replication declares its figures and tables; nothing here draws.

An *arm template* names arms by role: ``"kn-{base}"`` is one arm, ``"kn-{grid}"`` one for each batch of the grid
(see ``Paper.arms``). Labels and titles are templates too. They may use the roles, ``{kn}`` (the batch as the papers
write it, 8192 = ``8k``) and every top-level field of the arm's spec: ``"kn={kn}, η={lr:g}"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Band = Literal["sd2", "ci95"]
BANDS: Mapping[str, str] = {"sd2": "mean ± 2 sd over seeds", "ci95": "95 % Student interval of the mean over seeds"}
SCORE = "val/error_last5_median"


@dataclass(frozen=True)
class Series:
    """One curve: the mean over the seeds of an arm."""

    label: str
    arm: str
    """Arm template; a role that holds several values makes one panel for each."""
    metric: str = "train/error"
    """Column of the history table."""
    color: str = "large"
    """Key of ``shared.report.style.COLORS``: the same part has the same colour in every figure."""
    dash: str = "solid"


@dataclass(frozen=True)
class Panel:
    title: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Curves:
    """Panels of seed-mean curves with a band. Panels whose series are all the same arm are dropped."""

    key: str
    """File name of the figure: ``fig2``."""
    where: str
    """The paper's name for it: ``Figure 2``."""
    title: str
    caption: str
    panels: tuple[Panel, ...]
    sweep: str
    x: str = "epoch"
    x_label: str = "epochs"
    y_label: str = "error %"
    band: Band = "ci95"
    legend_metric: str | None = SCORE
    """Column of the rows table whose mean ± sd is printed in the legend, as in Goyal et al."""
    columns: int = 3
    omit: tuple[str, ...] = ()
    """Arms of the paper preset that the paper's figure leaves out: no panel for what stands for them."""


@dataclass(frozen=True)
class Points:
    """A metric against a field of the spec, one point per arm, with the paper's points from ``reference/``."""

    key: str
    where: str
    title: str
    caption: str
    arms: str
    sweep: str
    x: str = "batch_size"
    metric: str = SCORE
    x_label: str = "minibatch size"
    y_label: str = "top-1 validation error %"
    band: Band = "sd2"
    reference: str | None = None
    """CSV in the paper's ``reference/`` folder with the columns ``mean``, ``sd``, ``n``, ``tag`` and the one named by
    ``x``. Drawn hollow over ours at paper scale and in a panel of its own at every other scale."""
    reach: float | None = None
    """Points further than this above our lowest one stand at the upper edge, as a caret with their value."""


@dataclass(frozen=True)
class Row:
    label: str
    arm: str
    """Arm template for one arm; at the paper preset it names the row of the reference CSV."""


@dataclass(frozen=True)
class Table:
    """The paper's table with our column beside it. Without ``rows`` it shows the paper's numbers as not run."""

    key: str
    where: str
    title: str
    rows: tuple[Row, ...]
    sweep: str = ""
    fields: tuple[tuple[str | Callable[[Any], object], str], ...] = (("batch_size", "kn"), ("lr", "η"))
    """(field of the spec or function of it, heading), shown for our arm and for the paper's counterpart."""
    metric: str = SCORE
    unit: str = "top-1 error %"
    reference: str | None = None
    """CSV with the columns ``arm`` (of the paper preset), ``metric``, ``mean``, ``sd``, ``n``."""
    presets: tuple[str, ...] = ("paper", "reduced", "smoke")
    not_run: str = ""
    """Why nothing was run; only for a table without rows."""


Figure = Curves | Points
