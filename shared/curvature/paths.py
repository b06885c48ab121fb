"""Loss and accuracy along a path between a small-batch and a large-batch solution (Keskar et al. 2017, Figs. 3, 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy.special import cosdg, sindg

from shared.curvature.declare import POINTS
from shared.curvature.objective import CurvatureError, Objective

ALPHAS = np.linspace(-1, 2, POINTS)
"""The grid of the authors' code; 0 (small batch) and 1 (large batch) are points of it."""

Path = Callable[[float], np.ndarray]
Row = dict[str, float]


def linear(x_s: np.ndarray, x_l: np.ndarray, alpha: float) -> np.ndarray:
    """α·x_l + (1-α)·x_s (Fig. 3): x_s at α=0 and x_l at α=1, exactly. Vectors [n]."""
    _check(x_s, x_l)
    return alpha * x_l + (1 - alpha) * x_s


def curved(x_s: np.ndarray, x_l: np.ndarray, alpha: float) -> np.ndarray:
    """sin(απ/2)·x_l + cos(απ/2)·x_s (Fig. 7): x_s at α=0 and x_l at α=1, exactly. Vectors [n]."""
    _check(x_s, x_l)
    # in degrees the functions are exact at the solutions, where cos(π/2) in radians is 6e-17
    return sindg(90 * alpha) * x_l + cosdg(90 * alpha) * x_s


def along(path: Path, objectives: Mapping[str, Objective], alphas: Iterable[float] = ALPHAS) -> list[Row]:
    """A row a point: ``alpha``, and of each objective ``<name>/loss`` (nats) and ``<name>/accuracy`` (percent).

    ``path`` maps α to weights [n]: ``partial(linear, x_s, x_l)``.
    """
    rows = []
    for alpha in alphas:
        x, row = path(float(alpha)), {"alpha": float(alpha)}
        for name, objective in objectives.items():
            row[f"{name}/loss"], row[f"{name}/accuracy"] = objective.score(x)
        rows.append(row)
    return rows


def features(rows: list[Row], name: str = "train") -> Row:
    """What Figs. 3 and 7 are read for, of the losses ``<name>/loss`` in nats.

    ``barrier``: the largest loss for α in (0, 1) minus that of the worse end (negative where there is no barrier);
    ``rise_lb``: the loss at α=1.25 minus at 1; ``rise_sb``: the loss at α=-0.25 minus at 0.
    Raises CurvatureError for rows that lack one of these points.
    """
    loss = {row["alpha"]: row[f"{name}/loss"] for row in rows}
    inside = [value for alpha, value in loss.items() if 0 < alpha < 1]
    missing = [alpha for alpha in (-0.25, 0, 1, 1.25) if alpha not in loss]
    if missing or not inside:
        raise CurvatureError(f"the path lacks {missing or 'points between 0 and 1'}: evaluate it on ALPHAS")
    return {
        "barrier": max(inside) - max(loss[0], loss[1]),
        "rise_lb": loss[1.25] - loss[1],
        "rise_sb": loss[-0.25] - loss[0],
    }


def _check(x_s: np.ndarray, x_l: np.ndarray) -> None:
    if x_s.shape != x_l.shape:
        raise CurvatureError(f"solutions of different nets: {x_s.shape} and {x_l.shape} weights")
