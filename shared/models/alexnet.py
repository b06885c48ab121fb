"""AlexNet as You, Gitman and Ginsburg 2017 trained it, with LRN or with batch norm, and counterparts for small images.

Layers and fillers are those of the authors' NVCaffe files (models/bvlc_alexnet/train_val.prototxt and
models/alexnet_bn/train_val2.prototxt): two groups in conv2, conv4 and conv5, pools 3×3 of stride 2 that round sizes up.
Parameters have Caffe's names: ``conv1.weight`` … ``fc8.bias``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.cifar import Norm, Shape

GROUPS = {"conv2": 2, "conv4": 2, "conv5": 2}
POOLED = ("conv1", "conv2", "conv5")
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
STD = dict.fromkeys(LAYERS, 0.01) | {"fc6": 0.005, "fc7": 0.005}
FAN_IN = dict(zip(LAYERS, (363, 1200, 2304, 1728, 1728, 9216, 4096, 4096), strict=True))
"""Inputs of one unit in the full net on colour images; with ``STD`` they fix how far a layer scales its input."""
BIAS_LRN = {"conv2": 0.1, "conv4": 0.1, "conv5": 0.1, "fc6": 0.1, "fc7": 0.1}
BIAS_BN = dict.fromkeys(LAYERS, 0.01) | {"fc6": 0.1, "fc7": 0.1}
FILTERS = {"conv1": 96, "conv2": 256, "conv3": 384, "conv4": 384, "conv5": 256}

Place = Callable[[str, int], tuple[list[nn.Module], list[nn.Module]]]
"""The normalisation of a convolution's ``(name, channels)``: what comes before its pool, and what after."""


