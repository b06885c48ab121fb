"""From rows and history to what is plotted and tabulated: means over seeds, spreads, intervals, gaps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats

from shared.paper import Paper
from shared.report.declare import SCORE, Band
from shared.runs.schema import INTEGERS
from shared.spec import Preset, RunSpec
from shared.stats.chance import with_lost

STATUSES = ("finished", "diverged")
COLUMNS = ["x", "mean", "sd", "n", "low", "high"]
"""Of every frame that is drawn."""


class ReportError(ValueError):
    """A report that cannot be built from what was given; the message names the table or the declaration."""


@dataclass(frozen=True)
class Summary:
    """Seeds of one arm: ``n`` runs, ``diverged`` of them at chance level; sd has n − 1 in the denominator."""

    n: int
    mean: float
    sd: float
    diverged: int = 0
    digits: int = 2
    """Places to print: as many as the source has."""
    tag: str = ""
    """Of a number of the paper's."""

    def band(self, kind: Band) -> tuple[float, float]:
        return band(self.mean, self.sd, self.n, kind)


def spread(s: Summary) -> str:
    """``24.84 ± 0.37``, or the mean alone where there is a single value; in powers of ten from five places on."""

    def text(value: float) -> str:
        return f"{value:.1e}".replace("e-0", "e-") if s.digits > 4 else f"{value:z.{s.digits}f}"

    return text(s.mean) + ("" if math.isnan(s.sd) else f" ± {text(s.sd)}")


def band(mean, sd, n, kind: Band):
    """Lower and upper end of mean ± 2 sd, or of the 95 % Student interval of the mean; NaN for a single seed."""
    n = np.asarray(n, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = 2.0 * sd if kind == "sd2" else stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n)
    half = np.where(n > 1, half, np.nan)
    return mean - half, mean + half


def batch_label(batch: float) -> str:
    """The papers' way to write a batch: 8192 is ``8k``."""
    batch = int(batch)
    return f"{batch // 1024}k" if batch >= 1024 and batch % 1024 == 0 else str(batch)


def batch_number(label: str) -> int:
    """The batch that ``batch_label`` writes so: ``"8k"`` is 8192. Raises ValueError for other text."""
    return int(label.removesuffix("k")) * (1024 if label.endswith("k") else 1)


def fill(template: str, roles: Mapping[str, str]) -> str:
    """Put in the roles that are given and leave the others as templates."""
    return re.sub(r"{(\w+)}", lambda m: roles.get(m[1], m[0]), template)


def data_names(rows: pd.DataFrame) -> pd.Series:
    """The data set that each run used: a declared name may leave a choice."""
    return rows.get("provenance.data_name", rows.get("data.name", pd.Series(dtype=str)))


