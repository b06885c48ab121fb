"""Which parameters weight decay and LARS' local rates apply to."""

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


def parameter_groups(
    model: nn.Module, weight_decay: float, skip: Collection[str] = (), adapt_skip: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Optimizer groups of the trainable parameters: decayed ones first, then those of a kind in ``skip``.

    A BN bias is of kind "bn" alone: ``skip=("bias",)`` still decays it. Kinds in ``adapt_skip`` come in groups of their
    own with ``adapt`` False, which LARS leaves at plain steps. Empty groups are left out.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(weight_decay, True): []}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                kind = parameter_kind(module, name)
                key = (0.0 if kind in skip else weight_decay, kind not in adapt_skip)
                groups.setdefault(key, []).append(parameter)
    return [
        {"params": params, "weight_decay": decay, **({} if adapt else {"adapt": False})}
        for (decay, adapt), params in groups.items()
        if params
    ]
