"""Wide residual nets for small images (Zagoruyko and Komodakis 2016): pre-activation, widened k times."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.cifar import Norm, Shape
from shared.models.init import init_weights


class WideBlock(nn.Module):
    """conv2(relu(bn2(conv1(a)))) + shortcut with a = relu(bn1(x)); both convolutions 3x3.

    The shortcut is x where the shape stays, else a 1x1 convolution of a.
    """

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.bn1 = norm(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn2 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == width
        self.shortcut = None if same else nn.Conv2d(inputs, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.bn1(x), inplace=True)
        out = self.conv2(F.relu(self.bn2(self.conv1(a)), inplace=True))
        return out + (x if self.shortcut is None else self.shortcut(a))


class WideResNet(nn.Module):
    """3x3 stem, three groups of (depth − 4)/6 blocks (widths kw, 2kw, 4kw), batch norm, global average pool, FC.

    Takes [b, C, H, W] with any C and H, W of at least 8; gives logits [b, num_classes].
    """

    def __init__(
        self, num_classes: int, channels: int, norm: Norm, depth: int, k: int, width: int, stem_stride: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stem_stride, 1, bias=False)
        blocks: list[nn.Module] = []
        inputs = width
        for group, out in enumerate((k * width, 2 * k * width, 4 * k * width)):
            for block in range((depth - 4) // 6):
                blocks.append(WideBlock(inputs, out, 2 if group and not block else 1, norm))
                inputs = out
        self.blocks = nn.Sequential(*blocks)
        self.bn = norm(inputs)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.conv(x))
        return self.fc(F.relu(self.bn(x), inplace=True).mean((2, 3)))


def wide_resnet(
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    depth: int = 16,
    k: int = 4,
    width: int = 16,
    stem_stride: int = 1,
) -> nn.Module:
    """WRN-depth-k without dropout; ``width`` 16 and ``stem_stride`` 1 are the paper's, others make it cheaper.

    Raises ValueError for a depth that is not 6n + 4 and for sizes below 1.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth={depth}: wide residual nets have depth 6n+4 (10, 16, 22, 28, 40)")
    for name, value in (("k", k), ("width", width), ("stem_stride", stem_stride)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    net = WideResNet(num_classes, input_shape[0], norm, depth, k, width, stem_stride)
    return init_weights(net, net.fc)
