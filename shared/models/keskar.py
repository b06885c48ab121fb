"""The nets of Keskar et al. 2017 (Appendix B): batch norm after every hidden layer, biases everywhere, Keras 1's start.

The order is affine → batch norm → relu (→ dropout) (→ pool); sizes follow Keras' "same" padding, ⌈n / stride⌉.
``variant="code"`` is what the authors released (github.com/keskarnitish/large-batch-training, network_zoo.py),
``"text"`` what the appendix says. F1, F2: ``mlp-bn``; C1, C3: ``shallownet``; C2, C4: ``deepnet``.
"""

from __future__ import annotations

from torch import nn

from shared.models.cifar import Norm, Shape
from shared.models.init import glorot_uniform

STACKS = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""``(filters in units of the width, convolutions)`` of each stack of ``deepnet``."""


def mlp_bn(num_classes: int, input_shape: Shape, norm: Norm, layers: int = 5, width: int = 512) -> nn.Module:
    """F1 (Appendix B.1), or F2 (B.2) with ``layers=7``: ``layers`` × [``width``, BN, relu] → classes.

    Raises ValueError for ``layers`` or ``width`` below 1.
    """
    _positive(layers=layers, width=width)
    inputs = input_shape[0] * input_shape[1] * input_shape[2]
    return glorot_uniform(nn.Sequential(nn.Flatten(), *_dense(inputs, [width] * layers, num_classes, norm, 0.0)))


def shallownet(
    num_classes: int, input_shape: Shape, norm: Norm, variant: str = "code", width: int = 64, dropout: float = 0.5
) -> nn.Module:
    """C1 and C3 (Appendix B.3): two [``width`` 5×5, BN, relu, max pool] → 384 → 192 → classes.

    "code": convolutions of stride 1, pools 3×3 of stride 2. "text": convolutions of stride 2, pools 3×3 of stride 3
    (the text gives no stride; Keras' default is the pool's size).
    ``dropout`` is the share dropped after the two dense layers. Raises ValueError for values out of range.
    """
    code = _is_code(variant)
    _positive(width=width)
    layers: list[nn.Module] = []
    for inputs in (input_shape[0], width):
        layers += _hidden(nn.Conv2d(inputs, width, 5, 1 if code else 2, padding=2), norm(width))
        layers += [nn.MaxPool2d(3, 2, padding=1) if code else nn.MaxPool2d(3, ceil_mode=True)]
    shrink = 4 if code else 36
    flat = width * -(-input_shape[1] // shrink) * -(-input_shape[2] // shrink)
    return glorot_uniform(nn.Sequential(*layers, nn.Flatten(), *_dense(flat, [384, 192], num_classes, norm, dropout)))


def deepnet(
    num_classes: int, input_shape: Shape, norm: Norm, variant: str = "code", width: int = 64, dropout: float = 0.5
) -> nn.Module:
    """C2 and C4 (Appendix B.4): stacks of 2, 2, 3, 3, 3 convolutions 3×3, each then pooled 2×2, → 512 → classes.

    The stacks have 1, 2, 4, 8, 8 times ``width`` filters. "code" also drops 0.3 (first stack) or 0.4 after every
    convolution that no pool follows, and ``dropout`` before the dense layer; "text" has ``dropout`` after the dense
    layer only. Raises ValueError for values out of range.
    """
    code = _is_code(variant)
    _positive(width=width)
    layers: list[nn.Module] = []
    inputs = input_shape[0]
    for stack, (times, convolutions) in enumerate(STACKS):
        for left in reversed(range(convolutions)):
            share = (0.4 if stack else 0.3) if code and left else 0.0
            layers += _hidden(nn.Conv2d(inputs, times * width, 3, padding=1), norm(times * width), share)
            inputs = times * width
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    layers += [nn.Flatten(), nn.Dropout(dropout)] if code and dropout else [nn.Flatten()]
    flat = inputs * -(-input_shape[1] // 32) * -(-input_shape[2] // 32)
    return glorot_uniform(nn.Sequential(*layers, *_dense(flat, [512], num_classes, norm, dropout)))


def _hidden(affine: nn.Module, norm: nn.Module, dropped: float = 0.0) -> list[nn.Module]:
    return [affine, norm, nn.ReLU(inplace=True), *([nn.Dropout(dropped)] if dropped else [])]


def _dense(inputs: int, widths: list[int], num_classes: int, norm: Norm, dropped: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += _hidden(nn.Linear(inputs, width), norm(width), dropped)
        inputs = width
    return [*layers, nn.Linear(inputs, num_classes)]


def _is_code(variant: str) -> bool:
    if variant not in ("code", "text"):
        raise ValueError(f"variant={variant!r}: use 'code' (as released) or 'text' (as in the appendix)")
    return variant == "code"


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
