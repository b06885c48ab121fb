"""The nets of Hoffer et al. 2017 as released (github.com/eladhoffer/bigBatch, models/), with the weights of their time.

Linear layers and convolutions start as PyTorch's default has it, except the residual nets' convolutions. Batch norm's γ
is U(0, 1) where the authors leave it alone: PyTorch's default up to 1.1. ``gamma="one"`` is today's.
"""

from __future__ import annotations

from torch import nn

from shared.models.cifar import Norm, Shape, SmallResNet

ALEXNET = ((64, 11, 4, True), (192, 5, 1, True), (384, 3, 1, False), (256, 3, 1, False), (256, 3, 1, True))
"""``(filters, kernel, stride, whether a pool 3×3 of stride 2 follows)`` of the convolutions."""


def hoffer_f1(
    num_classes: int, input_shape: Shape, norm: Norm, layers: int = 5, width: int = 512, gamma: str = "uniform"
) -> nn.Module:
    """F1: ``layers`` × [``width``, BN, relu] → classes, biases everywhere; 1,462,794 weights for MNIST."""
    inputs = input_shape[0] * input_shape[1] * input_shape[2]
    hidden: list[nn.Module] = []
    for _ in range(layers):
        hidden += [nn.Linear(inputs, width), norm(width), nn.ReLU(inplace=True)]
        inputs = width
    return _gamma(nn.Sequential(nn.Flatten(), *hidden, nn.Linear(inputs, num_classes)), gamma)


def hoffer_shallow(
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    width: int = 64,
    dropout: float = 0.5,
    gamma: str = "uniform",
) -> nn.Module:
    """C1 and C3: two [``width`` 5×5, max pool 3×3 of stride 2, BN, relu] → 384 → 192 → classes; 1,388,490 weights.

    Unlike in Keskar et al. 2017 the pool comes first and has no padding (32 → 15 → 7), and hidden layers no biases.
    """
    layers: list[nn.Module] = []
    for inputs in (input_shape[0], width):
        conv = nn.Conv2d(inputs, width, 5, padding=2, bias=False)
        layers += [conv, nn.MaxPool2d(3, 2), norm(width), nn.ReLU(inplace=True)]
    sides = [((side - 3) // 2 - 2) // 2 + 1 for side in input_shape[1:]]
    dense = _dense(width * sides[0] * sides[1], (384, 192), num_classes, norm, dropout)
    return _gamma(nn.Sequential(*layers, nn.Flatten(), *dense), gamma)


def hoffer_resnet(
    num_classes: int, input_shape: Shape, norm: Norm, blocks: int = 7, width: int = 16, stem_stride: int = 1
) -> nn.Module:
    """ResNet44, or with ``blocks=2, width=64`` the net called WRN16-4: projections where the shape changes, γ = 1.

    Three stages of ``blocks`` basic blocks, ``width``, twice and four times as wide; activation after the sum (the
    wide nets of Zagoruyko and Komodakis 2016 have it before). Convolutions N(0, 2/(k²·outputs)).
    """
    net = SmallResNet(num_classes, input_shape[0], norm, blocks, width, stem_stride, "B")
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


def hoffer_alexnet(
    num_classes: int, input_shape: Shape, norm: Norm, dropout: float = 0.5, gamma: str = "uniform"
) -> nn.Module:
    """AlexNet in the form of Krizhevsky 2014 with batch norm, for images of 224 pixels; from the author's convNet."""
    features: list[nn.Module] = []
    inputs, sides = input_shape[0], list(input_shape[1:])
    for count, kernel, stride, pooled in ALEXNET:
        conv = nn.Conv2d(inputs, count, kernel, stride, padding=2 if kernel > 3 else 1, bias=False)
        pool = [nn.MaxPool2d(3, 2)] if pooled else []
        # conv1 alone has its BN before the relu
        rest = [norm(count), nn.ReLU(inplace=True)] if stride > 1 else [nn.ReLU(inplace=True), norm(count)]
        features += [conv, *pool, *rest]
        sides = [(side + 4 - kernel) // stride + 1 if kernel > 3 else side for side in sides]
        sides = [(side - 3) // 2 + 1 for side in sides] if pooled else sides
        inputs = count
    if min(sides) < 1:
        raise ValueError(f"images of shape {tuple(input_shape)} are too small: a pool leaves nothing of them")
    dense = _dense(inputs * sides[0] * sides[1], (4096, 4096), num_classes, norm, dropout)
    return _gamma(nn.Sequential(*features, nn.Flatten(), *dense), gamma)


def _dense(inputs: int, widths: tuple[int, ...], num_classes: int, norm: Norm, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width, bias=False), norm(width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        inputs = width
    return [*layers, nn.Linear(inputs, num_classes)]


def _gamma(net: nn.Module, gamma: str) -> nn.Module:
    if gamma not in ("uniform", "one"):
        raise ValueError(f"gamma={gamma!r}: use 'uniform' (PyTorch's default until 1.1) or 'one'")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            if gamma == "uniform":
                nn.init.uniform_(module.weight)
            else:
                nn.init.ones_(module.weight)
    return net
