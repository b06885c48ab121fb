"""The cost of a LARS step beside SGD's, for ``bench.paired``: on AlexNet's tensors, where a step waits for memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from shared.models import build
from shared.optim import LARS
from shared.spec import ModelSpec


def lars_and_sgd() -> tuple[Callable[[], float], Callable[[], float]]:
    """Two functions that take one step over the weights of AlexNet (61 M) and return its CPU seconds.

    Both have momentum 0.9 and weight decay 5e-4; SGD is ``torch.optim.SGD`` with ``foreach``. They share the weights
    and their gradients; 1 GB altogether. Set one thread first.
    """
    torch.manual_seed(0)
    weights = list(build(ModelSpec(name="alexnet"), 1000, (3, 224, 224)).parameters())
    for weight in weights:
        weight.grad = torch.randn_like(weight) * 1e-4
    lars = LARS(weights, lr=1e-6, momentum=0.9, weight_decay=5e-4)
    sgd = torch.optim.SGD(weights, lr=1e-6, momentum=0.9, weight_decay=5e-4, foreach=True)

    def timed(optimizer: torch.optim.Optimizer) -> Callable[[], float]:
        def step() -> float:
            start = time.process_time()
            optimizer.step()
            return time.process_time() - start

        return step

    return timed(lars), timed(sgd)
