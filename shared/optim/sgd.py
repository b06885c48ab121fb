"""SGD with the learning rate inside the momentum buffer (Goyal et al. 2017, equation 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class AbsorbedSGD(Optimizer):
    """v ← m·v + η·g, w ← w − v (equation 10), with g including ``weight_decay``·w.

    ``corrected`` rescales the buffer when η changes, v ← m·(η_{t+1}/η_t)·v + η_{t+1}·g ("momentum correction",
    section 3), which makes it equivalent to the reference form of ``torch.optim.SGD``.
    ``nesterov`` steps by m·v' + η·g with the new buffer v', as Caffe2 does.
    The last learning rate is part of each group, so a resumed run is exact.
    Raises ValueError for values out of range, and when the correction would divide by a learning rate of 0.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        corrected: bool = False,
    ) -> None:
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"{name} must not be negative, but is {value}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "corrected": corrected,
            "last_lr": None,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's value, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        lr, momentum = float(group["lr"]), group["momentum"]
        grads = [p.grad for p in params]
        if group["weight_decay"]:
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
        fresh = [p for p in params if "momentum_buffer" not in self.state[p]]
        for p in fresh:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        if group["corrected"] and group["last_lr"] not in (None, lr):
            if group["last_lr"] == 0:
                raise ValueError("momentum correction divides by the last learning rate, which was 0: start above 0")
            # Every buffer of the group, so that one without a gradient this time stays in the same units.
            known = [self.state[p]["momentum_buffer"] for p in group["params"] if p in self.state]
            torch._foreach_mul_(known, lr / group["last_lr"])
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, grads, alpha=lr)
        if group["nesterov"]:
            torch._foreach_add_(params, buffers, alpha=-momentum)
            torch._foreach_add_(params, grads, alpha=-lr)
        else:
            torch._foreach_sub_(params, buffers)
        group["last_lr"] = lr
