"""Same function, other weights: rescalings under which sharpness changes (Dinh et al. 2017) and one measure it spares.

Dinh et al. 2017 (section 3): relu is positively homogeneous, so a layer may be multiplied by α and the next one's
weight divided by it. Before batch normalisation a layer's scale does not matter at all: with weight and bias times α
the function stays, up to BN's ε, and the curvature along that weight changes by 1/α². A fixed box such as Keskar et
al.'s, ±ε(|x_i|+1) with |x_i| ≪ 1, therefore measures any sharpness one likes. Boxes proportional to |x_i| are immune
(Kwon et al. 2021, adaptive sharpness).
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from shared.curvature.objective import BnMode, CurvatureError
from shared.curvature.sharpness import Found, Function
from shared.models.ghost import ghost_layers

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
HOMOGENEOUS_MODULES = (
    *(nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)
HOMOGENEOUS_CALLS = {
    *(torch.relu, F.relu, F.leaky_relu, torch.flatten, F.dropout),
    *(F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d),
    *("relu", "relu_", "flatten", "view", "reshape", "mean"),
}
"""Steps g with g(αh) = α·g(h) for every α > 0."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # ghost BN branches on what it gets, which cannot be traced
        return isinstance(m, _BatchNorm) or super().is_leaf_module(m, module_qualified_name)


def _steps(net: nn.Module) -> list[tuple[fx.Node, str, nn.Module]]:
    """The module calls of one forward pass, less those of weights that are used twice: their scale is not free."""
    try:
        nodes = list(_Tracer().trace(net).nodes)
    except Exception as error:  # whatever the net's own forward raises on a symbolic input
        raise CurvatureError(f"cannot trace {type(net).__name__} to see which layer feeds which: {error}") from error
    calls = [str(n.target) for n in nodes if n.op == "call_module"]
    tied = Counter(id(p) for _, p in net.named_parameters(remove_duplicate=False))  # by two modules
    read = {str(n.target) for n in nodes if n.op == "get_attr"}  # by the forward pass itself
    steps = [(n, str(n.target), net.get_submodule(str(n.target))) for n in nodes if n.op == "call_module"]

    def free(name: str, module: nn.Module) -> bool:
        own = dict(module.named_parameters(recurse=False))
        shared = any(tied[id(p)] > 1 or f"{name}.{key}" in read for key, p in own.items())
        return calls.count(name) == 1 and not shared

    return [s for s in steps if isinstance(s[2], HOMOGENEOUS_MODULES) or free(s[1], s[2])]


