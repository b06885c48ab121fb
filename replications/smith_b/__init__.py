"""Smith, Kindermans, Ying and Le 2018, "Don't Decay the Learning Rate, Increase the Batch Size" (arXiv:1711.00489)."""

from __future__ import annotations

from pathlib import Path

from replications.smith_b.experiments import PROTOCOL, SmithBSpec, counterpart, roles, sweeps
from shared.paper import Paper

PAPER = Paper(
    key="smith_b",
    title="Don't Decay the Learning Rate, Increase the Batch Size",
    authors="Smith, Kindermans, Ying, Le",
    arxiv="1711.00489",
    year=2018,
    protocol=PROTOCOL,
    spec=SmithBSpec,
    sweeps=sweeps,
    roles=roles,
    counterpart=counterpart,
    folder=Path(__file__).parent,
)
