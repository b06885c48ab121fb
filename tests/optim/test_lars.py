"""LARS against a transcription of Algorithm 1, against another implementation, and its bounds (You et al. 2017)."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shared.optim import LARS, make_optimizer
from shared.optim.sgd import AbsorbedSGD
from shared.spec import OptimizerSpec, SpecError, canonical

SHAPES = ((4, 3), (4,), (2, 3, 2, 2))
quick = settings(max_examples=50)
rates = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 50)), min_size=1, max_size=10)
decays = st.sampled_from([0.0, 1e-4, 5e-4, 0.1])
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, steps: int) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Weights and, for every step, gradients of very different sizes."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=s) for s in SHAPES]
    return weights, [[rng.normal(size=s) * 10.0 ** rng.integers(-5, 5) for s in SHAPES] for _ in range(steps)]


def walk(optimizer_of, weights, gradients, lrs, dtype=torch.float64) -> list[list[torch.Tensor]]:
    """The tensors after each step, for given gradients and rates."""
    params = [nn.Parameter(torch.tensor(w, dtype=dtype)) for w in weights]
    optimizer, path = optimizer_of(params), []
    for lr, grads in zip(lrs, gradients, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr
        for p, g in zip(params, grads, strict=True):
            p.grad = torch.tensor(g, dtype=dtype)
        optimizer.step()
        path.append([p.detach().clone() for p in params])
    return path


def algorithm_1(weights, gradients, lrs, momentum, beta, eta) -> list[np.ndarray]:
    """Algorithm 1 line by line, layer by layer."""
    ends = []
    for layer, w in enumerate(weights):
        v = np.zeros_like(w)
        for gamma, grads in zip(lrs, gradients, strict=True):
            g = grads[layer]
            local = eta * np.sqrt((w**2).sum()) / (np.sqrt((g**2).sum()) + beta * np.sqrt((w**2).sum()))
            v = momentum * v + gamma * local * (g + beta * w)
            w = w - v
        ends.append(w)
    return ends


def close(ours, theirs, rtol: float = 1e-11) -> None:
    for a, b in zip(ours, theirs, strict=True):
        b = np.asarray(b)
        np.testing.assert_allclose(np.asarray(a), b, rtol=rtol, atol=rtol * max(1.0, float(np.abs(b).max())))


# Algorithm 1 and its forms


@quick
@given(lrs=rates, momentum=st.floats(0, 0.99), beta=decays, eta=st.sampled_from([1e-3, 0.02]), seed=seeds)
def test_the_defaults_are_algorithm_1_under_any_schedule(lrs, momentum, beta, eta, seed):
    weights, gradients = drawn(seed, len(lrs))
    options = {"momentum": momentum, "weight_decay": beta, "trust_coefficient": eta}
    path = walk(lambda p: LARS(p, 1.0, **options), weights, gradients, lrs)
    close(path[-1], algorithm_1(weights, gradients, lrs, momentum, beta, eta))


@pytest.mark.parametrize(("inside", "second"), [(True, 2.9), (False, 3.8)])
def test_second_step_after_the_global_rate_doubles(inside, second):
    """m = 0.9, γ 1 → 2, and λ(∇L + βw) as good as constant at 1e-6: by hand."""
    w = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = LARS([w], 1.0, trust_coefficient=1e-6, lr_in_momentum=inside)
    for lr in (1.0, 2.0):
        optimizer.param_groups[0]["lr"] = lr
        w.grad, before = torch.ones_like(w), w.detach().clone()
        optimizer.step()
    assert (before - w).item() / 1e-6 == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_at_a_constant_rate_both_forms_are_the_same(nesterov):
    weights, gradients = drawn(1, 6)
    options = {"weight_decay": 0.1, "nesterov": nesterov}
    inside = walk(lambda p: LARS(p, 1.0, **options), weights, gradients, [9.0] * 6)
    outside = walk(lambda p: LARS(p, 1.0, lr_in_momentum=False, **options), weights, gradients, [9.0] * 6)
    close(inside[-1], outside[-1])


@quick
@given(lrs=rates, momentum=st.floats(0.1, 0.99), beta=decays, nesterov=st.booleans(), seed=seeds)
def test_against_pytorch_optimizer_in_the_usual_form(lrs, momentum, beta, nesterov, seed):
    """It never adapts or decays vectors, so neither do we here. Equal but for the order of additions (float64)."""
    other = pytest.importorskip("pytorch_optimizer").LARS
    weights, gradients = drawn(seed, len(lrs))
    options = {"momentum": momentum, "nesterov": nesterov}

    def ours(params):
        groups = [
            {"params": [p for p in params if p.ndim > 1], "weight_decay": beta},
            {"params": [p for p in params if p.ndim == 1], "adapt": False},
        ]
        return LARS(groups, 1.0, lr_in_momentum=False, **options)

    theirs = walk(lambda p: other(p, lr=1.0, weight_decay=beta, **options), weights, gradients, lrs)
    close(walk(ours, weights, gradients, lrs)[-1], theirs[-1])


def test_against_pytorch_optimizer_to_the_bit():
    """In float32 the first step without decay has nothing to round differently."""
    other = pytest.importorskip("pytorch_optimizer").LARS
    for seed in range(5):
        weights, gradients = drawn(seed, 1)
        weights, gradients = weights[::2], [gradients[0][::2]]
        ours = walk(lambda p: LARS(p, 7.0, lr_in_momentum=False), weights, gradients, [7.0], torch.float32)
        theirs = walk(lambda p: other(p, lr=7.0), weights, gradients, [7.0], torch.float32)
        assert all(torch.equal(a, b) for a, b in zip(ours[0], theirs[0], strict=True))


# What the paper says of a step


def test_without_decay_the_scale_of_the_loss_does_not_matter():
    weights, gradients = drawn(2, 8)
    scaled = {s: walk(lambda p: LARS(p, 1.0), weights, [[s * g for g in step] for step in gradients], [9.0] * 8)
              for s in (1.0, 1024.0, 1000.0)}  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(scaled[1.0][-1], scaled[1024.0][-1], strict=True))
    close(scaled[1.0][-1], scaled[1000.0][-1])


@quick
@given(gamma=st.floats(1e-3, 50), beta=decays, seed=seeds)
def test_a_step_is_no_longer_than_its_bound(gamma, beta, seed):
    weights, gradients = drawn(seed, 1)
    ((first, *_),) = walk(lambda p: LARS(p, 1.0, momentum=0.0, weight_decay=beta), weights, gradients, [gamma])
    moved, bound = np.linalg.norm(first.numpy() - weights[0]), gamma * 1e-3 * np.linalg.norm(weights[0])
    assert moved <= bound * (1 + 1e-9)
    if not beta:
        assert moved == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("beta", [5e-4, 0.1])
def test_the_local_rate_is_capped_at_eta_over_beta(beta):
    w = nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64))
    optimizer, seen = LARS([w], 1e-9, weight_decay=beta), []
    for size in (1e3, 1.0, 1e-12):
        w.grad = torch.full_like(w, size)
        optimizer.step()
        seen.append(optimizer.layers()[0].local_rate)
    assert seen == sorted(seen)
    assert 0.999 * 1e-3 / beta < seen[-1] <= 1e-3 / beta * (1 + 1e-12)


def test_norms_stay_below_the_product_and_momentum_multiplies_steps_by_ten():
    lrs = [10.0 * (1 - t / 60) ** 2 for t in range(60)]
    weights, gradients = drawn(3, 60)
    path = walk(lambda p: LARS(p, 1.0, momentum=0.0, weight_decay=5e-4), weights, gradients, lrs)
    for t, tensors in enumerate(path):
        growth = np.prod([1 + 1e-3 * lr for lr in lrs[: t + 1]])
        assert all(a.norm() <= growth * np.linalg.norm(w) for a, w in zip(tensors, weights, strict=True))
    w = nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))
    optimizer = LARS([w], 1e-3)  # so small a rate that the weight is as good as constant
    for _ in range(200):
        w.grad, before = torch.tensor([0.0, 5.0], dtype=torch.float64), w.detach().clone()
        optimizer.step()
    assert (w - before).norm().item() == pytest.approx(1e-3 * 1e-3 / (1 - 0.9), rel=1e-4)


def test_scale_invariant_weights_move_by_the_same_share_at_any_scale():
    def step(scale):
        w = nn.Parameter(scale * torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64))
        optimizer = LARS([w], 5.0)
        torch.sin(w / w.norm()).sum().backward()
        optimizer.step()
        return w.detach() / scale

    torch.testing.assert_close(step(1.0), step(1000.0), rtol=1e-12, atol=0)


# Options


@pytest.mark.parametrize(
    ("policy", "w", "g", "moved"),
    [
        ("one", 0.0, 3.0, 2 * 3.0),
        ("one", 4.0, 0.0, 2 * 0.1 * 4.0),
        ("one", 0.0, 0.0, 0.0),
        ("formula", 0.0, 3.0, 0.0),
        ("formula", 4.0, 0.0, 2 * 1e-3 * 4.0),  # λ = η/β
        ("formula", 0.0, 0.0, 0.0),
    ],
)
def test_zero_norms(policy, w, g, moved):
    p = nn.Parameter(torch.tensor([w], dtype=torch.float64))
    p.grad = torch.full_like(p, g)
    LARS([p], 2.0, weight_decay=0.1, zero_norm=policy).step()
    assert (w - p).item() == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(("gamma", "rate"), [(0.0, 0.0), (0.01, 0.01), (3.0, 0.5)])
def test_clipping_takes_the_smaller_of_both_rates(inside, gamma, rate):
    w = nn.Parameter(torch.ones(4, dtype=torch.float64))
    w.grad = torch.full_like(w, 2.0)
    optimizer = LARS([w], gamma, trust_coefficient=1.0, trust_clip=True, lr_in_momentum=inside)  # λ = 1/2
    optimizer.step()
    torch.testing.assert_close(1 - w.detach(), torch.full_like(w, rate * 2.0), rtol=1e-12, atol=0)
    assert optimizer.layers()[0].local_rate == 0.5


@pytest.mark.parametrize("form", ["absorbed", "reference"])
def test_skipped_kinds_take_plain_steps(form):
    """Later practice: bias and batch norm without local rates and without decay."""
    skip = ("bn", "bias")
    spec = OptimizerSpec(name="lars", momentum_form=form, weight_decay=0.1, decay_skip=skip, adapt_skip=skip)
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)).double()
    plain = copy.deepcopy(model)
    lars = make_optimizer(model, spec, 0.5)
    sgd = AbsorbedSGD(plain.parameters(), 0.5)
    for optimizer, trained in ((lars, model), (sgd, plain)):
        for _ in range(2):
            for p in trained.parameters():
                p.grad = torch.cos(torch.arange(p.numel(), dtype=p.dtype)).view_as(p)
            optimizer.step()
    same = {n for n, p in model.named_parameters() if torch.allclose(p, plain.get_parameter(n), rtol=1e-12)}
    assert same == {"0.bias", "1.weight", "1.bias", "3.bias"}
    assert [id(x.parameter) for x in lars.layers()] == [id(model[0].weight), id(model[3].weight)]


def test_layers_shows_the_norms_that_the_last_step_found():
    a, b, idle = (nn.Parameter(torch.full((n,), 3.0)) for n in (4, 9, 2))
    optimizer = LARS([a, b, idle], 1.0, weight_decay=0.5)
    assert optimizer.layers() == []
    a.grad, b.grad = torch.full_like(a, 2.0), torch.full_like(b, 1.0)
    optimizer.step()
    first, second = optimizer.layers()
    assert (first.parameter is a, second.parameter is b) == (True, True)
    assert [first.weight_norm, first.gradient_norm] == [6.0, 4.0]
    assert first.local_rate == pytest.approx(1e-3 * 6 / (4 + 0.5 * 6))
    assert second[1:3] == (9.0, 3.0)
    assert torch.equal(idle, torch.full_like(idle, 3.0))
    assert copy.deepcopy(optimizer).layers() == []


@pytest.mark.parametrize("nesterov", [False, True])
def test_resume_is_bit_exact(nesterov):
    torch.manual_seed(0)
    gradients, lrs = torch.randn(6, 5, 3), [1.0, 3.0, 9.0, 4.0, 1.0, 0.1]

    def train(w, optimizer, steps):
        for k in steps:
            optimizer.param_groups[0]["lr"] = lrs[k]
            w.grad = gradients[k].clone()
            optimizer.step()

    def fresh(value):
        w = nn.Parameter(value.clone())
        return w, LARS([w], 1.0, weight_decay=0.01, nesterov=nesterov)

    through, optimizer = fresh(torch.ones(5, 3))
    train(through, optimizer, range(3))
    file = io.BytesIO()
    torch.save({"w": through.detach(), "optimizer": optimizer.state_dict()}, file)
    train(through, optimizer, range(3, 6))
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, optimizer = fresh(saved["w"])
    optimizer.load_state_dict(saved["optimizer"])
    train(resumed, optimizer, range(3, 6))
    assert torch.equal(through, resumed)


def test_a_step_leaves_the_gradients_alone_and_returns_the_loss():
    w = nn.Parameter(torch.ones(3))
    optimizer = LARS([w], 1.0, weight_decay=0.1, nesterov=True)

    def closure():
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert torch.equal(w.grad, torch.full_like(w, 2.0))


# Specs


def test_a_spec_sets_every_option():
    spec = OptimizerSpec(name="lars", momentum=0.8, nesterov=True, weight_decay=0.1, trust_coefficient=0.02,
                         zero_norm="formula", trust_clip=True)  # fmt: skip
    (group,) = make_optimizer(nn.Linear(2, 2), spec, 7.0).param_groups
    wanted = {"lr": 7.0, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "trust_coefficient": 0.02,
              "zero_norm": "formula", "trust_clip": True, "lr_in_momentum": False, "adapt": True}  # fmt: skip
    assert {k: v for k, v in group.items() if k in wanted} == wanted
    absorbed = make_optimizer(nn.Linear(2, 2), OptimizerSpec(name="lars", momentum_form="absorbed"), 1.0)
    assert absorbed.param_groups[0]["lr_in_momentum"]


def test_runs_without_lars_keep_their_names():
    assert canonical(OptimizerSpec()) == (
        '{"decay_skip":[],"momentum":0.9,"momentum_form":"reference","name":"sgd","nesterov":false,"weight_decay":0.0}'
    )
    assert '"adapt_skip":["bias"]' in canonical(OptimizerSpec(name="lars", adapt_skip=("bias",)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "lars", "momentum_form": "absorbed-corrected"}, "lars knows no .*'absorbed' and 'reference'"),
        ({"name": "lars", "fused": True}, "lars knows no fused"),
        ({"name": "lars", "trust_coefficient": -1.0}, "trust_coefficient must not be negative"),
        ({"trust_coefficient": 0.02}, "optimizer.trust_coefficient is for lars alone: leave it out for sgd"),
        ({"name": "adam", "adapt_skip": ("bn",)}, "adapt_skip is for lars alone"),
    ],
)
def test_bad_specs_are_refused_by_name(options, says):
    with pytest.raises(SpecError, match=says):
        make_optimizer(nn.Linear(2, 2), OptimizerSpec(**options), 0.1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": -1.0}, "lr must not be negative"),
        ({"momentum": float("nan")}, "momentum must not be negative"),
        ({"zero_norm": "skip"}, "zero_norm='skip' is no rule; there are: one, formula"),
    ],
)
def test_values_out_of_range_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        LARS([nn.Parameter(torch.ones(1))], **{"lr": 0.1, **options})
