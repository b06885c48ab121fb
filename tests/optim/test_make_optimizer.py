"""Optimizers from specs: weight decay groups, forms, and how bad specs are refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from shared.models import GhostBatchNorm, build
from shared.optim import AbsorbedSGD, make_optimizer, parameter_groups
from shared.spec import ModelSpec, OptimizerSpec, SpecError

FORMS = ("reference", "absorbed", "absorbed-corrected")


def net() -> nn.Module:
    torch.manual_seed(0)
    model = build(ModelSpec(name="resnet-small", args={"zero_gamma": False}), 10, (1, 8, 8), bn_batch=2).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)  # no parameter is 0, so that decay would show
    return model


def kinds(model: nn.Module) -> dict[str, str]:
    """By name → "bn", "bias" or "weight", written down independently of the code under test."""
    norms = {f"{name}." for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    found = {}
    for name, _ in model.named_parameters():
        is_bn = any(name.startswith(n) for n in norms)
        found[name] = "bn" if is_bn else "bias" if name.endswith("bias") else "weight"
    return found


@pytest.mark.parametrize("form", [*FORMS, "averaging"])
@pytest.mark.parametrize("skip", [(), ("bn",), ("bn", "bias"), ("bias",)])
def test_one_step_without_data_gradient_shows_what_decays(form, skip):
    model = net()
    spec = OptimizerSpec(momentum_form=form, nesterov=False, weight_decay=0.1, decay_skip=skip)
    optimizer = make_optimizer(model, spec, lr=0.5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    share = 1 - spec.momentum if form == "averaging" else 1.0  # of a gradient in the first step
    for name, kind in kinds(model).items():
        factor = 1.0 if kind in skip else 1 - 0.5 * 0.1 * share
        torch.testing.assert_close(model.get_parameter(name), before[name] * factor, rtol=1e-14, atol=0, msg=name)


def test_bn_is_told_by_type_whatever_it_is_called():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = GhostBatchNorm(3)
            self.bn = nn.Linear(3, 3)

    model = Odd()
    decayed, skipped = parameter_groups(model, 0.1, skip=("bn",))
    assert [id(p) for p in decayed["params"]] == [id(p) for p in model.bn.parameters()]
    assert [id(p) for p in skipped["params"]] == [id(p) for p in model.weights.parameters()]


def test_groups_hold_each_trainable_parameter_once():
    shared_layer = nn.Linear(2, 2)
    model = nn.Sequential(shared_layer, nn.Linear(2, 2), shared_layer)
    model[1].weight.requires_grad_(False)
    held = [p for group in parameter_groups(model, 0.1, skip=("bias",)) for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(held) == 3


def test_forms():
    model = nn.Linear(2, 2)
    made = [make_optimizer(model, OptimizerSpec(momentum_form=form, nesterov=True), 0.1) for form in FORMS]
    assert [type(m) for m in made] == [torch.optim.SGD, AbsorbedSGD, AbsorbedSGD]
    assert [m.param_groups[0].get("corrected") for m in made] == [None, False, True]
    assert all(m.param_groups[0]["nesterov"] and m.param_groups[0]["lr"] == 0.1 for m in made)


def test_adam_takes_momentum_as_beta_1():
    made = make_optimizer(nn.Linear(2, 2), OptimizerSpec(name="adam", momentum=0.8, weight_decay=0.1), 0.01)
    assert made.param_groups[0]["betas"] == (0.8, 0.999)
    assert made.param_groups[0]["weight_decay"] == 0.1
    assert made.param_groups[0]["eps"] == 1e-8


def adam_steps(steps: int, fused: bool, resume_at: int | None = None) -> nn.Module:
    model = nn.Linear(3, 2).double()
    spec = OptimizerSpec(name="adam", weight_decay=0.1, fused=fused)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    optimizer = make_optimizer(model, spec, lr=0.01)
    for step in range(steps):
        if step == resume_at:
            state = optimizer.state_dict()
            optimizer = make_optimizer(model, spec, lr=0.01)
            optimizer.load_state_dict(state)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (step + 1)  # as the module sets it
        for parameter in model.parameters():
            parameter.grad = torch.sin(parameter.detach() * 7 + step)
        optimizer.step()
    return model


def test_fused_adam_is_adam_and_resumes_to_the_bit():
    fused, plain, resumed = adam_steps(9, True), adam_steps(9, False), adam_steps(9, True, resume_at=5)
    for a, b, c in zip(fused.parameters(), plain.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)
        assert torch.equal(a, c)
    made = make_optimizer(nn.Linear(2, 2), OptimizerSpec(name="adam", fused=True), 0.1)
    assert made.param_groups[0]["fused"]


def sgd_steps(form: str, lr: float, fused: bool = False, grads: int = 6) -> list[float]:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    layer = nn.Module()
    layer.weight = weight
    optimizer = make_optimizer(layer, OptimizerSpec(momentum=0.8, momentum_form=form, fused=fused), lr)
    path = []
    for step in range(grads):
        weight.grad = torch.sin(weight.detach() * 3 + step)
        optimizer.step()
        path.append(weight.item())
    return path


@pytest.mark.parametrize("fused", [False, True])
def test_averaging_steps_by_a_running_mean_that_starts_at_zero(fused):
    w, mean, path = 1.0, 0.0, []
    for step in range(6):
        g = math.sin(3 * w + step)
        mean = 0.8 * mean + 0.2 * g
        w -= 0.1 * mean
        path.append(w)
    assert sgd_steps("averaging", 0.1, fused) == pytest.approx(path, rel=1e-12)
    assert sgd_steps("averaging", 0.1, fused) == pytest.approx(
        sgd_steps("reference", 0.1 * (1 - 0.8), fused), rel=1e-12
    )


def test_fused_sgd_is_sgd():
    assert sgd_steps("reference", 0.1, fused=True) == pytest.approx(sgd_steps("reference", 0.1), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "sdg"}, r"did you mean 'sgd'\?.*sgd, adam"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs"),
        ({"name": "adam", "nesterov": True}, "adam knows no nesterov"),
        ({"fused": True, "momentum_form": "absorbed"}, "no fused kernel"),
        ({"nesterov": True, "momentum_form": "averaging"}, "not defined for momentum_form 'averaging'"),
    ],
)
def test_bad_specs_are_refused_by_name(options, says):
    with pytest.raises(SpecError, match=says):
        make_optimizer(nn.Linear(2, 2), OptimizerSpec(**options), 0.1)
