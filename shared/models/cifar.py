"""Small nets for small images: the residual nets of He et al. 2016 for CIFAR, a smaller one, and plain MLPs."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.init import glorot_uniform, init_weights, small_normal

Norm = Callable[[int], nn.BatchNorm2d]
Shape = tuple[int, int, int]


class PadShortcut(nn.Module):
    """Option A of He et al. 2016: subsample, then pad new channels with zeros; no parameters."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, extra

    def forward(self, x: Tensor) -> Tensor:
        before = self.extra // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))


class BasicBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), both convolutions 3x3."""

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = norm(width)
        self.shortcut: nn.Module = nn.Identity()
        if shortcut == "A" and (stride > 1 or inputs != width):
            self.shortcut = PadShortcut(stride, width - inputs)
        elif stride > 1 or inputs != width:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), norm(width))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)).add_(self.shortcut(x)), inplace=True)


class SmallResNet(nn.Module):
    """3x3 stem, three stages of ``blocks`` basic blocks (widths w, 2w, 4w), global average pool, FC.

    Takes [b, C, H, W] with any C and H, W of at least 8; gives logits [b, num_classes].
    """

    def __init__(
        self, num_classes: int, channels: int, norm: Norm, blocks: int, width: int, stem_stride: int, shortcut: str
    ) -> None:
        super().__init__()
        if shortcut not in ("A", "B"):
            raise ValueError(f"shortcut={shortcut!r}: use 'A' (zero padding) or 'B' (projection)")
        for name, value in (("width", width), ("blocks", blocks), ("stem_stride", stem_stride)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.conv = nn.Conv2d(channels, width, 3, stem_stride, 1, bias=False)
        self.bn = norm(width)
        stages, inputs = [], width
        for stage, out in enumerate((width, 2 * width, 4 * width)):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                stages.append(BasicBlock(inputs, out, stride, norm, shortcut))
                inputs = out
        self.blocks = nn.Sequential(*stages)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.conv(x)), inplace=True))
        return self.fc(x.mean((2, 3)))


def last_norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    """The last BN of every basic block, where zero-γ applies."""
    return [m.bn2 for m in net.modules() if isinstance(m, BasicBlock)]


def resnet_cifar(
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    depth: int = 20,
    width: int = 16,
    shortcut: str = "A",
    zero_gamma: bool = True,
) -> nn.Module:
    """He et al. 2016, section 4.2: depth 6n+2 (20, 44, 56 …), stride-1 stem; ``width`` 16 is the paper's.

    Raises ValueError for another depth or an unknown shortcut.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth={depth}: CIFAR ResNets have depth 6n+2 (20, 32, 44, 56, 110)")
    net = SmallResNet(num_classes, input_shape[0], norm, (depth - 2) // 6, width, 1, shortcut)
    return init_weights(net, net.fc, last_norms(net) if zero_gamma else ())


def resnet_small(
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    width: int = 16,
    blocks: int = 1,
    stem_stride: int = 2,
    shortcut: str = "B",
    zero_gamma: bool = True,
) -> nn.Module:
    """The cheapest net that keeps what the papers vary: BN, residual blocks with projections, a strided stem."""
    net = SmallResNet(num_classes, input_shape[0], norm, blocks, width, stem_stride, shortcut)
    return init_weights(net, net.fc, last_norms(net) if zero_gamma else ())


def mlp(
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    hidden: str = "800",
    batch_norm: bool = False,
    init: str = "he",
) -> nn.Module:
    """Fully connected relu net; ``hidden`` lists the widths: ``"800"`` or ``"512,512"``. ValueError if it does not.

    ``init``: "he" (and N(0, 0.01²) in the classifier), "glorot" (uniform) or "normal" (all N(0, 0.01²)); biases 0.
    """
    if init not in MLP_INITS:
        raise ValueError(f"init={init!r}: there are {', '.join(MLP_INITS)}")
    try:
        widths = [int(w) for w in hidden.split(",")]
        if min(widths) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"hidden={hidden!r}: write the layer widths as '800' or '512,512'") from None
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = input_shape[0] * input_shape[1] * input_shape[2]
    for width in widths:
        layers += [nn.Linear(inputs, width, bias=not batch_norm)]
        layers += [norm(width), nn.ReLU(inplace=True)] if batch_norm else [nn.ReLU(inplace=True)]
        inputs = width
    classifier = nn.Linear(inputs, num_classes)
    return MLP_INITS[init](nn.Sequential(*layers, classifier), classifier)


MLP_INITS: dict[str, Callable[[nn.Module, nn.Linear], nn.Module]] = {
    "he": init_weights,
    "glorot": lambda net, classifier: glorot_uniform(net),
    "normal": lambda net, classifier: small_normal(net),
}


def linear(num_classes: int, input_shape: Shape) -> nn.Module:
    """Softmax regression on the flattened image."""
    classifier = nn.Linear(input_shape[0] * input_shape[1] * input_shape[2], num_classes)
    return init_weights(nn.Sequential(nn.Flatten(), classifier), classifier)
