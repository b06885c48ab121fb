"""The nets of Hoffer et al. as released: their size, their maps, and the weights that their libraries gave them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shared.models import GhostBatchNorm, build
from shared.spec import ModelSpec, SpecError

MNIST, CIFAR, IMAGENET = (1, 28, 28), (3, 32, 32), (3, 224, 224)


def net(name: str, classes: int = 10, shape=CIFAR, bn_batch=None, **args) -> nn.Module:
    torch.manual_seed(0)
    return build(ModelSpec(name=name, args=args), classes, shape, bn_batch)


@pytest.mark.parametrize(
    ("name", "args", "classes", "shape", "parameters"),
    [
        ("hoffer-f1", {}, 10, MNIST, 1_462_794),
        ("hoffer-shallow", {}, 10, CIFAR, 1_388_490),
        ("hoffer-shallow", {}, 100, CIFAR, 1_388_490 + 90 * 193),
        ("hoffer-resnet", {}, 10, CIFAR, 661_338),  # He's ResNet44, 658,586 weights, and two projections with BN
        ("hoffer-resnet", {"blocks": 2, "width": 64}, 100, CIFAR, 2_800_804),
        ("hoffer-alexnet", {}, 1000, IMAGENET, 61_110_184),
    ],
)  # fmt: skip
def test_the_nets_have_the_size_of_the_released_ones(name, args, classes, shape, parameters):
    with torch.device("meta"):
        made = net(name, classes, shape, **args)
        assert made.eval()(torch.empty(2, *shape)).shape == (2, classes)
    assert sum(p.numel() for p in made.parameters()) == parameters


def test_pools_come_before_batch_norm_and_have_no_padding():
    made, seen = net("hoffer-shallow", width=4), []
    for norm in (m for m in made if isinstance(m, GhostBatchNorm)):
        norm.register_forward_hook(lambda m, inputs, out: seen.append(tuple(out.shape[2:])))
    made(torch.randn(2, *CIFAR))
    assert seen == [(15, 15), (7, 7), (), ()]


def test_weights_start_as_in_the_pytorch_of_2017():
    made = net("hoffer-f1", shape=MNIST)
    first, norm = made[1], made[2]
    for values in (first.weight, first.bias):  # U(±1/√784)
        assert values.abs().max() < 1 / 28
        assert values.std().item() == pytest.approx(1 / 28 / 3**0.5, rel=0.1)
    assert 0 <= norm.weight.min() < 0.05 < 0.95 < norm.weight.max() <= 1
    assert (net("hoffer-f1", shape=MNIST, gamma="one")[2].weight == 1).all()
    with pytest.raises(SpecError, match=r"gamma='zero'.*uniform"):
        net("hoffer-f1", shape=MNIST, gamma="zero")


def test_residual_nets_have_projections_and_unit_gamma():
    made = net("hoffer-resnet")
    convolutions = [m for m in made.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 1 + 6 * 7 + 2
    for conv in convolutions:
        fan = conv.kernel_size[0] ** 2 * conv.out_channels
        assert conv.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.2)
    assert all((m.weight == 1).all() for m in made.modules() if isinstance(m, GhostBatchNorm))


def test_an_image_too_small_for_the_pools_is_refused():
    with pytest.raises(SpecError, match="too small"):
        net("hoffer-alexnet", shape=(3, 40, 40))
