"""LARS, a learning rate of its own for every tensor: Algorithm 1 of You, Gitman and Ginsburg 2017 (arXiv:1708.03888).

For each tensor w, weight or bias alike, with gradient ∇L of the loss:

    λ ← η‖w‖ / (‖∇L‖ + β‖w‖)     local rate (equation 6): η trust coefficient, β weight decay, a sum of two norms
    v ← m·v + γ·λ·(∇L + β·w)      m momentum, γ the global rate that a schedule sets
    w ← w − v

However large the gradient, a step without momentum moves w by at most γη‖w‖, and λ never exceeds η/β; where w or ∇L
is 0 the paper leaves λ open (see ``zero_norm``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.optim import Optimizer

ZeroNorm = Literal["one", "formula"]


class Layer(NamedTuple):
    """One tensor as the last step found it, before the step was taken; the norms are Euclidean."""

    parameter: Tensor
    weight_norm: float
    gradient_norm: float
    """Of the gradient without weight decay."""
    local_rate: float
    """λ, without γ and before clipping."""


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling; the defaults are Algorithm 1 as the ICLR submission prints it; v3 leaves η out.

    Args:
        params: parameters, or groups of them that may set any option below for themselves.
        lr: the global rate γ; the paper's lie between 0.6 and 40.
        momentum, weight_decay: m and β.
        trust_coefficient: η.
        lr_in_momentum: γ inside the buffer as in Algorithm 1, so that a buffer keeps the rates it was filled at; else
            v ← m·v + λ(∇L + βw), w ← w − γ·v, the usual form since. At a constant γ both are the same.
        nesterov: step by m·v + γλ(∇L + βw) with the new v (the paper: no).
        adapt: False gives a group plain SGD with momentum, λ = 1. The paper adapts every tensor; later practice leaves
            out biases and batch norm, and their decay too (``parameter_groups`` makes such groups).
        zero_norm: the paper is silent where w or ∇L is 0. "one": λ = 1, a plain step at the full γ, as in the authors'
            code. "formula": equation 6 as it stands with 0/0 = 0, so that a tensor that starts at 0 stays there.
        trust_clip: min(λ, γ) in place of γλ ("LARC" of the authors' later code).

    Raises ValueError for values out of range.
    """

    _last: tuple[tuple[list[Tensor], Tensor, Tensor, Tensor], ...] = ()

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        lr_in_momentum: bool = True,
        nesterov: bool = False,
        *,
        adapt: bool = True,
        zero_norm: ZeroNorm = "one",
        trust_clip: bool = False,
    ) -> None:
        named = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust_coefficient": trust_coefficient}
        for name, value in named.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be negative, but is {value}")
        if zero_norm not in get_args(ZeroNorm):
            raise ValueError(f"zero_norm={zero_norm!r} is no rule; there are: {', '.join(get_args(ZeroNorm))}")
        flags = {"lr_in_momentum": lr_in_momentum, "nesterov": nesterov, "adapt": adapt, "trust_clip": trust_clip}
        super().__init__(params, {**named, **flags, "zero_norm": zero_norm})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's value, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._last = ()
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._step_group(group, weights, [p.grad for p in weights])
        return loss

    def _step_group(self, group: dict[str, Any], w: list[Tensor], g: list[Tensor]) -> None:
        gamma, m, beta = float(group["lr"]), group["momentum"], group["weight_decay"]
        rates = self._local_rates(group, w, g) if group["adapt"] else w[0].new_ones(len(w))
        if group["adapt"] and group["trust_clip"] and gamma:
            rates = (rates / gamma).clamp(max=1)
        inside, outside = (gamma * rates, 1.0) if group["lr_in_momentum"] else (rates, gamma)
        v = [self._buffer(p) for p in w]
        # v ← m·v + inside·(∇L + βw) in two passes and without a copy of the gradients: memory is what a step waits for
        torch._foreach_mul_(v, m)
        _add(v, inside, g)
        if beta:
            _add(v, inside * beta, w)
        if group["nesterov"]:
            if beta:
                _add(w, inside * (-outside * beta), w)
            _add(w, inside * -outside, g)
        torch._foreach_add_(w, v, alpha=-outside * (m if group["nesterov"] else 1.0))

    def _local_rates(self, group: dict[str, Any], w: list[Tensor], g: list[Tensor]) -> Tensor:
        """λ of each tensor, [len(w)], on their device."""
        weight, gradient = torch.stack(torch._foreach_norm(w)), torch.stack(torch._foreach_norm(g))
        below = gradient + group["weight_decay"] * weight
        rates = group["trust_coefficient"] * weight / below
        if group["zero_norm"] == "one":
            rates = torch.where((weight > 0) & (gradient > 0), rates, 1.0)
        else:
            rates = torch.where(below > 0, rates, 0.0)
        self._last += ((w, weight, gradient, rates),)
        return rates

    def _buffer(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        return state["momentum_buffer"]

    def layers(self) -> list[Layer]:
        """What the last step saw of each adapted tensor, in the order of the groups; empty before the first step.

        Costs nothing until it is called, and then one transfer from the device for each group.
        """
        return [
            Layer(*entry)
            for params, *columns in self._last
            for entry in zip(params, *torch.stack(columns).tolist(), strict=True)
        ]


def _add(target: list[Tensor], rates: Tensor, source: list[Tensor]) -> None:
    """target_i ← target_i + rates_i · source_i for all i, without a wait for the device."""
    torch._foreach_addcmul_(target, source, list(rates.unbind()))
