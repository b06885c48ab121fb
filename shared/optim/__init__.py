"""Optimizers by name: an explicit registry and one builder."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from shared.optim.groups import parameter_groups
from shared.optim.lars import LARS
from shared.optim.sgd import AbsorbedSGD
from shared.spec import OptimizerSpec, SpecError

__all__ = ["LARS", "OPTIMIZERS", "AbsorbedSGD", "make_optimizer", "parameter_groups"]

Groups = list[dict[str, Any]]
LARS_ALONE = ("trust_coefficient", "adapt_skip", "zero_norm", "trust_clip")


def sgd(groups: Groups, spec: OptimizerSpec, lr: float) -> Optimizer:
    """SGD with momentum in the form of ``spec.momentum_form``; ``spec.fused`` is for forms that PyTorch itself has.

    "averaging" is PyTorch's dampening = momentum from a buffer of zeros, hence the reference form at the rate η(1 − m).
    PyTorch alone would start with the whole first gradient, which then counts 1/(1 − m) times as much as any other.
    """
    own = spec.momentum_form.startswith("absorbed")
    if spec.fused and own:
        raise SpecError(f"optimizer.fused: momentum_form {spec.momentum_form!r} has no fused kernel, leave it out")
    if spec.nesterov and not spec.momentum:
        raise SpecError("optimizer.nesterov needs optimizer.momentum above 0")
    if spec.nesterov and spec.momentum_form == "averaging":
        raise SpecError("optimizer.nesterov is not defined for momentum_form 'averaging': leave one of them out")
    if not own:
        averaging = spec.momentum_form == "averaging"
        dampening = spec.momentum if averaging else 0.0
        kernel = {"fused": True} if spec.fused else {"foreach": True}
        made = torch.optim.SGD(
            groups, lr, momentum=spec.momentum, dampening=dampening, nesterov=spec.nesterov, **kernel
        )
        if averaging and spec.momentum:
            for parameter in (p for group in made.param_groups for p in group["params"]):
                made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return made
    corrected = spec.momentum_form == "absorbed-corrected"
    return AbsorbedSGD(groups, lr, momentum=spec.momentum, nesterov=spec.nesterov, corrected=corrected)


def adam(groups: Groups, spec: OptimizerSpec, lr: float) -> Optimizer:
    """Adam with β₁ = ``spec.momentum``, β₂ = 0.999, ε = 1e-8 (Kingma and Ba 2015) and weight decay in the gradient.

    ``spec.fused``: one kernel for all tensors, 1.1-1.5 times as fast on the CPU for nets of small layers.
    """
    if spec.nesterov or spec.momentum_form != "reference":
        raise SpecError("optimizer adam knows no nesterov and no momentum_form but 'reference'")
    kernel = {"fused": True} if spec.fused else {"foreach": True}
    return torch.optim.Adam(groups, lr, betas=(spec.momentum, 0.999), eps=1e-8, **kernel)


def lars(groups: Groups, spec: OptimizerSpec, lr: float) -> Optimizer:
    """LARS; the paper's has momentum_form "absorbed", "reference" is the usual form."""
    if spec.fused or spec.momentum_form not in ("absorbed", "reference"):
        raise SpecError("optimizer lars knows no fused and no momentum_form but 'absorbed' and 'reference'")
    return LARS(
        groups,
        lr,
        momentum=spec.momentum,
        trust_coefficient=spec.trust_coefficient,
        lr_in_momentum=spec.momentum_form == "absorbed",
        nesterov=spec.nesterov,
        zero_norm=spec.zero_norm,
        trust_clip=spec.trust_clip,
    )


OPTIMIZERS: dict[str, Callable[[Groups, OptimizerSpec, float], Optimizer]] = {"sgd": sgd, "adam": adam, "lars": lars}


def make_optimizer(model: nn.Module, spec: OptimizerSpec, lr: float) -> Optimizer:
    """The optimizer of a spec over the model's trainable parameters, weight decay grouped by ``spec.decay_skip``.

    Raises SpecError for an unknown name (listing the known ones) and for options that do not go together.
    """
    if spec.name not in OPTIMIZERS:
        near = difflib.get_close_matches(spec.name, OPTIMIZERS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise SpecError(f"unknown optimizer {spec.name!r}{hint}; there are: {', '.join(OPTIMIZERS)}")
    unused = [f for f in LARS_ALONE if getattr(spec, f) != OptimizerSpec.model_fields[f].default]
    if unused and spec.name != "lars":
        raise SpecError(f"optimizer.{unused[0]} is for lars alone: leave it out for {spec.name}")
    try:
        groups = parameter_groups(model, spec.weight_decay, spec.decay_skip, spec.adapt_skip)
        return OPTIMIZERS[spec.name](groups, spec, lr)
    except SpecError:
        raise
    except ValueError as error:
        raise SpecError(f"optimizer {spec.name}: {error}") from error
