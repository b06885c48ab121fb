"""Keskar's nets against the published sizes, Keras' shapes and initial weights, and the authors' use of batch norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shared.models import GhostBatchNorm, build
from shared.spec import ModelSpec, SpecError

CIFAR = (3, 32, 32)


def net(name: str, classes: int = 10, shape=CIFAR, bn_batch=None, **args) -> nn.Sequential:
    torch.manual_seed(0)
    return build(ModelSpec(name=name, args=args), classes, shape, bn_batch)


@pytest.mark.parametrize(
    ("name", "args", "classes", "shape", "parameters"),
    [
        ("mlp-bn", {}, 10, (1, 28, 28), 1_462_794),  # F1
        ("mlp-bn", {"layers": 7}, 1973, (1, 1, 360), 2_780_085),  # F2
        ("shallownet", {}, 10, CIFAR, 1_757_834),  # C1
        ("shallownet", {}, 100, CIFAR, 1_757_834 + 90 * 193),  # C3
        ("shallownet", {"variant": "text"}, 10, CIFAR, 1_757_834 - (4096 - 64) * 384),  # 64 features are left
        ("shallownet", {"width": 16}, 10, CIFAR, 478_298),
        ("deepnet", {}, 10, CIFAR, 14_991_946),  # C2
        ("deepnet", {"variant": "text"}, 100, CIFAR, 14_991_946 + 90 * 513),  # C4
    ],
)
def test_the_nets_have_their_published_size(name, args, classes, shape, parameters):
    with torch.device("meta"):
        made = net(name, classes, shape, **args)
        assert made(torch.empty(4, *shape)).shape == (4, classes)
    assert sum(p.numel() for p in made.parameters() if p.requires_grad) == parameters


@pytest.mark.parametrize(
    ("name", "args", "shape", "sides"),
    [
        ("shallownet", {}, CIFAR, [16, 8]),
        ("shallownet", {}, (1, 29, 29), [15, 8]),
        ("shallownet", {"variant": "text"}, CIFAR, [6, 1]),
        ("deepnet", {"width": 4}, CIFAR, [16, 8, 4, 2, 1]),
        ("deepnet", {"width": 4}, (1, 28, 28), [14, 7, 4, 2, 1]),
    ],
)
def test_maps_shrink_as_with_same_padding(name, args, shape, sides):
    made, seen = net(name, shape=shape, **args), []
    for pool in (m for m in made if isinstance(m, nn.MaxPool2d)):
        pool.register_forward_hook(lambda m, inputs, out: seen.append(tuple(out.shape[2:])))
    assert made(torch.randn(2, *shape)).shape == (2, 10)
    assert seen == [(side, side) for side in sides]


@pytest.mark.parametrize(
    ("name", "args", "shares"),
    [
        ("mlp-bn", {}, []),
        ("shallownet", {}, [0.5, 0.5]),
        ("shallownet", {"variant": "text", "dropout": 0.2}, [0.2, 0.2]),
        ("shallownet", {"dropout": 0.0}, []),
        ("deepnet", {}, [0.3, *[0.4] * 7, 0.5, 0.5]),
        ("deepnet", {"variant": "text"}, [0.5]),
    ],
)
def test_dropout_is_where_the_variant_has_it(name, args, shares):
    with torch.device("meta"):
        assert [m.p for m in net(name, **args) if isinstance(m, nn.Dropout)] == shares


@pytest.mark.parametrize("name", ["mlp-bn", "shallownet", "deepnet"])
def test_every_hidden_layer_is_affine_then_batch_norm_then_relu(name):
    layers = list(net(name, width=8, bn_batch=4))
    affine = [i for i, m in enumerate(layers) if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(affine) == {"mlp-bn": 6, "shallownet": 5, "deepnet": 15}[name]
    assert affine.pop() == len(layers) - 1
    for i in affine:
        assert isinstance(layers[i + 1], GhostBatchNorm)
        assert layers[i + 1].bn_batch == 4
        assert isinstance(layers[i + 2], nn.ReLU)


@pytest.mark.parametrize("name", ["mlp-bn", "shallownet"])
def test_initial_weights_are_those_of_keras(name):
    for layer in net(name):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            area = layer.weight[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
            limit = (6 / (area * sum(layer.weight.shape[:2]))) ** 0.5
            assert 0.98 * limit < layer.weight.abs().max() <= limit
            assert layer.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.05)  # uniform
            assert not layer.bias.any()
        elif isinstance(layer, GhostBatchNorm):
            assert (layer.weight == 1).all()
            assert not layer.bias.any()


@pytest.mark.parametrize(("name", "args"), [("mlp-bn", {"width": 16}), ("shallownet", {"width": 4, "dropout": 0.0})])
def test_batch_statistics_make_evaluation_equal_training(name, args):
    made, x = net(name, bn_batch=6, bn_eval="batch", **args), torch.randn(6, *CIFAR)
    trained = made(x)
    assert torch.equal(made.eval()(x), trained)
    assert not torch.allclose(made(x[:3]), trained[:3], atol=1e-3)  # the result depends on the evaluation batch


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("shallownet", {"variant": "paper"}, "'code' .*or 'text'"),
        ("deepnet", {"variant": "codes"}, "'code' .*or 'text'"),
        ("shallownet", {"width": 0}, "width"),
        ("mlp-bn", {"layers": 0}, "layers"),
        ("deepnet", {"dropout": 1.5}, "deepnet: dropout"),
        ("mlp-bn", {"bn_eval": "none"}, "running, batch"),
    ],
)
def test_bad_specs_are_refused_by_name(name, args, says):
    with pytest.raises(SpecError, match=says):
        net(name, **args)
