"""The same function with other weights: what each measure of sharpness makes of it."""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import cache, partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.curvature.hessian import top_eigenvalues
from shared.curvature.objective import CurvatureError, Objective
from shared.curvature.rescale import (
    adaptive_sharpness,
    bn_preceded,
    dinh,
    logit_difference,
    match_norms,
    pairs,
    scale_bn_preceded,
)
from shared.curvature.sharpness import sharpness
from shared.models import MODELS, GhostBatchNorm


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))


def normed(norm=nn.BatchNorm1d) -> nn.Sequential:
    """F1 of Keskar et al. 2017 in small: linear, BN, relu, with biases throughout."""
    return nn.Sequential(nn.Linear(6, 9), norm(9), nn.ReLU(), nn.Linear(9, 8), norm(8), nn.ReLU(), nn.Linear(8, 3))


class Conv(nn.Module):
    """Calls by module, function and method, one pool for two places, BN on the first convolution only."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(5 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.pool(F.relu(self.norm(self.first(x)))), training=self.training)
        return self.fc(self.pool(F.max_pool2d(self.second(x).relu(), 1)).flatten(1))


def resnet() -> nn.Module:
    return MODELS["resnet-small"](3, (2, 12, 12), partial(GhostBatchNorm, bn_batch=8), width=4)


NETS = {"plain": plain, "normed": normed, "ghost": partial(normed, partial(GhostBatchNorm, bn_batch=10))}
NETS |= {"conv": Conv, "resnet": resnet}


@cache
def trained(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A fitted float64 net with its data: sharpness is a matter of minima."""
    torch.manual_seed(0)
    shape = (2, 12, 12) if name in ("conv", "resnet") else (6,)
    net, images, labels = NETS[name]().double(), torch.randn(40, *shape).double(), torch.randint(3, (40,))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    optimizer.zero_grad()
    return net.eval(), images, labels


def test_pairs_and_normalised_layers_are_found():
    assert pairs(plain()) == [("0", "2"), ("2", "4")]
    assert bn_preceded(plain()) == {}
    assert pairs(normed()) == [("1", "3"), ("4", "6")]
    assert bn_preceded(normed()) == bn_preceded(NETS["ghost"]()) == {"0": "1", "3": "4"}
    assert pairs(Conv()) == [("norm", "second"), ("second", "fc")]
    assert bn_preceded(Conv()) == {"first": "norm"}
    residual = resnet()
    convs = {name for name, module in residual.named_modules() if isinstance(module, nn.Conv2d)}
    assert bn_preceded(residual).keys() == convs
    # a BN whose relu is added to a shortcut cannot be scaled alone
    assert pairs(residual) == [(f"blocks.{i}.bn1", f"blocks.{i}.conv2") for i in range(3)]


class Shared(nn.Module):
    """The same layer twice: scaling it scales both uses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(F.relu(self.layer(x))))


class Tied(nn.Module):
    """The weight of one layer is another's too, or the forward pass reads it by itself: scaling it scales both uses."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.functional = functional
        if not functional:
            self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(self.b(F.relu(self.a(x))))
        return normed + F.linear(x, self.a.weight) if self.functional else normed


def test_layers_whose_scale_is_not_free_are_left_out():
    assert pairs(Shared()) == []
    assert bn_preceded(Shared()) == {}
    assert pairs(Tied(False)) == pairs(Tied(True)) == []
    assert (bn_preceded(Tied(False)), bn_preceded(Tied(True))) == ({}, {"b": "norm"})
    for between in (nn.GELU(), nn.Tanh(), nn.BatchNorm1d(4, affine=False)):
        named = {"first": nn.Linear(4, 4), "relu": between, "second": nn.Linear(4, 4)}
        assert pairs(nn.Sequential(OrderedDict(named))) == []


@pytest.mark.parametrize("alpha", [0.01, 20.0])
@pytest.mark.parametrize("bn", ["batch", "running"])
@pytest.mark.parametrize("name", NETS)
def test_dinhs_rescaling_keeps_the_logits(name, bn, alpha):
    net, images, _ = trained(name)
    for layers in [None, *pairs(net)]:
        made = dinh(net, alpha, layers)
        assert logit_difference(net, made, images, bn=bn, batch=20) < 1e-9
        first, second = layers or pairs(net)[0]
        for layer, factor in ((first, alpha), (second, 1 / alpha)):
            torch.testing.assert_close(made.get_submodule(layer).weight, factor * net.get_submodule(layer).weight)


@pytest.mark.parametrize("bn", ["batch", "running"])
@pytest.mark.parametrize("name", ["normed", "ghost", "conv", "resnet"])
def test_the_scale_before_batch_norm_is_free_up_to_its_epsilon(name, bn):
    net, images, _ = trained(name)
    difference = partial(logit_difference, net, images=images, bn=bn, batch=20)
    assert difference(scale_bn_preceded(net, 0.01, scale_eps=True)) < 1e-9
    factors = {layer: 0.5 + i for i, layer in enumerate(bn_preceded(net))}
    assert difference(scale_bn_preceded(net, factors, scale_eps=True)) < 1e-9
    by_weights_alone = [difference(scale_bn_preceded(net, alpha)) for alpha in (10, 0.1, 0.01)]
    assert 1e-9 < by_weights_alone[0] < 5e-3  # α²·variance ≫ ε …
    assert by_weights_alone[2] > 0.1  # … and no longer
    assert by_weights_alone[1] < by_weights_alone[2] / 5


def test_the_check_sees_a_different_function():
    net, images, _ = trained("normed")
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[6].bias[1] += 0.25
    assert logit_difference(net, other, images, batch=7) == pytest.approx(0.25)
    assert logit_difference(net, net, images) == 0


