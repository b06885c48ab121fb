"""You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks" (arXiv:1708.03888)."""

from __future__ import annotations

from pathlib import Path

from replications.you.experiments import PROTOCOL, counterpart, roles, sweeps
from replications.you.spec import YouSpec
from shared.paper import Paper

PAPER = Paper(
    key="you",
    title="Large Batch Training of Convolutional Networks",
    authors="You, Gitman, Ginsburg",
    arxiv="1708.03888",
    year=2017,
    protocol=PROTOCOL,
    spec=YouSpec,
    sweeps=sweeps,
    roles=roles,
    counterpart=counterpart,
    folder=Path(__file__).parent,
    notes=(),
    errata=(),
)
