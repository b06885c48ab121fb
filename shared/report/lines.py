"""A series of a declaration and a source → the lines that are drawn for it: ours, and the paper's own points."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from shared.report.data import COLUMNS, ReportError, Source, Summary, band, column, fill, spread
from shared.report.declare import Curves, Draw, Figure, Law, Series
from shared.report.style import FEW


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
    joined: bool = True
    """A line through the markers."""
    keyed: bool = True
    """Stands in the legend: of the runs of one arm only the first does."""
    series: int = 0
    """Which series of its panel: the paper's points and ours share it."""

    @property
    def thinned(self) -> bool:
        """Whether only some points get a mark. Runs of ours that no line joins all do: they would not be seen."""
        return len(self.frame) > FEW and (self.joined or not self.arm)


def ours(series: Series, declared: Figure, source: Source, arms: tuple[str, ...], label: str) -> list[Line]:
    """The lines of our runs; an arm without runs keeps its place in the legend."""
    kind, x = kind_of(series, declared), series.x or declared.x
    if kind == "arms":
        frame = _points(series, declared, source, arms)
        words = label if len(frame) else f"{label}: not run"
        return [Line(words, series.label, frame, series.color, series.dash, True)]
    if kind == "ends":
        frame = _ends(series.metric, x, source, arms)
        return [Line(label, series.label, frame, series.color, series.dash, points=True, joined=False)]
    if len(arms) != 1:
        raise ReportError(f"{declared.key}: a curve is of one arm, {series.arm!r} names {len(arms)}")
    arm = arms[0]
    if kind == "mean":
        frame = source.curve(arm, series.metric, x, declared.band)
        return [Line(_legend(declared, source, label, arm), arm, frame, series.color, series.dash)]
    runs = source.of(arm)
    if not len(runs):
        return [Line(f"{label}: not run", arm, pd.DataFrame(columns=COLUMNS, dtype=float), series.color, series.dash)]
    traces = [(r.seed, source.trace(r.run_id, series.metric, x)) for r in runs.itertuples(index=False)]
    return [
        Line(label if i == 0 else f"{label}, seed {seed}", arm, frame, series.color, series.dash, True, keyed=i == 0)
        for i, (seed, frame) in enumerate(traces)
    ]


def theirs(
    series: Series, declared: Figure, source: Source, roles: dict[str, str], color: str
) -> tuple[Line | None, list[float]]:
    """The paper's points for a series, with the band of ours, and the x of those that bear no printed number."""
    table = source.printed(declared.reference)
    if table.empty:
        return None, []
    patterns = source.paper.arms(fill(series.printed_arm or series.arm, roles), "paper")
    mine = table["arm"].map(lambda arm: any(fnmatchcase(str(arm), p) for p in patterns))
    table = table[mine & (table["metric"] == (series.printed_metric or series.metric))]
    names = [name for x in (series.x, declared.x) for name in (x, x.rpartition("/")[2])]
    abscissa = next((name for name in names if name in table), None)
    if table.empty or abscissa is None:
        return None, []
    unsure = table["mean"].isna() | (table["tag"] == "M")
    kept = table[~unsure]
    parts = {"x": kept[abscissa], "mean": kept["mean"], "sd": kept["sd"], "n": kept["n"]}
    frame = pd.DataFrame({"arm": "", **{name: part.astype(float) for name, part in parts.items()}})
    if kind_of(series, declared) != "runs":
        frame = frame.sort_values("x", kind="stable")
    frame = frame.reset_index(drop=True)
    frame["low"], frame["high"] = band(frame["mean"], frame["sd"], frame["n"], declared.band)
    joined = kind_of(series, declared) == "arms"
    return Line("paper", "", frame, color, series.dash, True, joined), sorted(table.loc[unsure, abscissa])


def predicted(law: Law, lines: list[Line], source: Source) -> list[Line]:
    """The law over the range of x of our first line, through its point of that arm; none without it or others."""
    frame = lines[0].frame
    at = frame[frame["arm"] == source.arms(law.through)[0]] if len(frame) > 1 else frame[:0]
    if at.empty:
        return []
    arm, x, y = at[["arm", "x", "mean"]].iloc[0]
    xs = np.unique([*np.geomspace(frame["x"].min(), frame["x"].max(), 40), x])
    mean = [law.predict(float(y), float(to / x), source.specs[arm]) for to in xs]
    drawn = pd.DataFrame({"x": xs, "mean": mean}).reindex(columns=COLUMNS)
    return [Line(law.label, arm, drawn, "paper", law.dash)]


def kind_of(series: Series, declared: Figure) -> Draw:
    return series.draw or declared.draw


def _points(series: Series, declared: Figure, source: Source, arms: tuple[str, ...]) -> pd.DataFrame:
    """One row for each arm that has a value."""
    field = series.x or declared.x
    found: list[tuple[str, Summary]] = [(a, s) for a in arms if (s := source.summary(a, series.metric))]
    rows = [(a, float(getattr(source.specs[a], field)), s.mean, s.sd, s.n, *map(float, s.band(declared.band)))
            for a, s in found]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", *COLUMNS]).sort_values("x")


def _ends(metric: str, x: str, source: Source, arms: tuple[str, ...]) -> pd.DataFrame:
    """One row for each run that has both values.

    Beside runs that train, what only measures another's weights is left out: it would stand there twice.
    """
    declared = [a for a in arms if a in source.specs]
    parts = []
    for arm in [a for a in declared if source.specs[a].task == "train"] or declared:
        runs = source.of(arm)
        at, values = column(runs, x), column(runs, metric)
        if at is not None and values is not None:
            parts.append(pd.DataFrame({"arm": arm, "x": at, "mean": values}))
    if not parts:
        return pd.DataFrame(columns=["arm", *COLUMNS])
    found = pd.concat(parts).dropna().sort_values("x", kind="stable")
    return found.assign(sd=np.nan, n=1.0, low=np.nan, high=np.nan).reset_index(drop=True)


def _legend(declared: Figure, source: Source, label: str, arm: str) -> str:
    if not len(source.of(arm)):
        return f"{label}: not run"
    metric = declared.legend_metric if isinstance(declared, Curves) else None
    score = source.summary(arm, metric) if metric else None
    if score is None:
        return label
    lost = f", {score.diverged} of {score.n} diverged" if score.diverged else ""
    return f"{label}: {spread(score)} %{lost}"
