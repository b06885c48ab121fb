"""Keskar et al. 2017 (arXiv:1609.04836) as pure functions: batch, stopping rule, distance, cost of time.

Metric 2.1 and the paths between two solutions, which other papers use too, are in ``shared.curvature``.
Notation of the paper: x_s and x_ℓ the small- and the large-batch solution, x_0 where both started.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LARGE_FRACTION = 0.1
"""The paper's large batch as a share of the training set (§2)."""


def large_batch(train_size: int) -> int:
    """10 % of the training set, rounded (§2): 6000 for MNIST, 5000 for CIFAR, 72133 for TIMIT."""
    return round(LARGE_FRACTION * train_size)


def plateaued(losses: Sequence[float], patience: int, delta: float) -> bool:
    """Whether the last ``patience`` values brought no new minimum that is lower by more than ``delta``.

    Our reading of "until the loss stops improving" (§2.2), over the mean training loss of each epoch. A value counts
    as an improvement when it is more than ``delta`` below the best one that counted before it.
    """
    best, since = math.inf, 0
    for loss in losses:
        if loss < best - delta:
            best, since = loss, 0
        else:
            since += 1
    return since >= patience


def large_batch_is_faster(iterations_ratio: float, batch_ratio: float, efficiency: float) -> bool:
    """Appendix C: LB beats SB in time iff I_ℓ/I_s < B_s/(f_s·B_ℓ), with f_s the parallel efficiency of SB.

    ``iterations_ratio`` is I_ℓ/I_s, ``batch_ratio`` B_s/B_ℓ; LB's own efficiency is taken as 1.
    """
    return iterations_ratio < batch_ratio / efficiency
