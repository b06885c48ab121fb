"""How a replication declares its figures and tables; nothing here draws.

An *arm template* names arms by role: ``"kn-{base}"`` is one arm, ``"kn-{grid}"`` one for each batch of the grid
(see ``Paper.arms``), and ``"f1-batch-*"`` every declared arm of that form. Labels and titles are templates too. They
may use the roles, ``{kn}`` (the batch as the papers write it, 8192 = ``8k``) and every top-level field of the arm's
spec: ``"kn={kn}, η={lr:g}"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from shared.spec import PRESETS, Preset, RunSpec

Band = Literal["sd2", "ci95"]
BANDS: Mapping[str, str] = {"sd2": "mean ± 2 sd over seeds", "ci95": "95 % Student interval of the mean over seeds"}
Draw = Literal["mean", "runs", "arms", "ends"]
"""A curve of the history, its seed mean with a band or each run by itself; or a point for each arm of the template; or
one for each run, where it ended."""
SCORE = "val/error_last5_median"


@dataclass(frozen=True)
class Series:
    """One curve or one row of points, and the paper's own of the same arm and metric where ``reference`` has it.

    A metric ``100-train/error`` is 100 minus the column ``train/error``.
    """

    label: str
    arm: str
    """Arm template; for a curve, a role that holds several values makes one panel for each."""
    metric: str
    """Column of the history table for a curve, of the rows table for points."""
    color: str = "large"
    """Key of ``shared.report.style.COLORS``: the same part has the same colour in every figure."""
    dash: str = "solid"
    draw: Draw | None = None
    """None: as the figure does."""
    x: str = ""
    """Column or field of this series alone; empty: the figure's."""
    printed_arm: str = ""
    """Template of the paper's rows in ``reference``, where the paper's series is of another arm than ours."""
    printed_metric: str = ""
    """The same for its metric."""


@dataclass(frozen=True)
class Law:
    """What a formula makes of one measured point of a panel's first series at every other x: a thin line, no data."""

    label: str
    through: str
    """Arm template of that point."""
    predict: Callable[[float, float, RunSpec], float]
    """(y of the point, x over its x, spec of its arm) → y."""
    dash: str = "dash"


@dataclass(frozen=True)
class Panel:
    title: str
    series: tuple[Series, ...]
    _: KW_ONLY
    y_label: str = ""
    """Empty: the figure's."""
    y_log: bool = False
    alone: bool = False
    """Without a run of its arms, show the paper's points instead of dropping the panel (beside runs of others)."""
    presets: tuple[Preset, ...] = PRESETS
    laws: tuple[Law, ...] = ()
    x_label: str = ""
    """Empty: the figure's."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels of series over one kind of x axis. Panels without any run are dropped and named as not run."""

    key: str
    """File name of the figure: ``fig2``."""
    where: str
    """The paper's name for it: ``Figure 2``."""
    title: str
    caption: str
    sweep: str
    """For the card: the sweep that holds the arms, or several, separated by commas."""
    also: Mapping[Preset, str] = field(default_factory=dict)
    """What the caption says more at one scale, of panels that others lack."""
    panels: tuple[Panel, ...] = ()
    draw: Draw = "mean"
    x: str = "epoch"
    """Column of the history for curves, field of the spec for points."""
    x_label: str = "epochs"
    x_log: bool = False
    x_reversed: bool = False
    marks: tuple[tuple[float, str], ...] = ()
    """Places on the x axis to mark by a line and a word."""
    y_label: str = "error %"
    share_y: bool = False
    """One y axis, from 0, for all panels."""
    band: Band = "ci95"
    columns: int = 3
    """Most panels in a row."""
    reference: str | None = None
    """CSV in the paper's ``reference/`` folder with the columns ``arm``, ``metric``, ``mean``, ``sd``, ``n``, ``tag``
    and one named like ``x`` or the last part of it. Drawn hollow over ours at paper scale, elsewhere in panels of its
    own."""

    def parts(self) -> tuple[Panel, ...]:
        return self.panels


@dataclass(frozen=True, kw_only=True)
class Curves(Figure):
    """Curves of the history. Panels whose series are all the same arm are dropped."""

    share_y: bool = True
    legend_metric: str | None = SCORE
    """Column of the rows table whose mean ± sd is printed in the legend, as in Goyal et al."""
    omit: tuple[str, ...] = ()
    """Arms of the paper preset that the paper's figure leaves out: no panel for what stands for them."""


@dataclass(frozen=True, kw_only=True)
class Points(Figure):
    """Metrics against a field of the spec, one point per arm; with ``draw="ends"`` against a column of the rows table,
    one per run. Without ``panels``: ``metric`` of ``arms``."""

    draw: Draw = "arms"
    arms: str = ""
    x: str = "batch_size"
    metric: str = SCORE
    x_label: str = "minibatch size"
    x_log: bool = True
    y_label: str = "top-1 validation error %"
    band: Band = "sd2"
    reach: float | None = None
    """Points further than this above our lowest one stand at the upper edge, as a caret with their value."""

    def parts(self) -> tuple[Panel, ...]:
        return self.panels or (Panel("", (Series("ours", self.arms, self.metric),)),)


@dataclass(frozen=True)
class Row:
    label: str
    arm: str
    """Arm template for one arm; at the paper preset it names the row of the reference CSV. With ``cells``: what their
    templates call ``{row}``."""
    at: float | None = None
    """Take the history's values at this epoch, not the summary's."""


@dataclass(frozen=True)
class Cell:
    """One column of a table with several: a metric of an arm. Both may use ``{row}``: ``"{row}-sb"``."""

    heading: str
    metric: str
    arm: str = "{row}"
    """Arm template."""
    printed: str = ""
    """The metric of the paper's rows in ``reference``, where it has another name there."""


@dataclass(frozen=True)
class Table:
    """The paper's table with ours beside it; ours above the paper's where there are ``cells``.

    Without ``rows`` it shows the paper's numbers as not run.
    """

    key: str
    where: str
    title: str
    rows: tuple[Row, ...]
    sweep: str = ""
    fields: tuple[tuple[str | Callable[[Any], object], str], ...] = (("batch_size", "kn"), ("lr", "η"))
    """(field of the spec or function of it, heading), shown for our arm and for the paper's counterpart; not with
    ``cells``."""
    metric: str = SCORE
    unit: str = "top-1 error %"
    cells: tuple[Cell, ...] = ()
    reference: str | None = None
    """CSV with the columns ``arm`` (of the paper preset), ``metric``, ``mean``, ``sd``, ``n``."""
    presets: tuple[Preset, ...] = PRESETS
    not_run: str = ""
    """Why nothing was run; only for a table without rows."""


@dataclass(frozen=True)
class Effect:
    """One row of ``Effects``: Σ weight · metric of arms, a difference or a difference of differences."""

    label: str
    terms: tuple[tuple[float, str, str], ...]
    """``(weight, arm template for one arm, metric)``."""
    printed: float | None = None
    """What the paper's own numbers make of it."""


@dataclass(frozen=True, kw_only=True)
class Effects(Table):
    """What each of several things contributes to a whole, the first row: in units of it, here and as printed."""

    rows: tuple[Effect, ...]  # type: ignore[assignment]
