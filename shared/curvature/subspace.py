"""Random subspaces of weight space: x + A y with a tall random matrix A (Keskar et al. 2017, Metric 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from shared.curvature.objective import CurvatureError

Scale = Literal["normal", "uniform", "unit"]
ROWS = 1 << 16
"""Rows of A drawn at once; part of what a seed means."""
KEPT = 1_000_000_000
"""Bytes of A that stay in memory; a larger one is drawn anew for each product."""


class Subspace:
    """A random matrix A, float32 [n, p], a function of (n, p, seed, scale).

    ``scale``: "normal" has entries N(0, 1), "uniform" U(-1, 1), "unit" N(0, 1) with the columns scaled to norm 1. The
    paper leaves it open, and the "+1" of its box makes the metric depend on it. Raises CurvatureError for an unknown
    scale and for p outside [1, n].
    """

    def __init__(self, n: int, p: int, seed: int, scale: Scale = "normal") -> None:
        if scale not in get_args(Scale):
            raise CurvatureError(f"scale={scale!r} is no scale; there are: {', '.join(get_args(Scale))}")
        if not 1 <= p <= n:
            raise CurvatureError(f"a subspace of {p} dimensions does not fit in a space of {n}: p lies in [1, n]")
        self.n, self.p, self.seed, self.scale = n, p, seed, scale
        self._kept = [self._draw(start) for start in range(0, n, ROWS)] if 4 * n * p <= KEPT else None
        self._gram = np.zeros((p, p))
        for _, block in self._blocks():
            exact = block.astype(np.float64)
            self._gram += exact.T @ exact
        # Columns are scaled on the way in and out, so that A itself need not be stored twice.
        self._norms = np.sqrt(np.diag(self._gram)) if scale == "unit" else np.ones(p)

    def up(self, y: np.ndarray) -> np.ndarray:
        """A y: the shift of the weights, float64 [n], for coordinates ``y`` [p]."""
        shift, scaled = np.empty(self.n), (y / self._norms).astype(np.float32)
        for rows, block in self._blocks():
            shift[rows] = block @ scaled
        return shift

    def down(self, gradient: np.ndarray) -> np.ndarray:
        """Aᵀ g: the gradient with respect to y, float64 [p], from that with respect to the weights [n]."""
        total = np.zeros(self.p)
        for rows, block in self._blocks():
            total += gradient[rows] @ block
        return total / self._norms

    def pinv(self, x: np.ndarray) -> np.ndarray:
        """A⁺ x, float64 [p], as the solution of the normal equations AᵀA z = Aᵀx."""
        return np.linalg.solve(self._gram, self.down(x) * self._norms) * self._norms

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        for k, start in enumerate(range(0, self.n, ROWS)):
            block = self._draw(start) if self._kept is None else self._kept[k]
            yield slice(start, start + len(block)), block

    def _draw(self, start: int) -> np.ndarray:
        rng, shape = np.random.default_rng([self.seed, start]), (min(ROWS, self.n - start), self.p)
        if self.scale == "uniform":
            return 2 * rng.random(shape, dtype=np.float32) - 1
        return rng.standard_normal(shape, dtype=np.float32)
