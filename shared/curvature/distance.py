"""How far training has moved the weights (Keskar et al. 2017: large batches stay closer to the start)."""

from __future__ import annotations

import numpy as np
from torch import nn

from shared.curvature.objective import CurvatureError


def distance(x: np.ndarray, x0: np.ndarray) -> float:
    """‖x - x0‖₂ of weights [n], in float64. Raises CurvatureError for vectors of different nets."""
    if x.shape != x0.shape:
        raise CurvatureError(f"weights of different nets: {x.shape} and {x0.shape}")
    return float(np.linalg.norm(x.astype(np.float64) - x0))


def by_tensor(net: nn.Module, x: np.ndarray, x0: np.ndarray) -> dict[str, float]:
    """The distance of each trainable tensor of ``net`` by name; their squares add up to that of ``distance``.

    ``net`` lends names and sizes only. Raises CurvatureError for vectors that are not of this net.
    """
    sizes = {name: p.numel() for name, p in net.named_parameters() if p.requires_grad}
    if x.shape != (sum(sizes.values()),):
        raise CurvatureError(f"weights {x.shape} for a net of {sum(sizes.values())}")
    ends = np.cumsum(list(sizes.values()))
    return {
        name: distance(x[end - size : end], x0[end - size : end])
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
