"""Momentum with the learning rate inside the buffer (Goyal et al. 2017, equations 9 and 10)."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shared.optim import AbsorbedSGD


def walk(optimizer_of, lrs, momentum_gradients) -> list[torch.Tensor]:
    """The weights after each step, for given gradients."""
    w = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    optimizer, path = optimizer_of([w]), []
    for lr, g in zip(lrs, momentum_gradients, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        w.grad = g.clone()
        optimizer.step()
        path.append(w.detach().clone())
    return path


@pytest.mark.parametrize(
    ("make", "second"),
    [
        (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), 0.38),
        (lambda p: AbsorbedSGD(p, 0.1), 0.29),
        (lambda p: AbsorbedSGD(p, 0.1, corrected=True), 0.38),
    ],
)
def test_second_step_after_the_rate_doubles(make, second):
    """g = 1, 1; m = 0.9; η 0.1 → 0.2, by hand."""
    path = walk(make, (0.1, 0.2), [torch.ones(3, dtype=torch.float64)] * 2)
    torch.testing.assert_close(path[0] - path[1], torch.full((3,), second, dtype=torch.float64))


rates = st.lists(st.floats(1e-4, 10), min_size=1, max_size=12)


@given(lrs=rates, momentum=st.floats(0.01, 0.99), nesterov=st.booleans(), decay=st.sampled_from([0.0, 1e-4, 0.01]))
def test_corrected_form_is_the_reference_form(lrs, momentum, nesterov, decay):
    generator = torch.Generator().manual_seed(len(lrs))
    gradients = torch.randn(len(lrs), 3, generator=generator, dtype=torch.float64).unbind()
    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
    reference = walk(lambda p: torch.optim.SGD(p, 1.0, **options), lrs, gradients)
    corrected = walk(lambda p: AbsorbedSGD(p, 1.0, corrected=True, **options), lrs, gradients)
    scale = max(1.0, *(w.abs().max().item() for w in reference))
    for ours, theirs in zip(corrected, reference, strict=True):
        assert (ours - theirs).abs().max().item() <= 1e-12 * scale


@pytest.mark.parametrize("nesterov", [False, True])
def test_constant_rate_needs_no_correction_and_a_drop_does(nesterov):
    gradients = [torch.ones(3, dtype=torch.float64)] * 3
    plain, corrected = (
        lambda p: AbsorbedSGD(p, 1.0, nesterov=nesterov),
        lambda p: AbsorbedSGD(p, 1.0, nesterov=nesterov, corrected=True),
    )
    for a, b in zip(walk(plain, [0.1] * 3, gradients), walk(corrected, [0.1] * 3, gradients), strict=True):
        assert torch.equal(a, b)
    before, after = (walk(make, [0.1, 0.1, 0.01], gradients)[-2:] for make in (plain, corrected))
    assert (before[0] - before[1]).min() > 5 * (after[0] - after[1]).max()  # the step is far too long


def test_a_parameter_without_gradient_stays_in_step():
    """Equivalence also for a parameter that sits out the step at which the rate changes."""
    ends = []
    for make in (torch.optim.SGD, AbsorbedSGD):
        a, b = (nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))
        optimizer = make([a, b], 0.1, momentum=0.9, **({"corrected": True} if make is AbsorbedSGD else {}))
        for lr, sits_out in ((0.1, False), (0.4, True), (0.2, False)):
            optimizer.param_groups[0]["lr"] = lr
            a.grad, b.grad = torch.ones_like(a), None if sits_out else torch.ones_like(b)
            optimizer.step()
        ends.append(torch.cat([a, b]).detach())
    torch.testing.assert_close(*ends, rtol=1e-13, atol=0)


@pytest.mark.parametrize("corrected", [False, True])
def test_resume_is_bit_exact(corrected, tmp_path):
    torch.manual_seed(0)
    lrs, gradients = [0.1, 0.2, 0.4, 0.05], torch.randn(4, 3)

    def train(w, optimizer, steps):
        for k in steps:
            optimizer.param_groups[0]["lr"] = lrs[k]
            w.grad = gradients[k].clone()
            optimizer.step()

    def fresh(value):
        w = nn.Parameter(value.clone())
        return w, AbsorbedSGD([w], 0.1, nesterov=True, weight_decay=0.01, corrected=corrected)

    through, optimizer = fresh(torch.ones(3))
    train(through, optimizer, range(2))
    torch.save({"w": through.detach(), "optimizer": copy.deepcopy(optimizer.state_dict())}, tmp_path / "last.ckpt")
    train(through, optimizer, range(2, 4))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    resumed, optimizer = fresh(saved["w"])
    optimizer.load_state_dict(saved["optimizer"])
    train(resumed, optimizer, range(2, 4))
    assert torch.equal(through, resumed)


def test_a_rate_of_zero_cannot_be_corrected_for():
    w = nn.Parameter(torch.ones(2))
    optimizer = AbsorbedSGD([w], 0.0, corrected=True)
    w.grad = torch.ones(2)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    with pytest.raises(ValueError, match="start above 0"):
        optimizer.step()


@pytest.mark.parametrize("option", ["lr", "momentum", "weight_decay"])
def test_negative_options_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} must not be negative"):
        AbsorbedSGD([nn.Parameter(torch.ones(1))], **{"lr": 0.1, option: -1.0})