def column(table: pd.DataFrame, metric: str) -> pd.Series | None:
    """A metric as floats; ``100-train/error`` is 100 minus ``train/error``, and ``lr÷batch_size`` is a quotient. None
    where the table lacks it."""
    if "÷" in metric:
        above, below = (column(table, part) for part in metric.split("÷"))
        return None if above is None or below is None else above / below
    name = metric.removeprefix("100-")
    if name not in table:
        return None
    values = pd.to_numeric(table[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
    return values if name == metric else 100 - values


@dataclass(frozen=True)
class Source:
    """The declared runs of one paper at one preset: the only thing that figures and tables read."""

    paper: Paper
    preset: Preset
    rows: pd.DataFrame
    history: pd.DataFrame
    left_out: int = 0
    """Rows of this preset that no current declaration names: overrides, other protocols, crashed runs."""

    @classmethod
    def select(cls, paper: Paper, preset: Preset, rows: pd.DataFrame, history: pd.DataFrame) -> Source:
        """Keep what ``paper.runs(preset)`` declares and what ended. Raises ReportError when columns are missing."""
        needed = {"run_id", "paper", "arm", "preset", "seed", "status"}
        if len(rows) and (missing := needed - set(rows.columns)):
            raise ReportError(f"{paper.key}: the table of runs lacks {', '.join(sorted(missing))}; collate it again")
        if not len(rows):
            return cls(paper, preset, rows, history)
        here = rows[(rows["paper"] == paper.key) & (rows["preset"] == preset)]
        kept = here[here["run_id"].isin(list(paper.runs(preset))) & here["status"].isin(STATUSES)]
        kept = kept.sort_values(["arm", "seed"]).reset_index(drop=True)
        curves = history[history["run_id"].isin(set(kept["run_id"]))] if len(history) else history
        return cls(paper, preset, kept, curves, len(here) - len(kept))

    def printed(self, name: str | None) -> pd.DataFrame:
        """The paper's numbers in a CSV of its ``reference/`` folder; empty when there is none."""
        if name and name not in self._printed:
            path = self.paper.folder / "reference" / name
            self._printed[name] = pd.read_csv(path, comment="#") if path.is_file() else pd.DataFrame()
        return self._printed[name] if name else pd.DataFrame()

    @cached_property
    def _printed(self) -> dict[str, pd.DataFrame]:
        return {}

    @cached_property
    def specs(self) -> dict[str, RunSpec]:
        """``{arm: its first declared spec}`` in declared order."""
        first: dict[str, RunSpec] = {}
        for spec in self.paper.runs(self.preset).values():
            first.setdefault(spec.arm, spec)
        return first

    @cached_property
    def expected(self) -> dict[str, int]:
        """``{arm: declared seeds}``."""
        counts: dict[str, int] = {}
        for spec in self.paper.runs(self.preset).values():
            counts[spec.arm] = counts.get(spec.arm, 0) + 1
        return counts

    def of(self, arm: str) -> pd.DataFrame:
        return self._by_arm.get(arm, self._by_arm[""])

    @cached_property
    def _by_arm(self) -> dict[str, pd.DataFrame]:
        whole = self.paper.completed(self.preset, self.rows, self.history)
        return {"": self.rows.iloc[:0], **(dict(tuple(whole.groupby("arm"))) if len(whole) else {})}

    def arms(self, template: str, **roles: str) -> tuple[str, ...]:
        """The arms that a template names here; a ``*`` stands for every declared arm of that form, and ``a* but ab*``
        for those of the first form that are not of the second."""
        found: list[str] = []
        for name in self.paper.arms(fill(template, roles), self.preset):
            form, _, other = name.partition(" but ")
            every = [a for a in self.specs if fnmatchcase(a, form) and not fnmatchcase(a, other)]
            found += every if "*" in form else [name]
        return tuple(found)

    def missing(self, arms: Iterable[str]) -> list[str]:
        return [arm for arm in dict.fromkeys(arms) if not len(self.of(arm))]

    @cached_property
    def idle(self) -> dict[str, str]:
        """``{arm: sweep}`` of the arms that stand only in sweeps without any finished run."""
        sweeps = {s.name: dict.fromkeys(spec.arm for spec in s.every) for s in self.paper.sweeps(self.preset)}
        unrun = {name for name, arms in sweeps.items() if len(self.missing(arms)) == len(arms)}
        busy = {arm for name, arms in sweeps.items() if name not in unrun for arm in arms}
        named = [(arm, name) for name in sweeps if name in unrun for arm in sweeps[name] if arm not in busy]
        return dict(reversed(named))  # an arm of several is counted in the first

    def gaps(self, arms: Iterable[str], most: int = 3) -> tuple[str, ...]:
        """The declared ones among ``arms`` without a run, for print; a whole sweep without any is named instead of
        more than ``most`` arms of it."""
        lost = [arm for arm in self.missing(arms) if arm in self.specs]
        many = {name for name in self.idle.values() if sum(self.idle.get(a) == name for a in lost) > most}
        named = (f"sweep `{self.idle[a]}`" if self.idle.get(a) in many else f"`{a}`" for a in lost)
        return tuple(dict.fromkeys(named))

    def label(self, template: str, arm: str, **roles: object) -> str:
        """A label template filled from the roles and the arm's declared spec."""
        spec = self.specs.get(arm)
        fields = {name: getattr(spec, name) for name in type(spec).model_fields} if spec else {}
        if spec:
            fields["kn"] = batch_label(spec.batch_size)
        return template.format(**{**fields, **self.paper.roles(self.preset), **roles})

    def summary(self, arm: str, metric: str = SCORE) -> Summary | None:
        """Mean and spread of a metric over the seeds of an arm; None when the arm has no value."""
        runs = self.of(arm)
        values = column(runs, metric)
        if values is None or not len(runs):
            return None
        values = with_lost(values, runs, metric)
        known = values.notna()
        if not known.any():
            return None
        gone = int((runs["status"] == "diverged")[known].sum())
        digits = 0 if metric in INTEGERS else 2
        return Summary(int(known.sum()), float(values.mean()), float(values.std(ddof=1)), gone, digits)

    def at(self, arm: str, metric: str, epoch: float) -> Summary | None:
        """Mean and spread over the seeds of what the history says at an epoch; None where it says nothing."""
        curve = self.curve(arm, metric, "epoch", "ci95")
        found = curve[np.isclose(curve["x"], epoch)]
        if found.empty or not found["n"].iloc[0]:
            return None
        return Summary(int(found["n"].iloc[0]), float(found["mean"].iloc[0]), float(found["sd"].iloc[0]))

    def trace(self, run_id: str, metric: str, x: str) -> pd.DataFrame:
        """One run's values of ``metric`` against ``x`` where it has both, in the order of its steps; as ``curve``."""
        empty = pd.DataFrame(columns=COLUMNS, dtype=float)
        run = self.history[self.history["run_id"] == run_id].sort_values("trainer/global_step")
        values = column(run, metric)
        if values is None or x not in run:
            return empty
        frame = pd.DataFrame({"x": run[x], "mean": values}).replace([np.inf, -np.inf], np.nan).dropna()
        return frame.assign(sd=np.nan, n=1.0, low=np.nan, high=np.nan).reset_index(drop=True)

    @cached_property
    def _curves(self) -> dict[tuple[str, str, str, Band], pd.DataFrame]:
        return {}

    def curve(self, arm: str, metric: str, x: str, kind: Band) -> pd.DataFrame:
        """The seed mean of a metric at every evaluation; see ``_curve``. The small batch stands in many panels."""
        key = (arm, metric, x, kind)
        if key not in self._curves:
            self._curves[key] = self._curve(*key)
        return self._curves[key]

    def _curve(self, arm: str, metric: str, x: str, kind: Band) -> pd.DataFrame:
        """Columns x, mean, sd, n, low, high of the seed mean at every evaluation.

        A diverged run stands at its final (chance-level) error from where it stopped, so that a mean over seeds
        does not improve when a seed is lost.
        """
        empty = pd.DataFrame(columns=COLUMNS, dtype=float)
        runs = self.of(arm)
        step = "trainer/global_step"
        if not len(runs) or not len(self.history) or x not in self.history:
            return empty
        curves = self.history[self.history["run_id"].isin(set(runs["run_id"]))]
        values = column(curves, metric)
        if values is None:
            return empty
        curves = curves.assign(value=values)
        wide = curves.pivot_table(index=step, columns="run_id", values="value", aggfunc="last", dropna=False)
        wide = wide.dropna(how="all").replace([np.inf, -np.inf], np.nan)
        for run in runs[runs["status"] == "diverged"].itertuples(index=False):
            chance = runs.loc[runs["run_id"] == run.run_id, "val/error"].iloc[0] if "error" in metric else np.nan
            chance = 100 - chance if metric.startswith("100-") else chance
            if run.run_id not in wide:
                wide[run.run_id] = np.nan
            last = wide[run.run_id].last_valid_index()
            late = wide.index > last if last is not None else np.ones(len(wide), dtype=bool)
            wide.loc[late, run.run_id] = chance
        if wide.empty:
            return empty
        frame = pd.DataFrame({
            "x": curves.groupby(step)[x].mean().reindex(wide.index),
            "mean": wide.mean(axis=1), "sd": wide.std(axis=1, ddof=1), "n": wide.count(axis=1),
        }).reset_index(drop=True)  # fmt: skip
        frame["low"], frame["high"] = band(frame["mean"], frame["sd"], frame["n"], kind)
        return frame
