"""The registry of papers as parameters of a test, and what each declares."""

from __future__ import annotations

from functools import cache

import pytest

from replications import PAPERS
from shared.spec import PRESETS, RunSpec

papers = pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
presets = pytest.mark.parametrize("preset", PRESETS)
smaller = pytest.mark.parametrize("preset", [p for p in PRESETS if p != "paper"])


@cache
def declared(key: str, preset: str) -> tuple[RunSpec, ...]:
    """Every spec of every sweep: a run that stands in two sweeps is here twice."""
    return tuple(spec for sweep in PAPERS[key].sweeps(preset) for spec in sweep.specs)


def one_an_arm(key: str, preset: str) -> list[RunSpec]:
    return list({spec.arm: spec for spec in declared(key, preset)}.values())
