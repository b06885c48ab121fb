"""From rows and history to what is plotted and tabulated: means over seeds, spreads, intervals, gaps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats

from shared.paper import Paper
from shared.report.declare import SCORE, Band
from shared.spec import Preset, RunSpec

STATUSES = ("finished", "diverged")


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

    def band(self, kind: Band) -> tuple[float, float]:
        return band(self.mean, self.sd, self.n, kind)


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
        return self.rows[self.rows["arm"] == arm] if len(self.rows) else self.rows

    def missing(self, arms) -> list[str]:
        return [arm for arm in dict.fromkeys(arms) if not len(self.of(arm))]

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
        if not len(runs) or metric not in runs:
            return None
        values = pd.to_numeric(runs[metric], errors="coerce")
        if metric == SCORE and "val/error" in runs:  # a diverged run counts as chance level
            values = values.where(runs["status"] != "diverged", pd.to_numeric(runs["val/error"], errors="coerce"))
        known = values.notna()
        if not known.any():
            return None
        lost = int((runs["status"] == "diverged")[known].sum())
        return Summary(int(known.sum()), float(values.mean()), float(values.std(ddof=1)), lost)

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
        empty = pd.DataFrame(columns=["x", "mean", "sd", "n", "low", "high"], dtype=float)
        runs = self.of(arm)
        step = "trainer/global_step"
        if not len(runs) or not len(self.history) or metric not in self.history or x not in self.history:
            return empty
        curves = self.history[self.history["run_id"].isin(set(runs["run_id"]))]
        wide = curves.pivot_table(index=step, columns="run_id", values=metric, aggfunc="last", dropna=False)
        wide = wide.dropna(how="all").replace([np.inf, -np.inf], np.nan)
        for run in runs[runs["status"] == "diverged"].itertuples(index=False):
            chance = runs.loc[runs["run_id"] == run.run_id, "val/error"].iloc[0] if "error" in metric else np.nan
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
