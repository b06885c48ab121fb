"""Inception-ResNet-v2 for ImageNet (Szegedy et al. 2016, arXiv:1602.07261), as in the authors' TF-Slim code.

Like that code and unlike the paper's figures it has the stem of Inception-v3, blocks scaled by 0.17, 0.10 and 0.20,
and batch norm without γ after every convolution but the last of a block. There is no auxiliary head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.cifar import Norm, Shape
from shared.models.init import init_weights

BN_EPS, DROPOUT = 1e-3, 0.2
Size = int | tuple[int, int]


class Conv(nn.Sequential):
    """Convolution without bias, batch norm with γ held at 1, relu. ``same``: padded so that stride 1 keeps sizes."""

    def __init__(self, inputs: int, width: int, size: Size, norm: Norm, stride: int = 1, same: bool = True) -> None:
        height, across = (size, size) if isinstance(size, int) else size
        padding = (height // 2, across // 2) if same else 0
        bn = norm(width)
        bn.eps = BN_EPS
        del bn.weight  # constant, hence no parameter that decays or is counted
        bn.register_buffer("weight", torch.ones(width))
        super().__init__(
            nn.Conv2d(inputs, width, (height, across), stride, padding, bias=False), bn, nn.ReLU(inplace=True)
        )


class Branches(nn.ModuleList):
    """The same input through each branch, joined along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


class Residual(nn.Module):
    """relu(x + scale · conv1x1(branches(x))), the relu left out in the last block of the net."""

    def __init__(self, width: int, scale: float, branches: Branches, joined: int, relu: bool = True) -> None:
        super().__init__()
        self.branches, self.scale, self.relu = branches, scale, relu
        self.conv = nn.Conv2d(joined, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.add(x, self.conv(self.branches(x)), alpha=self.scale)
        return F.relu(out, inplace=True) if self.relu else out


def _block35(norm: Norm) -> Residual:
    one, three = Conv(320, 32, 1, norm), nn.Sequential(Conv(320, 32, 1, norm), Conv(32, 32, 3, norm))
    double = nn.Sequential(Conv(320, 32, 1, norm), Conv(32, 48, 3, norm), Conv(48, 64, 3, norm))
    return Residual(320, 0.17, Branches([one, three, double]), 128)


def _block17(norm: Norm) -> Residual:
    long = nn.Sequential(Conv(1088, 128, 1, norm), Conv(128, 160, (1, 7), norm), Conv(160, 192, (7, 1), norm))
    return Residual(1088, 0.10, Branches([Conv(1088, 192, 1, norm), long]), 384)


def _block8(norm: Norm, scale: float = 0.20, relu: bool = True) -> Residual:
    long = nn.Sequential(Conv(2080, 192, 1, norm), Conv(192, 224, (1, 3), norm), Conv(224, 256, (3, 1), norm))
    return Residual(2080, scale, Branches([Conv(2080, 192, 1, norm), long]), 448, relu)


def _stem(channels: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        Conv(channels, 32, 3, norm, stride=2, same=False),
        Conv(32, 32, 3, norm, same=False),
        Conv(32, 64, 3, norm),
        nn.MaxPool2d(3, 2),
        Conv(64, 80, 1, norm, same=False),
        Conv(80, 192, 3, norm, same=False),
        nn.MaxPool2d(3, 2),
    )


def _mixed(norm: Norm) -> Branches:
    """35x35x192 → 35x35x320."""
    five = nn.Sequential(Conv(192, 48, 1, norm), Conv(48, 64, 5, norm))
    double = nn.Sequential(Conv(192, 64, 1, norm), Conv(64, 96, 3, norm), Conv(96, 96, 3, norm))
    pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), Conv(192, 64, 1, norm))
    return Branches([Conv(192, 96, 1, norm), five, double, pooled])


def _to17(norm: Norm) -> Branches:
    """35x35x320 → 17x17x1088."""
    double = nn.Sequential(Conv(320, 256, 1, norm), Conv(256, 256, 3, norm), Conv(256, 384, 3, norm, 2, False))
    return Branches([Conv(320, 384, 3, norm, 2, False), double, nn.MaxPool2d(3, 2)])


def _to8(norm: Norm) -> Branches:
    """17x17x1088 → 8x8x2080."""
    one = nn.Sequential(Conv(1088, 256, 1, norm), Conv(256, 384, 3, norm, 2, False))
    two = nn.Sequential(Conv(1088, 256, 1, norm), Conv(256, 288, 3, norm, 2, False))
    double = nn.Sequential(Conv(1088, 256, 1, norm), Conv(256, 288, 3, norm), Conv(288, 320, 3, norm, 2, False))
    return Branches([one, two, double, nn.MaxPool2d(3, 2)])


class InceptionResNet(nn.Module):
    """Takes [b, C, H, W] with H and W of at least 75 (299 and 224 are usual); gives logits [b, num_classes]."""

    def __init__(self, num_classes: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _stem(channels, norm),
            _mixed(norm),
            *(_block35(norm) for _ in range(10)),
            _to17(norm),
            *(_block17(norm) for _ in range(20)),
            _to8(norm),
            *(_block8(norm) for _ in range(9)),
            _block8(norm, scale=1.0, relu=False),
            Conv(2080, 1536, 1, norm),
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.fc = nn.Linear(1536, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.dropout(self.features(x).mean((2, 3))))


def inception_resnet_v2(num_classes: int, input_shape: Shape, norm: Norm) -> nn.Module:
    """Inception-ResNet-v2; dropout keeps 0.8 before the classifier, as published."""
    net = InceptionResNet(num_classes, input_shape[0], norm)
    return init_weights(net, net.fc)