def _reader(node: fx.Node) -> fx.Node | None:
    """The node that reads an output, if only one does."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def bn_preceded(net: nn.Module) -> dict[str, str]:
    """The linear and convolutional layers whose output goes to one BN and nowhere else: layer name → BN name.

    Raises CurvatureError for a net that ``torch.fx`` cannot trace.
    """
    steps = _steps(net)
    norms: dict[fx.Node | None, str] = {node: name for node, name, module in steps if isinstance(module, _BatchNorm)}
    found = {name: norms.get(_reader(node)) for node, name, module in steps if isinstance(module, LAYERS)}
    return {name: norm for name, norm in found.items() if norm is not None}


def pairs(net: nn.Module) -> list[tuple[str, str]]:
    """The (first, second) that Dinh et al.'s rescaling applies to, by name, from input to output.

    ``first`` is a linear or convolutional layer or an affine BN; between it and the layer ``second`` lie only steps
    that are positively homogeneous (relu, pooling, flattening, dropout), and nothing else reads its output.
    Raises CurvatureError for a net that ``torch.fx`` cannot trace.
    """
    steps = _steps(net)
    layers = {node: name for node, name, module in steps if isinstance(module, LAYERS)}
    passing = {node for node, _, module in steps if isinstance(module, HOMOGENEOUS_MODULES)}
    found = []
    for node, name, module in steps:
        if not (isinstance(module, LAYERS) or (isinstance(module, _BatchNorm) and module.affine)):
            continue
        reader = _reader(node)
        # a module's target is its name, which says nothing
        while reader in passing or (reader and reader.op != "call_module" and reader.target in HOMOGENEOUS_CALLS):
            reader = _reader(reader)
        if reader in layers:
            found.append((name, layers[reader]))
    return found


@torch.no_grad()
def dinh(net: nn.Module, alpha: float, layers: tuple[str, str] | None = None) -> nn.Module:
    """A copy of a relu net with w1, b1 times ``alpha`` and w2 divided by it: the same function (Dinh et al. 2017).

    ``layers`` names the two layers, one of ``pairs(net)``; None: the first pair. With BN the first layer is a BN,
    whose γ and β are scaled. Exact in real arithmetic for every α > 0; BN's ε plays no part.
    Raises CurvatureError for another pair, for a net without any and for an α that is not positive.
    """
    known = pairs(net)
    if not known or (layers is not None and tuple(layers) not in known):
        raise CurvatureError(f"layers={layers} are not two layers with only relu, pooling or dropout between: {known}")
    first, second = layers or known[0]
    made = copy.deepcopy(net)
    modules: dict[str, Any] = dict(made.named_modules())
    _scale(modules[first], alpha)
    modules[second].weight.div_(alpha)
    return made


@torch.no_grad()
def scale_bn_preceded(net: nn.Module, factors: float | Mapping[str, float], *, scale_eps: bool = False) -> nn.Module:
    """A copy with weight and bias of layers that feed a BN times α: the same function up to BN's ε.

    ``factors`` is one α > 0 for all of ``bn_preceded(net)`` or an α a layer name. Running statistics are scaled
    alike (mean α, variance α²), so that both modes of BN keep their function. The curvature within those weights
    changes by 1/α²: a small α makes a flat solution look sharp. The function holds while α²·variance ≫ ε (1e-5 in
    PyTorch), which ``logit_difference`` checks; ``scale_eps`` multiplies ε by α² too and is then exact, but
    changes a constant of the net beside its weights.
    Raises CurvatureError for a net without such layers, for names that are none, and for an α that is not positive.
    """
    norms = bn_preceded(net)
    chosen = dict(factors) if isinstance(factors, Mapping) else dict.fromkeys(norms, factors)
    if not chosen or not chosen.keys() <= norms.keys():
        unknown = sorted(chosen.keys() - norms.keys())
        raise CurvatureError(f"no batch normalisation follows {unknown or 'any layer'}; these have one: {list(norms)}")
    made = copy.deepcopy(net)
    modules: dict[str, Any] = dict(made.named_modules())
    for name, alpha in chosen.items():
        _scale(modules[name], alpha)
        norm = modules[norms[name]]
        if norm.running_mean is not None:
            norm.running_mean.mul_(alpha)
            norm.running_var.mul_(alpha**2)
        norm.eps *= alpha**2 if scale_eps else 1
    return made


@torch.no_grad()
def match_norms(net: nn.Module, other: nn.Module) -> nn.Module:
    """A copy of ``net`` whose BN-preceded weights have the norms of ``other``'s, tensor by tensor: same function.

    What is left of a difference in sharpness afterwards is no matter of the scale of these weights.
    """
    mine, others = dict(net.named_parameters()), dict(other.named_parameters())
    weights = {name: f"{name}.weight" for name in bn_preceded(net)}
    return scale_bn_preceded(net, {name: float(others[w].norm() / mine[w].norm()) for name, w in weights.items()})


def _scale(layer: Any, alpha: float) -> None:
    if not (math.isfinite(alpha) and alpha > 0):
        raise CurvatureError(f"alpha={alpha}: relu and BN keep their function under positive factors alone")
    layer.weight.mul_(alpha)
    if layer.bias is not None:
        layer.bias.mul_(alpha)


@torch.no_grad()
def logit_difference(
    net: nn.Module, other: nn.Module, images: Tensor, *, bn: BnMode = "batch", batch: int = 5000
) -> float:
    """The largest |difference| between the logits of two nets over ``images`` [N, ...], dropout off.

    Works on copies in float64, so that it shows the rescaling and not rounding; ``bn`` and ``batch`` as in Objective.
    """

    def prepared(module: nn.Module) -> nn.Module:
        module = copy.deepcopy(module).double().eval()
        for layer in ghost_layers(module):
            layer.evaluate = "running"  # or its evaluation mode too could take batch statistics
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.train(bn == "batch")
        return module

    first, second = prepared(net), prepared(other)
    device = next(first.parameters()).device
    parts = (part.to(device, torch.float64) for part in images.split(batch))
    differences = [(first(part) - second(part)).abs().max() for part in parts]
    return float(torch.stack(differences).max())


def adaptive_sharpness(
    objective: Function,
    x: np.ndarray,
    rho: float,
    *,
    start: Literal["x", "random"] = "x",
    iterations: int = 20,
    seed: int = 0,
) -> Found:
    """Adaptive sharpness: the rise of f over the box |δ_i| ≤ ρ|x_i| (Kwon et al. 2021, definition 2 with p=∞).

    ``value`` is in the unit of Metric 2.1, 100·(f_max - f0)/(1 + f0); Kwon et al.'s is f_max - f0, in nats. Weights
    that are 0 stay 0. Projected sign ascent on u = δ/|x| with a step that falls from ρ to ρ/``iterations``: the box
    and every iterate follow a positive rescaling of the weights, so nets with the same function get the same value
    up to rounding. The best point counts, x among them. ``start="random"`` begins uniformly within the box.
    Raises CurvatureError for a ρ that is not positive and when two evaluations at x differ.
    """
    if not rho > 0:
        raise CurvatureError(f"rho={rho}: the box needs a positive half-width")
    objective.check(x)
    reach, u = np.abs(x), np.zeros_like(x)
    best, f_max, evaluations = u, -math.inf, 0

    def gradient_at(u: np.ndarray) -> np.ndarray:
        nonlocal best, f_max, evaluations
        value, gradient = objective.value_and_gradient(x + reach * u)
        evaluations += 1
        if value > f_max:
            best, f_max = u, value
        return gradient

    gradient = gradient_at(u)
    f0 = f_max
    if start == "random":
        u = np.random.default_rng(seed).uniform(-rho, rho, len(x))
        gradient = gradient_at(u)
    for i in range(iterations):
        u = np.clip(u + rho * (1 - i / iterations) * np.sign(gradient), -rho, rho)
        gradient = gradient_at(u)
    moved = np.abs(best[reach > 0]) / rho
    return Found(
        value=100 * (f_max - f0) / (1 + f0),
        f0=f0,
        f_max=f_max,
        iterations=iterations,
        evaluations=evaluations,
        status=-1,
        message="SIGN ASCENT: ALL STEPS TAKEN",
        moved=float(moved.max(initial=0)),
        at_bound=float(np.mean(moved > 1 - 1e-9)) if len(moved) else 0.0,
    )