@pytest.mark.parametrize("name", ["plain", "normed"])
def test_the_fixed_box_and_the_hessian_change_where_adaptive_sharpness_does_not(name):
    net, images, labels = trained(name)
    rescale = dinh if name == "plain" else partial(scale_bn_preceded, scale_eps=True)
    measured = {}
    for alpha in (1, 0.05):
        objective = Objective(rescale(net, alpha), images, labels)
        x = objective.start()
        measured[alpha] = (
            objective.value(x),
            sharpness(objective, x, 1e-3).value,
            top_eigenvalues(objective, x, 1)[0],
            adaptive_sharpness(objective, x, 0.05).value,
        )
    loss, box, top, adaptive = (after / before for before, after in zip(measured[1], measured[0.05], strict=True))
    assert loss == pytest.approx(1, abs=1e-9)
    assert box > 5
    assert top > 40
    assert adaptive == pytest.approx(1, abs=1e-7)
    assert measured[1][3] > 1  # percent: the box is large enough to tell


def test_the_hessian_is_the_old_one_in_the_new_units():
    """With x' = Dx and the same function, H' = D⁻¹HD⁻¹: the eigenvalues of scaled weights grow by 1/α²."""
    net, images, labels = trained("normed")
    alpha = 0.1
    before = Objective(net, images, labels)
    after = Objective(scale_bn_preceded(net, alpha, scale_eps=True), images, labels)
    d = np.concatenate(
        [np.full(p.numel(), alpha if n.split(".")[0] in ("0", "3") else 1) for n, p in net.named_parameters()]
    )
    np.testing.assert_allclose(after.start(), d * before.start(), rtol=1e-12)
    v = np.random.default_rng(0).standard_normal(before.n)
    expected = before.hessian_vector(before.start(), v / d) / d
    np.testing.assert_allclose(after.hessian_vector(after.start(), v), expected, rtol=1e-6, atol=1e-9)


def test_small_weights_before_batch_norm_reverse_an_order_of_sharpness():
    flat, images, labels = trained("normed")
    sharp = scale_bn_preceded(flat, 0.2, scale_eps=True)

    def measure(net: nn.Module) -> float:
        objective = Objective(net, images, labels)
        return sharpness(objective, objective.start(), 1e-3).value

    assert measure(sharp) > 3 * measure(flat)
    attacked = scale_bn_preceded(flat, 0.02, scale_eps=True)
    assert logit_difference(attacked, sharp, images) < 1e-9
    assert measure(attacked) > 3 * measure(sharp)
    assert measure(match_norms(attacked, sharp)) == pytest.approx(measure(sharp), rel=0.01)


def test_matched_norms_are_the_other_nets():
    net, images, _ = trained("normed")
    other = scale_bn_preceded(net, {"0": 3.0, "3": 0.4})
    with torch.no_grad():
        other[0].weight.add_(0.1 * torch.randn_like(other[0].weight))
    made = match_norms(net, other)
    for layer in (0, 3):
        torch.testing.assert_close(made[layer].weight.norm(), other[layer].weight.norm())
    assert logit_difference(net, made, images) < 1e-2


class Separable:
    """f(x) = Σ h_i (x_i - c_i)²/2, whose maximum over a box is at a corner known by hand."""

    n = 4
    centre, curvature = np.array([1.0, -2.0, 0.5, 0.0]), np.array([1.0, 2.0, 4.0, 8.0])

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        away = x - self.centre
        return float(self.curvature @ away**2 / 2), self.curvature * away

    def check(self, x: np.ndarray) -> None:
        pass


@pytest.mark.parametrize("start", ["x", "random"])
def test_adaptive_sharpness_finds_the_corner(start):
    x = np.array([1.5, -2.5, 0.25, 0.0])
    found = adaptive_sharpness(Separable(), x, 0.1, start=start)
    away = np.abs(x - Separable.centre)
    f0 = Separable.curvature @ away**2 / 2
    f_max = Separable.curvature @ (away + 0.1 * np.abs(x)) ** 2 / 2
    assert (found.f0, found.f_max) == pytest.approx((f0, f_max))
    assert found.value == pytest.approx(100 * (f_max - f0) / (1 + f0))
    assert (found.moved, found.at_bound, found.evaluations) == (pytest.approx(1), 1, 21 + (start == "random"))


def test_copies_leave_the_net_alone():
    net, _, _ = trained("normed")
    before = copy.deepcopy(net.state_dict())
    for made in (dinh(net, 2), scale_bn_preceded(net, 2, scale_eps=True), match_norms(net, net)):
        assert not {id(p) for p in made.parameters()} & {id(p) for p in net.parameters()}
        assert all(p.requires_grad for p in made.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net[1].eps == 1e-5
    assert not net.training


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_rescaled_is_said():
    for refused, words in (
        (lambda: dinh(normed(), 2, ("0", "3")), r"\('1', '3'\)"),
        (lambda: dinh(nn.Linear(2, 2), 2), "relu"),
        (lambda: dinh(plain(), -1), "positive"),
        (lambda: scale_bn_preceded(plain(), 2), "any layer"),
        (lambda: scale_bn_preceded(normed(), {"6": 2.0}), r"\['6'\].*\['0', '3'\]"),
        (lambda: scale_bn_preceded(normed(), 0), "positive"),
        (lambda: pairs(Branching()), "Branching"),
        (lambda: adaptive_sharpness(Separable(), np.ones(4), 0), "rho"),
    ):
        with pytest.raises(CurvatureError, match=words):
            refused()
