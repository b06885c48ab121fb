"""AlexNet against the authors' files: layers, sizes, fillers; its LRN against PyTorch's; its small counterparts."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shared.models import GhostBatchNorm, build
from shared.models.alexnet import LocalResponseNorm
from shared.spec import ModelSpec, SpecError

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
SIGMA = dict.fromkeys(LAYERS, 0.01) | {"fc6": 0.005, "fc7": 0.005}
INPUTS = {"conv1": 3 * 121, "conv2": 48 * 25, "conv3": 256 * 9, "conv4": 192 * 9, "conv5": 192 * 9,
          "fc6": 256 * 36, "fc7": 4096, "fc8": 4096}  # fmt: skip
BIASES = {
    "lrn": (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
    "none": (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
    "bn": (0.01, 0.01, 0.01, 0.01, 0.01, 0.1, 0.1, 0.01),
}


def net(name: str, classes: int = 10, shape=(3, 32, 32), bn_batch=None, **args) -> nn.Module:
    torch.manual_seed(0)
    return build(ModelSpec(name=name, args=args), classes, shape, bn_batch)


def small(normalise: str, **args) -> nn.Module:
    return net("alexnet-small", normalise=normalise, **args)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "size", "alpha"), [(96, 5, 1e-4), (3, 5, 1e-4), (7, 3, 0.1), (4, 1, 1.0)])
def test_lrn_is_pytorchs(channels, size, alpha, memory_format):
    torch.manual_seed(0)
    ours, theirs = LocalResponseNorm(channels, size, alpha), nn.LocalResponseNorm(size, alpha)
    x, grad = (60 * torch.randn(2, channels, 5, 6)).to(memory_format=memory_format), torch.randn(2, channels, 5, 6)
    found = []
    for norm in (ours, theirs):
        leaf = x.clone().requires_grad_()
        out = norm(leaf)
        out.backward(grad)
        found.append((out.detach(), leaf.grad))
    for mine, other in zip(*found, strict=True):
        assert (mine - other).abs().max() <= 1e-6 * other.abs().max()


def test_lrn_needs_a_middle():
    with pytest.raises(ValueError, match="size=4 must be odd"):
        LocalResponseNorm(8, 4)


LRN = "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4 relu4"
BN = "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 norm3 conv4 relu4 norm4"
END = "conv5 relu5 pool5 flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8"
ORDER = {"alexnet": f"{LRN} {END}", "alexnet-bn": f"{BN} {END}"}


@pytest.mark.parametrize("name", ORDER)
@pytest.mark.parametrize("side", [224, 227])
def test_the_nets_have_the_authors_layers_and_size(name, side):
    with torch.device("meta"):
        made = net(name, 1000, (3, side, side), bn_batch=32)
        assert made(torch.empty(32, 3, side, side)).shape == (32, 1000)
    assert sum(p.numel() for p in made.parameters()) == 60_965_224
    assert " ".join(n for n, _ in made.named_children()) == ORDER[name]
    assert {n: m.groups for n, m in made.named_children() if isinstance(m, nn.Conv2d)} == {
        "conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2,
    }  # fmt: skip
    assert [m.p for m in made if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert {type(m) for n, m in made.named_children() if n.startswith("norm")} == {
        LocalResponseNorm if name == "alexnet" else GhostBatchNorm
    }


@pytest.mark.parametrize(("name", "biases"), [("alexnet", "lrn"), ("alexnet-bn", "bn")])
def test_full_nets_start_as_the_authors_fill_them(name, biases):
    made = net(name, 1000, (3, 67, 67))  # the smallest images, so that fc6 has few inputs
    for (layer, sigma), bias in zip(SIGMA.items(), BIASES[biases], strict=True):
        module = made.get_submodule(layer)
        if layer != "fc6":
            assert module.weight[0].numel() == INPUTS[layer]
            assert module.weight.std().item() == pytest.approx(sigma, rel=0.02)
        assert torch.equal(module.bias, torch.full_like(module.bias, bias))


@pytest.mark.parametrize("normalise", ["lrn", "bn", "none"])
@pytest.mark.parametrize("args", [{}, {"width": 4, "hidden": 64, "stem_stride": 2}], ids=["default", "narrow"])
def test_small_nets_scale_their_inputs_as_the_full_ones(normalise, args):
    made = small(normalise, **args)
    for (layer, sigma), bias in zip(SIGMA.items(), BIASES[normalise], strict=True):
        weight = made.get_submodule(layer).weight
        gain = weight.std().item() * weight[0].numel() ** 0.5
        assert gain == pytest.approx(sigma * INPUTS[layer] ** 0.5, rel=0.12 if layer in ("conv1", "fc8") else 0.06)
        assert (made.get_submodule(layer).bias == bias).all()
    kinds = {"lrn": [LocalResponseNorm] * 2, "bn": [GhostBatchNorm] * 4, "none": []}
    assert [type(m) for n, m in made.named_children() if n.startswith("norm")] == kinds[normalise]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("normalise", ["lrn", "bn", "none"])
def test_small_nets_take_their_shapes_and_start_at_chance(normalise, shape):
    made = net("alexnet-small", 7, shape, bn_batch=4, normalise=normalise, width=4)
    with torch.no_grad():
        loss = F.cross_entropy(made(torch.randn(8, *shape)), torch.arange(8) % 7)
    assert loss.item() == pytest.approx(torch.tensor(7.0).log().item(), abs=0.1)


def test_batch_norm_has_no_gamma_and_beta_to_train_or_save():
    made = small("bn", width=4, bn_batch=4, dropout=0.0)
    names = {n for n, _ in made.named_parameters()}
    assert not [n for n in names if n.startswith("norm")]
    assert {n for n in made.state_dict() if n.startswith("norm1")} == {
        "norm1.running_mean", "norm1.running_var", "norm1.num_batches_tracked",
    }  # fmt: skip
    x = torch.randn(8, 12, 5, 5)
    plain = torch.cat([F.batch_norm(half, None, None, training=True) for half in x.split(4)])
    torch.testing.assert_close(copy.deepcopy(made.norm1)(x), plain)
    F.cross_entropy(made(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()
    assert all(p.grad is not None for p in made.parameters())
    fresh = small("bn", width=4, bn_batch=4, dropout=0.0)
    fresh.load_state_dict(made.state_dict())
    x = torch.randn(4, 3, 32, 32)
    assert torch.equal(fresh.eval()(x), made.eval()(x))


def test_input_scale_multiplies_the_pixels():
    x = torch.randn(2, 3, 32, 32)
    plain, scaled = small("lrn", dropout=0.0), small("lrn", dropout=0.0, input_scale=64.0)
    assert torch.equal(scaled(x), plain(64 * x))


def test_resnet_50_of_the_paper():
    """He et al.'s first version: stride on the 1×1; Caffe's msra filler for every weight, the classifier's too."""
    args = {"stride_in_1x1": True, "zero_gamma": False, "msra": True}
    made = net("resnet-50", 1000, (3, 64, 64), bn_batch=4, **args)
    assert (made.layer2[0].conv1.stride, made.layer2[0].conv2.stride) == ((2, 2), (1, 1))
    for module in (made.conv1, made.layer4[2].conv1, made.layer4[0].conv3, made.fc):
        inputs = module.weight[0].numel()
        assert module.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.03)
    assert not made.fc.bias.any()
    assert all(m.weight.eq(1).all() for m in made.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"normalise": "ln"}, "normalise='ln' is unknown; there are: lrn, bn, none"),
        ({"width": 7}, "width=7 must be even"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"dropout": 1.5}, "dropout"),
    ],
)
def test_bad_specs_are_refused_by_name(args, says):
    with pytest.raises(SpecError, match=says):
        net("alexnet-small", **args)


@pytest.mark.parametrize(("name", "args", "side"), [("alexnet", {}, 32), ("alexnet-small", {"stem_stride": 2}, 8)])
def test_images_that_pools_use_up_are_refused(name, args, side):
    with pytest.raises(SpecError, match=rf"\(3, {side}, {side}\) are too small: a pool leaves nothing"):
        net(name, 10, (3, side, side), **args)
