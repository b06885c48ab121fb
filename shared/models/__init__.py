"""The nets of the suite: an explicit registry and one builder."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from shared.models.alexnet import alexnet, alexnet_bn, alexnet_small
from shared.models.cifar import Shape, linear, mlp, resnet_cifar, resnet_small
from shared.models.ghost import GhostBatchNorm, flush_running_stats, set_deferred
from shared.models.hoffer import hoffer_alexnet, hoffer_f1, hoffer_resnet, hoffer_shallow
from shared.models.inception import inception_resnet_v2
from shared.models.keskar import deepnet, mlp_bn, shallownet
from shared.models.precise import precise_bn
from shared.models.resnet import resnet_50, resnet_101
from shared.models.wide import wide_resnet
from shared.spec import ModelSpec, RunSpec, SpecError

__all__ = ["MODELS", "GhostBatchNorm", "build", "flush_running_stats", "indivisible", "precise_bn", "set_deferred"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "resnet-50": resnet_50,
    "resnet-101": resnet_101,
    "resnet-cifar": resnet_cifar,
    "resnet-small": resnet_small,
    "mlp": mlp,
    "linear": linear,
    "mlp-bn": mlp_bn,
    "shallownet": shallownet,
    "deepnet": deepnet,
    "alexnet": alexnet,
    "alexnet-bn": alexnet_bn,
    "alexnet-small": alexnet_small,
    "hoffer-f1": hoffer_f1,
    "hoffer-shallow": hoffer_shallow,
    "hoffer-resnet": hoffer_resnet,
    "hoffer-alexnet": hoffer_alexnet,
    "wide-resnet": wide_resnet,
    "inception-resnet-v2": inception_resnet_v2,
}
"""Builders ``(num_classes, input_shape, [norm,] **args)``; ``norm(width)`` makes a normalisation layer."""

NORM_ARGS = {
    "bn_running": ("running", str),
    "bn_momentum": ("momentum", float),
    "bn_eps": ("eps", float),
    "bn_eval": ("evaluate", str),
}
"""Arguments that every builder with BN takes, and what GhostBatchNorm calls them."""


def build(model: ModelSpec, num_classes: int, input_shape: Shape, bn_batch: int | None = None) -> nn.Module:
    """The net of a spec, freshly initialised from torch's global generator (seed it first).

    ``input_shape`` is (C, H, W); ``bn_batch`` the samples that share batch statistics (None: each batch given).
    Besides the builder's own arguments, nets with BN take those of ``NORM_ARGS``.
    Raises SpecError for an unknown model or argument, a wrong type or an impossible value.
    """
    if model.name not in MODELS:
        raise SpecError(f"unknown model {model.name!r}{_nearest(model.name, MODELS)}; there are: {', '.join(MODELS)}")
    builder = MODELS[model.name]
    parameters = dict(list(inspect.signature(builder, eval_str=True).parameters.items())[2:])
    has_norm = parameters.pop("norm", None) is not None
    kinds = {name: p.annotation for name, p in parameters.items()}
    kinds |= {name: kind for name, (_, kind) in NORM_ARGS.items()} if has_norm else {}
    for name, value in model.args.items():
        if name not in kinds:
            known = ", ".join(kinds) or "none"
            raise SpecError(f"{model.name} takes no argument {name!r}{_nearest(name, kinds)}; there are: {known}")
        if type(value) is not kinds[name] and not (kinds[name] is float and type(value) is int):
            raise SpecError(f"{model.name}: {name}={value!r} must be of type {kinds[name].__name__}")
    options: dict[str, Any] = {NORM_ARGS[k][0]: v for k, v in model.args.items() if k in NORM_ARGS}
    arguments: dict[str, Any] = {k: v for k, v in model.args.items() if k not in NORM_ARGS}
    if has_norm:
        arguments["norm"] = partial(GhostBatchNorm, bn_batch=bn_batch, **options)
    try:
        return builder(num_classes, input_shape, **arguments)
    except ValueError as error:
        raise SpecError(f"{model.name}: {error}") from error


def indivisible(spec: RunSpec) -> int:
    """How many samples of a batch devices and micro-batches must leave together, since they share batch statistics."""
    if spec.bn_batch is not None:
        return spec.bn_batch
    takes = inspect.signature(MODELS[spec.model.name]).parameters
    chosen = takes.get("batch_norm")  # of builders that leave it to the spec
    normalised = "norm" in takes and (chosen is None or spec.model.args.get("batch_norm", chosen.default))
    return max(spec.batches) if normalised else 1


def _nearest(name: str, known) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
