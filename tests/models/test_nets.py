"""The registered nets: sizes, initial weights, zero-γ, and how bad specs are refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shared.models import MODELS, GhostBatchNorm, build, indivisible
from shared.models.cifar import BasicBlock, PadShortcut
from shared.spec import DataSpec, ModelSpec, RunSpec, SpecError


def small(shape=(3, 16, 16), **args) -> nn.Module:
    torch.manual_seed(0)
    return build(ModelSpec(name="resnet-small", args=args), 10, shape, bn_batch=4).double()


@pytest.mark.parametrize(("name", "parameters"), [("resnet-50", 25_557_032), ("resnet-101", 44_549_160)])
def test_imagenet_nets_have_the_published_size(name, parameters):
    with torch.device("meta"):
        net = build(ModelSpec(name=name), 1000, (3, 224, 224), bn_batch=32)
        assert net(torch.empty(32, 3, 224, 224)).shape == (32, 1000)
    assert sum(p.numel() for p in net.parameters()) == parameters
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(isinstance(m, GhostBatchNorm) and m.bn_batch == 32 for m in norms)
    block = net.layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))


def test_resnet_50_initial_weights():
    torch.manual_seed(0)
    net = build(ModelSpec(name="resnet-50"), 1000, (3, 64, 64), bn_batch=4)
    zero = {name for name, m in net.named_modules() if isinstance(m, GhostBatchNorm) and not m.weight.any()}
    assert len(zero) == 16
    assert all(name.endswith("bn3") for name in zero)
    conv = net.layer4[2].conv2.weight
    assert conv.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    assert net.fc.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not net.fc.bias.any()
    v1 = build(ModelSpec(name="resnet-50", args={"stride_in_1x1": True, "zero_gamma": False}), 10, (1, 64, 64))
    assert (v1.layer2[0].conv1.stride, v1.layer2[0].conv2.stride) == ((2, 2), (1, 1))
    assert v1.layer2[0].bn3.weight.all()
    assert v1(torch.randn(2, 1, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize("depth", [20, 44, 56])
def test_cifar_depth_counts_the_weighted_layers(depth):
    net = build(ModelSpec(name="resnet-cifar", args={"depth": depth}), 10, (3, 32, 32))
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]  # option A adds none
    assert len(layers) == depth


def test_resnet_20_has_the_published_size():
    net = build(ModelSpec(name="resnet-cifar", args={"depth": 20}), 10, (3, 32, 32))
    assert sum(p.numel() for p in net.parameters()) == 269_722  # He et al. 2016: 0.27 M


def test_padding_shortcut_keeps_the_input_between_zeros():
    x = torch.randn(2, 4, 6, 6)
    out = PadShortcut(2, 4)(x)
    assert out.shape == (2, 8, 3, 3)
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert not out[:, :2].any()
    assert not out[:, 6:].any()


CASES = [
    ("resnet-cifar", {"depth": 8, "width": 4, "shortcut": "B"}, (3, 32, 32)),
    ("resnet-cifar", {"depth": 8, "width": 4}, (1, 28, 28)),
    ("resnet-small", {}, (1, 8, 8)),
    ("resnet-small", {"stem_stride": 1, "width": 8, "blocks": 2, "shortcut": "A"}, (1, 8, 8)),
    ("resnet-small", {"bn_running": "mean", "bn_momentum": 0.2, "bn_eps": 1e-3}, (3, 32, 32)),
    ("mlp", {"hidden": "12,7", "batch_norm": True}, (1, 8, 8)),
    ("mlp", {}, (1, 28, 28)),
    ("linear", {}, (3, 4, 4)),
]


@pytest.mark.parametrize(("name", "args", "shape"), CASES)
def test_nets_take_their_shapes_and_start_at_chance(name, args, shape):
    torch.manual_seed(0)
    net = build(ModelSpec(name=name, args=args), 7, shape, bn_batch=4)
    with torch.no_grad():
        loss = F.cross_entropy(net(torch.randn(8, *shape)), torch.arange(8) % 7)
    assert loss.item() == pytest.approx(torch.tensor(7.0).log().item(), abs=0.5)  # the N(0, 0.01²) classifier
    norms = [m for m in net.modules() if isinstance(m, GhostBatchNorm)]
    assert bool(norms) == (name.startswith("resnet") or "batch_norm" in args)
    for norm in norms:
        assert (norm.running, norm.momentum) == (args.get("bn_running", "first"), args.get("bn_momentum", 0.1))


def test_every_registered_net_is_covered():
    keskar = {"mlp-bn", "shallownet", "deepnet"}
    you = {"alexnet", "alexnet-bn", "alexnet-small"}
    hoffer = {"hoffer-resnet", "hoffer-shallow", "hoffer-f1", "hoffer-alexnet"}
    smith_b = {"wide-resnet", "inception-resnet-v2"}
    assert {name for name, *_ in CASES} | keskar | you | hoffer | smith_b | {"resnet-50", "resnet-101"} == set(MODELS)


def test_mlp_widths():
    net = build(ModelSpec(name="mlp", args={"hidden": "800"}), 10, (1, 28, 28))
    assert [tuple(p.shape) for p in net.parameters()] == [(800, 784), (800,), (10, 800), (10,)]


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_zero_gamma_makes_each_block_its_shortcut(shortcut):
    net, seen = small(shortcut=shortcut), []
    for block in net.blocks:
        block.register_forward_hook(lambda m, inputs, out: seen.append((m, inputs[0].clone(), out.clone())))
    net(torch.randn(8, 3, 16, 16, dtype=torch.float64))
    assert len(seen) == 3
    for block, x, out in seen:
        assert torch.equal(out, F.relu(block.shortcut(x)))


def test_first_gradients_under_zero_gamma():
    net = small()
    x, labels = torch.randn(8, 3, 16, 16, dtype=torch.float64), torch.arange(8)
    F.cross_entropy(net(x), labels).backward()
    for block in net.blocks:
        inside = [block.conv1.weight, block.bn1.weight, block.bn1.bias, block.conv2.weight]
        assert not any(p.grad.any() for p in inside)
        assert block.bn2.weight.grad.any()
        assert block.bn2.bias.grad.any()
    torch.optim.SGD(net.parameters(), 0.1).step()
    net.zero_grad()
    F.cross_entropy(net(x), labels).backward()
    assert all(block.conv1.weight.grad.any() and block.conv2.weight.grad.any() for block in net.blocks)


def test_without_zero_gamma_the_branches_count():
    block = next(m for m in small(zero_gamma=False).modules() if isinstance(m, BasicBlock))
    x = torch.randn(8, 16, 8, 8, dtype=torch.float64)
    assert (block(x) - F.relu(block.shortcut(x))).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("resnet-smal", {}, r"did you mean 'resnet-small'\?.*resnet-50, resnet-101"),
        ("mlp", {"hiden": "3"}, r"did you mean 'hidden'"),
        ("mlp", {"hidden": 3}, "of type str"),
        ("mlp", {"hidden": "3;4"}, "'512,512'"),
        ("mlp", {"hidden": "0"}, "'512,512'"),
        ("linear", {"zero_gamma": True}, "no argument 'zero_gamma'"),
        ("resnet-cifar", {"depth": 21}, "6n"),
        ("resnet-small", {"shortcut": "C"}, "projection"),
        ("resnet-small", {"bn_running": "last"}, "first, mean, sequential"),
        ("resnet-small", {"width": 0}, "width"),
    ],
)
def test_bad_specs_are_refused_by_name(name, args, says):
    with pytest.raises(SpecError, match=says):
        build(ModelSpec(name=name, args=args), 10, (3, 16, 16))


@pytest.mark.parametrize(
    ("model", "bn_batch", "together"),
    [(ModelSpec(name="mlp"), None, 1), (ModelSpec(name="mlp", args={"batch_norm": True}), None, 64),
     (ModelSpec(name="mlp", args={"batch_norm": True}), 16, 16), (ModelSpec(name="mlp-bn"), None, 64),
     (ModelSpec(name="linear"), None, 1)],
)  # fmt: skip
def test_what_shares_batch_statistics_stays_together(model, bn_batch, together):
    spec = RunSpec(paper="toy", arm="a", preset="smoke", seed=1, protocol=1, model=model, data=DataSpec(name="digits"),
                   batch_size=64, bn_batch=bn_batch, epochs=1, lr=0.1)  # fmt: skip
    assert indivisible(spec) == together
