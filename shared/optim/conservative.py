"""Conservative (proximal) mini-batch training: several Adam steps on one batch, held near the last iterate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class ConservativeAdam(torch.optim.Adam):
    """x_{k+1} ≈ argmin_x f_{B_k}(x) + (λ/2)‖x − x_k‖² by ``inner_steps`` steps of Adam (Keskar et al. 2017, App. E.2).

    The closure given to ``step`` must compute the loss of one and the same batch with its gradients each time. With
    ``proximal`` 0 it is plain Adam that visits every batch ``inner_steps`` times: the control that the paper lacks.
    Adam's moments run on through the inner steps. Raises ValueError for no step or a negative λ.
    """

    def __init__(self, params: Any, lr: float, *, inner_steps: int, proximal: float, **options: Any):
        if inner_steps < 1 or proximal < 0:
            raise ValueError(f"inner_steps={inner_steps} must be at least 1 and proximal={proximal} not negative")
        super().__init__(params, lr, **options)
        self.inner_steps, self.proximal = inner_steps, proximal

    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """One batch: returns the loss at x_k."""
        weights = [p for group in self.param_groups for p in group["params"]]
        anchors = [p.detach().clone() for p in weights] if self.proximal else []
        first: Tensor | None = None
        for _ in range(self.inner_steps):
            with torch.enable_grad():
                loss = closure()
            if first is None:
                first = loss  # the proximal term's gradient is 0 at x_k
            elif self.proximal:
                with torch.no_grad():
                    for p, anchor in zip(weights, anchors, strict=True):
                        if p.grad is not None:
                            p.grad.add_(p - anchor, alpha=self.proximal)
            super().step()
        assert first is not None
        return first
