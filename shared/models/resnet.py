"""ResNet-50 and ResNet-101 for ImageNet, in the variant of Goyal et al. 2017, section 5.1."""

from __future__ import annotations

from torch import nn

from shared.models.cifar import Norm, Shape
from shared.models.init import init_weights


def _build(
    layers: list[int],
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    zero_gamma: bool,
    stride_in_1x1: bool,
    msra: bool = False,
) -> nn.Module:
    from torchvision.models.resnet import Bottleneck, ResNet  # a second's import that other nets need not pay

    net = ResNet(Bottleneck, layers, num_classes=num_classes, norm_layer=norm)
    if input_shape[0] != 3:
        net.conv1 = nn.Conv2d(input_shape[0], 64, 7, 2, 3, bias=False)
    blocks = [m for m in net.modules() if isinstance(m, Bottleneck)]
    if stride_in_1x1:
        for block in blocks:
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    init_weights(net, net.fc, [b.bn3 for b in blocks] if zero_gamma else ())
    for module in net.modules() if msra else ():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    return net


def resnet_50(
    num_classes: int,
    input_shape: Shape,
    norm: Norm,
    zero_gamma: bool = True,
    stride_in_1x1: bool = False,
    msra: bool = False,
) -> nn.Module:
    """ResNet-50 with the stride on the 3x3 convolution and projection shortcuts where the shape changes.

    ``zero_gamma``: γ = 0 in the last BN of each block. ``stride_in_1x1``: the stride of He et al. 2016 instead.
    ``msra``: He normal over fan-in for every weight, the classifier's too (Caffe's filler of that name).
    """
    return _build([3, 4, 6, 3], num_classes, input_shape, norm, zero_gamma, stride_in_1x1, msra)


def resnet_101(
    num_classes: int, input_shape: Shape, norm: Norm, zero_gamma: bool = True, stride_in_1x1: bool = False
) -> nn.Module:
    """ResNet-101; arguments as for ``resnet_50``."""
    return _build([3, 4, 23, 3], num_classes, input_shape, norm, zero_gamma, stride_in_1x1)
