"""Which parameters weight decay applies to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def parameter_kind(module: nn.Module, name: str) -> str:
    """``"bn"`` for γ and β of batch normalisation (by module type), ``"bias"`` for other biases, else ``"weight"``."""
    if isinstance(module, _BatchNorm):
        return "bn"
    return "bias" if name == "bias" else "weight"


def parameter_groups(model: nn.Module, weight_decay: float, skip: Collection[str] = ()) -> list[dict[str, Any]]:
    """Optimizer groups of the trainable parameters: decayed ones first, then those of a kind in ``skip``.

    A BN bias is of kind "bn" alone: ``skip=("bias",)`` still decays it. Empty groups are left out.
    """
    groups: dict[float, list[nn.Parameter]] = {weight_decay: []}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                decay = 0.0 if parameter_kind(module, name) in skip else weight_decay
                groups.setdefault(decay, []).append(parameter)
    return [{"params": params, "weight_decay": decay} for decay, params in groups.items() if params]
