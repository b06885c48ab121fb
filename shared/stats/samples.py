"""From tidy tables to samples: which runs count, one value per seed, distances of curves, contrasts of arms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from shared.paper import DERIVED, Paper, choices
from shared.spec import Preset
from shared.stats.chance import CHANCE, at_chance, with_lost
from shared.stats.claims import Term, Test
from shared.stats.intervals import Estimate, StatsError, combination, mean

ROUNDING = 1e-6
"""Of a fraction of training: the snapshot keeps epochs in single precision."""
Roles = Mapping[str, str | tuple[str, ...]]


class MissingRuns(LookupError):
    """Arms or metrics that a test needs and the tables do not hold; the message says which."""


@dataclass(frozen=True)
class Elementary:
    """One elementary test: arms are names, no longer templates."""

    test: Test
    a: tuple[Term, ...] = ()
    b: tuple[Term, ...] = ()
    arms: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        return (*self.arms, *(name for term in (*self.a, *self.b) for name in term.templates))

    @property
    def label(self) -> str:
        """``kn-8k − kn-256``; the distance of two curves is written ``d(kn-8k, kn-256)``."""
        if self.arms:
            return " < ".join(self.arms) if self.test.rule == "monotone" else ", ".join(self.arms)
        if self.test.rule == "curves_overlap":
            return f"d({self.a[0].arm}, {self.b[0].arm})"
        flip = -1 if self.test.below else 1
        left, right = _side(tuple(t.model_copy(update={"weight": flip * t.weight}) for t in self.a)), _side(self.b)
        label = left if not right else f"{left} − ({right})" if len(self.b) > 1 else f"{left} − {right}"
        return f"{label} in {self.test.metric}" if self.test.metric else label


def _side(terms: tuple[Term, ...]) -> str:
    text = ""
    for term in terms:
        name = f"d({term.arm}, {term.against})" if term.against else term.arm
        if term.metric:
            name += f" [{term.metric}]"
        size = "" if abs(term.weight) == 1 else f"{abs(term.weight):g}·"
        joint = (" − " if text else "−") if term.weight < 0 else (" + " if text else "")
        text += f"{joint}{size}{name}"
    return text


def expand(test: Test, roles: Roles) -> list[Elementary]:
    """Fill a test's templates: one elementary test for each choice of the roles that hold several values.

    A role used on both sides has the same value on both. In ``arms`` such roles make the sequence instead.
    Raises SpecError for an unknown role.
    """
    if test.arms:
        sequence = [template.format(**chosen) for template in test.arms for chosen in choices([template], roles)]
        enough = len(sequence) >= (5 if test.rule == "fits_better" else 2)
        return [Elementary(test, arms=tuple(dict.fromkeys(sequence)))] if enough else []

    def fill(terms: tuple[Term, ...], binding: dict[str, str]) -> tuple[Term, ...]:
        return tuple(
            t.model_copy(update={"arm": t.arm.format(**binding), "against": t.against and t.against.format(**binding)})
            for t in terms
        )

    return [Elementary(test, fill(test.a, b), fill(test.b, b)) for b in choices(test.templates, roles)]


def _parents(rows: pd.DataFrame) -> set[str]:
    """The runs that these name as their parents."""
    return {p for parents in rows.get("parents", pd.Series(dtype=object)).dropna() for p in json.loads(parents)}


class Runs:
    """The declared runs of one paper and preset, by arm and seed."""

    def __init__(self, paper: Paper, preset: Preset, rows: pd.DataFrame, history: pd.DataFrame):
        """``rows`` has one row a run; only runs that the paper declares count (no ad-hoc ones, no old protocol)."""
        declared = paper.runs(preset)
        here = rows[rows["run_id"].isin(declared)] if len(rows) else rows
        self.rows = here.drop_duplicates("run_id").sort_values(["arm", "seed"]) if len(here) else here
        self.history = history
        self.preset = preset
        whole = paper.completed(preset, self.rows, history)
        self._arms = {arm: part.sort_values("seed") for arm, part in whole.groupby("arm")} if len(whole) else {}
        self._curves: dict[tuple[str, str], pd.Series] = {}

    def missing(self, arms: Iterable[str]) -> list[str]:
        return [a for a in dict.fromkeys(arms) if a not in self._arms]

    def used(self, arms: Iterable[str]) -> pd.DataFrame:
        """The rows of some arms; for those that no run made, the runs they follow from."""
        found = pd.concat([self._of(a) for a in dict.fromkeys(arms)], ignore_index=True)
        made = found["status"] == DERIVED
        behind = _parents(found[made])
        runs = self.rows[self.rows["run_id"].isin(behind)]
        return pd.concat([found[~made], runs], ignore_index=True).drop_duplicates("run_id") if behind else found

    def behind(self, used: pd.DataFrame) -> pd.DataFrame:
        """The rows of the runs from which ``used`` start or whose nets they measure, and of those behind these."""
        found, names = set[str](), set(used["run_id"])
        while names:
            names = _parents(self.rows[self.rows["run_id"].isin(names)]) - found
            found |= names
        return self.rows[self.rows["run_id"].isin(found)]

    def recorded(self, arm: str, metric: str) -> bool:
        """Whether any run of an arm has the metric."""
        part = self._of(arm)
        return metric in part and bool(part[metric].notna().any())

    def without(self, case: Elementary, metric: str) -> set[str]:
        """The diverged runs of a test that ``values`` and ``curve`` leave out."""
        terms = [*case.a, *case.b]
        read = [(arm, metric, False) for arm in case.arms]
        read += [(t.arm, t.metric or metric, bool(t.against) or case.test.rule == "curves_overlap") for t in terms]
        read += [(t.against, t.against_metric or t.metric or metric, True) for t in terms if t.against]
        return set().union(*(self._without(*one) for one in read))

    def _without(self, arm: str, metric: str, curve: bool) -> set[str]:
        part = self._of(arm)
        lost = part["status"] == "diverged"
        if "error" not in metric and not curve and metric in part:
            lost &= ~np.isfinite(pd.to_numeric(part[metric], errors="coerce"))
        return set() if "error" in metric else set(part.loc[lost, "run_id"])

    def values(self, arm: str, metric: str) -> pd.Series:
        """Metric by seed. A diverged run without it stands at chance level, its ``val/error``, if it is an error; of
        another metric it has none. Raises StatsError where that is so of every run."""
        part = self._of(arm)
        found = pd.to_numeric(part[metric], errors="coerce") if metric in part else pd.Series(np.nan, part.index)
        found = with_lost(found.astype(float), part, metric).replace([np.inf, -np.inf], np.nan).dropna()
        if found.empty and (part["status"] == "diverged").all():
            raise StatsError(f"all {len(part)} runs of {arm} diverged, without a value of {metric}")
        if found.empty:
            raise MissingRuns(f"no run of {arm} recorded {metric}")
        return found.set_axis(part.loc[found.index, "seed"])

    def x(self, arm: str, key: str) -> float:
        """A config key that all runs of an arm share, as the abscissa of a fit."""
        part = self._of(arm)
        if key not in part:
            raise MissingRuns(f"no run of {arm} recorded {key}")
        return float(part[key].iloc[0])

    def at_chance(self, arm: str, metric: str) -> bool:
        """Whether an arm's mean error or accuracy stands at chance level; False for other metrics and unknown data."""
        part = self._of(arm)
        if not ("error" in metric or "accuracy" in metric) or "data.name" not in part:
            return False
        mean = float(self.values(arm, metric).mean())
        return at_chance(mean if "error" in metric else 100 - mean, part["data.name"].iloc[0])

    def learnt(self, arms: Iterable[str]) -> bool:
        """Whether the test error of any of these arms lies below chance level, or is not known."""
        return any(not self.recorded(arm, CHANCE) or not self.at_chance(arm, CHANCE) for arm in arms)

    def curve(self, arm: str, metric: str) -> dict[int, pd.Series]:
        """``{seed: metric by fraction of training}``; a diverged run's error stays at chance level to the end.

        It has no curve of another metric, of which its beginning alone would say too little.
        """
        found = {}
        for row in self._of(arm).to_dict("records"):
            series = self._series(row["run_id"], metric)
            if row["status"] == "diverged" and "error" not in metric:
                continue
            if row["status"] == "diverged":
                chance = float(row.get(CHANCE, np.nan))
                if not np.isfinite(chance):
                    continue
                length = _length(row)
                last = series.index.max() / length if len(series) else 0.0
                tail = pd.Series(chance, index=np.linspace(min(last + 1e-6, 1.0), 1.0, 2))
                series = pd.concat([series.set_axis(series.index / length), tail])
                found[row["seed"]] = series[~series.index.duplicated(keep="last")]
            elif len(series):
                found[row["seed"]] = series.set_axis(series.index / _length(row))
        if not found and (self._of(arm)["status"] == "diverged").all():
            raise StatsError(f"all runs of {arm} diverged, without a curve of {metric}")
        if not found:
            raise MissingRuns(f"no run of {arm} recorded a curve of {metric}")
        return found

    def distance(self, a: str, b: str, metric_a: str, metric_b: str, over: tuple[float, float]) -> pd.Series:
        """Mean absolute difference of two curves over a stretch of training, for each seed that both arms have."""
        left, right = self.curve(a, metric_a), self.curve(b, metric_b)
        seeds = sorted(set(left) & set(right))
        if not seeds:
            raise MissingRuns(f"{a} and {b} share no seed")
        found = {}
        for seed in seeds:
            p, q = left[seed], right[seed]
            grid = np.union1d(p.index, q.index)
            grid = grid[(grid >= over[0] - ROUNDING) & (grid <= over[1] + ROUNDING)]
            if not len(grid):
                stretch = f"{over[0]:.0%} to {over[1]:.0%} of training"
                raise MissingRuns(f"{a} and {b} have no evaluations in {stretch}")
            found[seed] = float(np.mean(np.abs(np.interp(grid, p.index, p) - np.interp(grid, q.index, q))))
        return pd.Series(found)

    def contrast(self, case: Elementary, metric: str) -> Estimate:
        """Σ weight·a − Σ weight·b.

        Arms are independent groups (Welch), and terms of one arm are added run by run first. If the test says so, or as
        soon as a curve distance takes part (distances share a curve), everything is paired by seed.
        """
        signed = [(t.weight, t) for t in case.a] + [(-t.weight, t) for t in case.b]
        groups: dict[str, pd.Series] = {}
        for weight, term in signed:
            own = term.metric or metric
            if term.against is None:
                part, key = self.values(term.arm, own), term.arm
            else:
                part = self.distance(term.arm, term.against, own, term.against_metric or own, case.test.over)
                key = f"{term.arm}~{term.against}"
            groups[key] = groups[key].add(weight * part).dropna() if key in groups else weight * part
        if case.test.paired or any(t.against for _, t in signed):
            together = pd.concat(groups.values(), axis=1, join="inner").sum(axis=1)
            if together.empty:
                raise MissingRuns(f"{case.label}: the arms share no seed")
            return mean(together.to_numpy())
        return combination([g.to_numpy() for g in groups.values()], [1.0] * len(groups))

    def _of(self, arm: str) -> pd.DataFrame:
        if arm not in self._arms:
            raise MissingRuns(f"no run of {arm}")
        return self._arms[arm]

    def _series(self, run_id: str, metric: str) -> pd.Series:
        key = (run_id, metric)
        if key not in self._curves:
            h = self.history
            if metric not in h or "epoch" not in h:
                return pd.Series(dtype=float)
            part = h.loc[h["run_id"] == run_id, ["epoch", metric]].apply(pd.to_numeric, errors="coerce")
            part = part[np.isfinite(part).all(axis=1)].drop_duplicates("epoch", keep="last").sort_values("epoch")
            self._curves[key] = part.set_index("epoch")[metric]
        return self._curves[key]


def _length(row: Mapping[str, object]) -> float:
    """Length of a run in epochs: declared, or else what its last evaluation says."""
    for key in ("epochs", "epoch"):
        value = row.get(key)
        if isinstance(value, int | float) and np.isfinite(value) and value > 0:
            return float(value)
    raise MissingRuns(f"{row['run_id']}: the table says neither its epochs nor its last epoch")
