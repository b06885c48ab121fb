"""Slices of the loss along random directions that have the scale of the filters (Li et al. 2018, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from torch import nn

from shared.curvature.objective import Objective
from shared.curvature.paths import Row, along


def filter_normalised(net: nn.Module, seed: int) -> np.ndarray:
    """A random direction, float64 [n] in the order of the net's trainable parameters.

    Gaussian, each filter (a slice of a weight along its first axis: a row of a linear layer, an output channel of a
    convolution) scaled to the norm of the net's own filter: d_ij ← d_ij·‖θ_ij‖/‖d_ij‖. Biases and the parameters of
    normalisation layers stay where they are (zeros), as in the authors' code.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for parameter in net.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2:
            parts.append(np.zeros(parameter.numel()))
            continue
        weight = parameter.detach().double().cpu().numpy().reshape(len(parameter), -1)
        drawn = rng.standard_normal(weight.shape)
        scale = np.linalg.norm(weight, axis=1) / np.linalg.norm(drawn, axis=1)
        parts.append((drawn * scale[:, None]).ravel())
    return np.concatenate(parts)


def grid_1d(
    x: np.ndarray, direction: np.ndarray, objectives: Mapping[str, Objective], steps: Iterable[float]
) -> list[Row]:
    """Loss and accuracy at x + α·direction for α in ``steps``: the rows of ``paths.along``."""
    return along(lambda alpha: x + alpha * direction, objectives, steps)


def grid_2d(
    x: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    objectives: Mapping[str, Objective],
    alphas: Iterable[float],
    betas: Iterable[float],
) -> list[Row]:
    """Loss and accuracy at x + α·first + β·second: a row a point, ``beta`` beside the columns of ``grid_1d``."""
    alphas = list(alphas)
    return [
        {"beta": float(beta), **row} for beta in betas for row in grid_1d(x + beta * second, first, objectives, alphas)
    ]
