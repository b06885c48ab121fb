"""A paper's own runs with other seeds than its own: an answer that owes nothing to the seeds that were seen."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

from shared.paper import Paper, Sweep
from shared.spec import Preset, RunSpec, SpecError

OFFSET = "SEED_OFFSET"
"""Environment variable: what to add to every declared seed. Jobs inherit it."""


def offset() -> int:
    """``SEED_OFFSET``, 0 when unset. SpecError when it is no whole number from 0 on."""
    text = os.environ.get(OFFSET, "").strip() or "0"
    if not text.isdecimal():
        raise SpecError(f"{OFFSET}={text!r} must be a whole number from 0 on, to be added to the declared seeds")
    return int(text)


def shifted(papers: dict[str, Paper], by: int, results: Path, committed: Path) -> dict[str, Paper]:
    """The papers with ``by`` added to every seed of their runs; the same papers for 0.

    Raises SpecError where the runs would go into the committed results, which are of the declared seeds; and, when its
    sweeps are first asked for, where a seed would be judged that is a declared one or that a setting was chosen on.
    """
    if not by:
        return papers
    if results == committed:
        raise SpecError(
            f"{OFFSET}={by} makes runs of other seeds than the committed results have; give them a place of their own: "
            f"RESULTS_DIR=<folder>"
        )
    return {key: _shifted(paper, by) for key, paper in papers.items()}


def _shifted(paper: Paper, by: int) -> Paper:
    @cache
    def moved(preset: Preset) -> tuple[tuple[Sweep, ...], dict[str, RunSpec], dict[str, RunSpec]]:
        """Its sweeps; what each declared run_id becomes; and what each new one was."""
        sweeps = paper.sweeps(preset)
        declared = {s.run_id: s for sweep in sweeps for s in sweep.every}
        choosing = {s.seed for s in declared.values() if s.data.holdout}
        judged = {s.seed for s in declared.values()} - choosing
        if met := sorted((choosing | judged) & {seed + by for seed in judged}):
            seen = "settings were chosen on runs of" if met[0] in choosing else "the declared runs have"
            raise SpecError(
                f"{OFFSET}={by}: {seen} seed {met[0]} of {paper.key}, which would be judged as if it had not been "
                "seen; take another offset, such as 1000"
            )
        becomes: dict[str, RunSpec] = {}

        def move(spec: RunSpec) -> RunSpec:
            if spec.run_id not in becomes:  # parents first: their names are part of the spec
                parents = tuple(move(declared[p]).run_id for p in spec.parents)
                becomes[spec.run_id] = spec.but(seed=spec.seed + by, parents=parents)
            return becomes[spec.run_id]

        made = tuple(replace(s, specs=tuple(map(move, s.specs)), derived=tuple(map(move, s.derived))) for s in sweeps)
        return made, becomes, {new.run_id: declared[old] for old, new in becomes.items()}

    def counterpart(spec: RunSpec) -> RunSpec | None:
        theirs = paper.counterpart(moved(spec.preset)[2].get(spec.run_id, spec))
        return theirs and moved("paper")[1].get(theirs.run_id, theirs)

    return replace(paper, sweeps=lambda preset: moved(preset)[0], counterpart=counterpart, unseen=True)
