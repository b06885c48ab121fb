"""The registry of papers: explicit, in the order of the report, and free of side effects."""

from __future__ import annotations

from replications.goyal import PAPER as GOYAL
from replications.hoffer import PAPER as HOFFER
from replications.keskar import PAPER as KESKAR
from replications.smith_a import PAPER as SMITH_A
from replications.smith_b import PAPER as SMITH_B
from replications.you import PAPER as YOU
from shared.paper import Paper, registry

PAPERS: dict[str, Paper] = registry(KESKAR, HOFFER, GOYAL, YOU, SMITH_A, SMITH_B)