class LocalResponseNorm(nn.Module):
    """x_c / (1 + α/n · Σ x_d²)^β over the n channels d around c (Krizhevsky et al. 2012, section 3.3; [b, C, H, W]).

    The sum is a 1×1 convolution of the squares by a banded matrix: equal to ``nn.LocalResponseNorm`` to float32's
    rounding, and faster on a CPU. ``size`` n must be odd.
    """

    band: Tensor
    ones: Tensor

    def __init__(self, channels: int, size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> None:
        if size % 2 == 0:
            raise ValueError(f"size={size} must be odd")
        super().__init__()
        place = torch.arange(channels)
        near = (place[:, None] - place).abs() <= size // 2
        self.register_buffer("band", near.float()[:, :, None, None] * (alpha / size), persistent=False)
        self.register_buffer("ones", torch.ones(channels), persistent=False)
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        return x * F.conv2d(x * x, self.band, self.ones).pow(-self.beta)


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def alexnet(num_classes: int, input_shape: Shape, dropout: float = 0.5, input_scale: float = 1.0) -> nn.Module:
    """AlexNet with local response normalisation: 61.0 M parameters for 1000 classes, images of 224 or 227 pixels.

    ``input_scale`` multiplies the pixels. The authors' run over 0-255 less the mean, which is what LRN and the fillers
    are made for: 255 times their standard deviation, some 58 for standardised ImageNet.
    Raises ValueError for images that a pool leaves nothing of.
    """
    return _net(num_classes, input_shape, FILTERS, 4096, (11, 4, 0), dropout, input_scale, _lrn, BIAS_LRN)


def alexnet_bn(
    num_classes: int, input_shape: Shape, norm: Norm, dropout: float = 0.5, input_scale: float = 1.0
) -> nn.Module:
    """AlexNet-BN: four batch norms without γ and β in place of LRN, after pool1, pool2, relu3 and relu4.

    The authors' pixels are those of ``alexnet`` over 256 (``input_scale`` 0.225 for standardised ones), their ε 1e-4.
    """
    return _net(num_classes, input_shape, FILTERS, 4096, (11, 4, 0), dropout, input_scale, _bn(norm), BIAS_BN)


def alexnet_small(
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    normalise: str = "lrn",
    width: int = 8,
    hidden: int = 256,
    stem_stride: int = 1,
    dropout: float = 0.5,
    input_scale: float = 1.0,
) -> nn.Module:
    """AlexNet for images of 8 to 64 pixels: conv1 is 5×5 of ``stem_stride``, filters are ``width``/32 of AlexNet's.

    ``normalise``: "lrn" as in ``alexnet``, "bn" as in ``alexnet_bn``, "none" without either (biases of "lrn").
    Weights are N(0, σ²) with the authors' σ times √(inputs of a unit in AlexNet / inputs here), so that every layer
    scales its input as in the full net. Raises ValueError for values out of range.
    """
    for name, value in (("width", width), ("hidden", hidden), ("stem_stride", stem_stride)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    if width % 2:
        raise ValueError(f"width={width} must be even: conv2, conv4 and conv5 have two groups")
    places: dict[str, Place] = {"lrn": _lrn, "bn": _bn(norm), "none": lambda name, channels: ([], [])}
    if normalise not in places:
        raise ValueError(f"normalise={normalise!r} is unknown; there are: {', '.join(places)}")
    filters = {name: count * width // 32 for name, count in FILTERS.items()}
    biases = BIAS_BN if normalise == "bn" else BIAS_LRN
    stem = (5, stem_stride, 2)
    return _net(num_classes, input_shape, filters, hidden, stem, dropout, input_scale, places[normalise], biases)


def _lrn(name: str, channels: int) -> tuple[list[nn.Module], list[nn.Module]]:
    return ([LocalResponseNorm(channels)] if name in ("conv1", "conv2") else []), []


def _bn(norm: Norm) -> Place:
    return lambda name, channels: ([], [_without_affine(norm(channels))] if name != "conv5" else [])


def _without_affine(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """γ = 1 and β = 0 for good: buffers that no optimizer sees (Caffe's ``scale_bias: false``)."""
    for name in ("weight", "bias"):
        value = getattr(norm, name).detach()
        delattr(norm, name)
        norm.register_buffer(name, value, persistent=False)
    norm.affine = False
    return norm


def _net(
    num_classes: int,
    input_shape: Shape,
    filters: dict[str, int],
    hidden: int,
    stem: tuple[int, int, int],
    dropout: float,
    input_scale: float,
    place: Place,
    biases: dict[str, float],
) -> nn.Module:
    """``stem``: kernel, stride and padding of conv1; the others keep the size of their maps."""
    layers: dict[str, nn.Module] = {"scale": Scale(input_scale)} if input_scale != 1 else {}
    channels, *sides = input_shape
    for (name, count), kernel in zip(filters.items(), (stem[0], 5, 3, 3, 3), strict=True):
        stride, padding = stem[1:] if name == "conv1" else (1, kernel // 2)
        layers[name] = nn.Conv2d(channels, count, kernel, stride, padding, groups=GROUPS.get(name, 1))
        sides = [(side + 2 * padding - kernel) // stride + 1 for side in sides]
        before, after = place(name, count)
        pool = [nn.MaxPool2d(3, 2, ceil_mode=True)] if name in POOLED else []
        sides = [(side - 2) // 2 + 1 if pool else side for side in sides]
        follow = [nn.ReLU(inplace=True), *before, *pool, *after]
        layers |= {f"{_kind(module)}{name[-1]}": module for module in follow}
        channels = count
    if min(sides) < 1:
        raise ValueError(f"images of shape {tuple(input_shape)} are too small: a pool leaves nothing of them")
    layers["flatten"] = nn.Flatten()
    inputs = channels * sides[0] * sides[1]
    for i in (6, 7):
        layers |= {
            f"fc{i}": nn.Linear(inputs, hidden),
            f"relu{i}": nn.ReLU(inplace=True),
            f"drop{i}": nn.Dropout(dropout),
        }
        inputs = hidden
    layers["fc8"] = nn.Linear(inputs, num_classes)
    net = nn.Sequential(OrderedDict(layers))
    for name, layer in net.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=STD[name] * (FAN_IN[name] / layer.weight[0].numel()) ** 0.5)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, biases.get(name, 0.0))
    return net


def _kind(module: nn.Module) -> str:
    return "relu" if isinstance(module, nn.ReLU) else "pool" if isinstance(module, nn.MaxPool2d) else "norm"
