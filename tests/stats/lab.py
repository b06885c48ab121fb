"""A paper with two papers' worth of arms and no training: rows and curves with a known truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from shared.paper import Paper, Sweep
from shared.runs.frames import cells
from shared.spec import DataSpec, ModelSpec, RunSpec, flatten
from shared.stats.verdict import verdicts

ARMS = ("b-1", "b-2", "b-4", "b-8", "b-16", "b-2-cold")
ROLES = {"base": "1", "large": "4", "grid": ("1", "2", "4", "8", "16"), "good": ("2", "4"), "bad": ("8", "16")}
SPREAD = np.array([-1.2, -0.4, 0.1, 0.5, 1.0])
"""Standardised below to mean 0 and sd 1, so that an arm's mean and sd are exactly those asked for."""
CHANCE = 90.0

HEAD = """
[[claim]]
id = "X1"
where = "Table 1"
says = "Something."
presets = { paper = "full", reduced = "direction" }
no_numbers = "made up"
"""
COLD = HEAD + '[[claim.test]]\nrule = "greater"\na = "b-2-cold"\nb = "b-2"\nmargin = 0.5\n'
SAME = HEAD + '[[claim.test]]\nrule = "equivalent"\na = "b-{good}"\nb = "b-{base}"\nmargin = 0.5\n'
RISE = HEAD + '[[claim.test]]\nrule = "monotone"\narms = ["b-{large}", "b-{bad}"]\n'
TRAIN = HEAD.replace("no_numbers", 'metric = "train/error"\nno_numbers')
OVERLAP = TRAIN + '[[claim.test]]\nrule = "curves_overlap"\na = "b-{good}"\nb = "b-{base}"\n'
OVERLAP += "over = [0.2, 1.0]\nmargin = 1.0\n"
NONE = pd.DataFrame()


def spec(arm: str, preset: str, seed: int) -> RunSpec:
    return RunSpec(
        paper="fake", arm=arm, preset=preset, seed=seed, protocol=1, model=ModelSpec(name="net"),
        data=DataSpec(name="digits"), batch_size=int(arm.split("-")[1]), epochs=10, lr=0.1,
    )  # fmt: skip


def sweeps(preset: str) -> tuple[Sweep, ...]:
    return (Sweep("all", "every arm", tuple(spec(a, preset, s) for a in ARMS for s in range(1, 7))),)


@dataclass
class Lab:
    """Claims as text, runs as numbers."""

    folder: Path
    roles: dict

    def paper(self, claims: str) -> Paper:
        (self.folder / "claims.toml").write_text(claims)
        return Paper(
            key="fake", title="Fake", authors="Nobody", arxiv="0000.00000", year=2000, protocol=1, spec=RunSpec,
            sweeps=sweeps, roles=lambda preset: self.roles, counterpart=lambda s: None, folder=self.folder,
        )  # fmt: skip

    @staticmethod
    def rows(means: dict[str, float], preset="reduced", sd=0.2, seeds=5, diverged=(), **metrics) -> pd.DataFrame:
        """One row a run; ``diverged`` arms stand at chance; further metrics by name as {arm: mean}."""
        found = []
        z = (SPREAD[:seeds] - SPREAD[:seeds].mean()) / (SPREAD[:seeds].std(ddof=1) if seeds > 1 else 1)
        for i, (arm, mean) in enumerate(means.items()):
            for seed, noise in enumerate(np.roll(z, i), start=1):
                s = spec(arm, preset, seed)
                row = {**cells(flatten(s)), "run_id": s.run_id, "status": "finished", "sweep": "all"}
                row |= {"val/error": mean + sd * noise, "val/error_last5_median": mean + sd * noise}
                row |= {name: values[arm] + sd * noise for name, values in metrics.items() if arm in values}
                if arm in diverged:
                    row |= {"status": "diverged", "val/error": CHANCE, "val/error_last5_median": float("nan")}
                found.append(row)
        return pd.DataFrame(found)

    @staticmethod
    def history(rows: pd.DataFrame, curves: dict[str, float], metric="train/error", until=10) -> pd.DataFrame:
        """Curves that fall from 50 and stand apart by the number given for each arm."""
        found = []
        for row in rows.to_dict("records"):
            for epoch in range(1, until + 1):
                value = 50 / epoch + curves.get(row["arm"], 0.0) + 0.01 * row["seed"]
                found.append({"run_id": row["run_id"], "epoch": float(epoch), metric: value})
        return pd.DataFrame(found)


def one(lab: Lab, claims: str, rows: pd.DataFrame, history: pd.DataFrame = NONE, **options: object) -> dict:
    """The verdict on a text of one claim."""
    (found,) = verdicts(lab.paper(claims), rows, history, **options)
    return found


def values(found: dict) -> list[float]:
    return [part["value"] for part in found["ours"]]
