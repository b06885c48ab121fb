"""Two papers of three arms whose trainings only count: what the engine's tests run through the real command line."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from shared.paper import Paper, Sweep
from shared.spec import DataSpec, ModelSpec, Preset, RunSpec

PROTOCOL = 1


def spec(paper: str, arm: str, seed: int, preset: Preset, batch: int = 32) -> RunSpec:
    return RunSpec(
        paper=paper,
        arm=arm,
        preset=preset,
        seed=seed,
        protocol=PROTOCOL,
        model=ModelSpec(name="mlp"),
        data=DataSpec(name="digits"),
        batch_size=batch,
        epochs=2,
        lr=0.1,
    )


def sweeps(preset: Preset, paper: str = "toy") -> tuple[Sweep, ...]:
    arms = (("a", 32), ("a-twice", 64), ("b", 128))
    plain, twice, odd = ([spec(paper, a, s, preset, b) for s in (1, 2)] for a, b in arms)
    return (
        Sweep("grid", "both a arms", (*plain, *twice)),
        Sweep("extra", "shares an arm with grid", (*plain, *odd)),
    )


PAPER = Paper(
    key="toy",
    title="Toy",
    authors="Nobody",
    arxiv="0000.00000",
    year=2000,
    protocol=PROTOCOL,
    spec=RunSpec,
    sweeps=sweeps,
    roles=lambda preset: {},
    counterpart=lambda s: None,
    folder=Path(__file__).parent,
)
TWIN = replace(PAPER, key="twin", title="Twin", sweeps=partial(sweeps, paper="twin"))
PAPERS = {"toy": PAPER, "twin": TWIN}
