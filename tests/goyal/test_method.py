from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replications.goyal.method import (
    absorbed_step,
    aggregate,
    halving_doubling_allreduce,
    iterations,
    learning_rate,
    reference_step,
    ring_allreduce,
    scaled_lr,
    split_shuffle,
)
from shared.optim import make_optimizer
from shared.spec import OptimizerSpec

quick = settings(max_examples=60, deadline=None)
rates = st.floats(1e-4, 1.0)
seeds = st.integers(0, 2**32 - 1)
SCHEDULE = {
    "steps_per_epoch": 100,
    "lr": 3.2,
    "warmup": "gradual",
    "warmup_epochs": 5,
    "warmup_lr": 0.1,
    "milestones": (30, 60, 80),
    "decay": 0.1,
}


# Learning rate


@pytest.mark.parametrize(
    ("rule", "expected"), [("linear", 3.2), ("sqrt", 0.1 * math.sqrt(32)), ("fixed", 0.1)], ids=lambda x: str(x)
)
def test_scaled_lr_at_8k_follows_the_rule(rule, expected):
    assert scaled_lr(0.1, 8192, 256, rule) == pytest.approx(expected, rel=1e-15)
    assert scaled_lr(0.1, 256, 256, rule) == 0.1


def test_linear_scaling_also_goes_down():
    assert scaled_lr(0.1, 64, 256) == 0.025


def test_scaled_lr_rejects_bad_input():
    with pytest.raises(ValueError, match=r"cubic.*linear, sqrt, fixed"):
        scaled_lr(0.1, 64, 256, "cubic")
    with pytest.raises(ValueError, match="base_batch=0"):
        scaled_lr(0.1, 64, 0)


@quick
@given(low=rates, high=rates, epochs=st.floats(0.1, 6), per_epoch=st.floats(1, 60))
def test_gradual_warmup_is_an_even_ramp_that_meets_the_reference_rate(low, high, epochs, per_epoch):
    low, high = sorted((low, high))
    length = epochs * per_epoch
    kw = SCHEDULE | {"steps_per_epoch": per_epoch, "lr": high, "warmup_lr": low, "warmup_epochs": epochs}
    ramp = [learning_rate(t, **{**kw, "milestones": ()}) for t in range(math.ceil(length) + 3)]
    increment = (high - low) / length
    assert ramp[0] == low
    assert all(b >= a for a, b in pairwise(ramp))
    np.testing.assert_allclose(np.diff(ramp[: math.ceil(length)]), increment, rtol=0, atol=1e-12)
    first_full = math.ceil(length)
    assert ramp[first_full] == ramp[first_full + 1] == high
    assert high - ramp[first_full - 1] <= increment + 1e-12  # no jump at T_w


def test_gradual_warmup_is_set_per_update_not_per_epoch():
    within = {learning_rate(t, **SCHEDULE) for t in range(100)}
    assert len(within) == 100


def test_constant_warmup_jumps_once():
    values = [learning_rate(t, **SCHEDULE | {"warmup": "constant"}) for t in range(600)]
    assert values == [0.1] * 500 + [3.2] * 100


@pytest.mark.parametrize("no_warmup", [{"warmup": "none"}, {"warmup_epochs": 0}], ids=["none", "no length"])
def test_without_warmup_the_first_update_has_the_full_rate(no_warmup):
    assert [learning_rate(t, **SCHEDULE | no_warmup) for t in (0, 1, 2999)] == [3.2] * 3


@pytest.mark.parametrize("warmup", ["none", "constant", "gradual"])
def test_milestones_count_from_the_start_of_training(warmup):
    kw = SCHEDULE | {"warmup": warmup}
    expected = {2999: 3.2, 3000: 0.32, 5999: 0.32, 6000: 0.032, 7999: 0.032, 8000: 0.0032, 8999: 0.0032}
    assert {t: learning_rate(t, **kw) for t in expected} == pytest.approx(expected, rel=1e-12)


def test_a_milestone_inside_the_warmup_also_lowers_the_ramp():
    kw = SCHEDULE | {"milestones": (2,)}
    plain = learning_rate(250, **SCHEDULE)
    assert learning_rate(250, **kw) == pytest.approx(plain / 10)


@pytest.mark.parametrize("bad", [{"step": -1}, {"steps_per_epoch": 0}, {"warmup": "cosine"}], ids=str)
def test_learning_rate_rejects_bad_input(bad):
    with pytest.raises(ValueError, match="unknown warm-up" if "warmup" in bad else "need step"):
        learning_rate(**{"step": 0, **SCHEDULE, **bad})


def test_iterations_are_the_real_number():
    assert iterations(1_281_167, 256, 1) == pytest.approx(5004.559, abs=1e-3)
    assert iterations(1000, 100, 2.5) == 25


# Momentum


@quick
@given(
    lrs=st.lists(rates, min_size=2, max_size=40),
    seed=seeds,
    momentum=st.floats(0, 0.99),
    nesterov=st.booleans(),
    decay=st.floats(0, 0.1),
)
def test_corrected_absorbed_momentum_is_the_reference(lrs, seed, momentum, nesterov, decay):
    rng = np.random.default_rng(seed)
    w = a = rng.normal(size=3)
    u = v = np.zeros(3)
    kw = {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
    previous = None
    for lr in lrs:
        g = rng.normal(size=3)
        w, u = reference_step(w, u, g, lr, **kw)
        a, v = absorbed_step(a, v, g, lr, previous_lr=previous, **kw)
        previous = lr
        tolerance = 1e-12 * max(1, *abs(w), *abs(u))
        np.testing.assert_allclose(a, w, rtol=0, atol=tolerance)
        np.testing.assert_allclose(v, lr * u, rtol=0, atol=tolerance)


@quick
@given(lr=rates, ratio=st.floats(1.5, 20), momentum=st.floats(0.1, 0.99), nesterov=st.booleans())
def test_without_correction_the_forms_part_where_the_rate_changes(lr, ratio, momentum, nesterov):
    kw = {"momentum": momentum, "nesterov": nesterov}
    (w, u), (a, v) = reference_step(0.0, 0.0, 1.0, lr, **kw), absorbed_step(0.0, 0.0, 1.0, lr, **kw)
    assert a == pytest.approx(w, rel=1e-12)  # alike while the rate is constant
    w2, a2 = reference_step(w, u, 1.0, ratio * lr, **kw)[0], absorbed_step(a, v, 1.0, ratio * lr, **kw)[0]
    missing = (momentum**2 if nesterov else momentum) * (ratio - 1) * lr  # the old buffer at its old rate
    assert a2 - w2 == pytest.approx(missing, rel=1e-9)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("form", ["reference", "absorbed", "absorbed-corrected"])
def test_the_optimizer_that_trains_is_the_method(form, nesterov):
    rng = np.random.default_rng(0)
    w, buffer, previous = rng.normal(size=(4, 1)).T, np.zeros((1, 4)), None
    net = torch.nn.Linear(4, 1, bias=False, dtype=torch.float64)
    net.weight.data = torch.tensor(w)
    spec = OptimizerSpec(momentum=0.9, nesterov=nesterov, momentum_form=form, weight_decay=0.01)
    optimizer = make_optimizer(net, spec, lr=0.1)
    kw = {"momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.01}
    for lr in (0.1, 0.3, 0.03, 0.03, 0.2):
        g = rng.normal(size=(1, 4))
        if form == "reference":
            w, buffer = reference_step(w, buffer, g, lr, **kw)
        else:
            before = previous if form == "absorbed-corrected" else None
            w, buffer = absorbed_step(w, buffer, g, lr, previous_lr=before, **kw)
        previous = lr
        for group in optimizer.param_groups:
            group["lr"] = lr
        net.weight.grad = torch.tensor(g)
        optimizer.step()
        np.testing.assert_allclose(net.weight.detach().numpy(), w, rtol=1e-12)


def test_against_caffe2_nesterov():
    v, g, lr, m = 0.7, 0.3, 0.2, 0.9
    moved, after = absorbed_step(0.0, v, g, lr, momentum=m, nesterov=True)
    assert -moved == pytest.approx((1 + m) * after - m * v, rel=1e-14)


def test_weight_decay_alone_shrinks_by_one_minus_eta_lambda():
    for form in (reference_step, absorbed_step):
        assert form(2.0, 0.0, 0.0, 0.5, momentum=0.9, weight_decay=0.1)[0] == pytest.approx(2.0 * (1 - 0.05))


def test_steps_leave_their_arguments_alone():
    w, v, g = np.ones(2), np.ones(2), np.ones(2)
    reference_step(w, v, g, 0.1, momentum=0.9)
    absorbed_step(w, v, g, 0.1, momentum=0.9, previous_lr=0.2)
    assert w.tolist() == v.tolist() == g.tolist() == [1, 1]


def test_correction_needs_a_previous_rate_above_zero():
    with pytest.raises(ValueError, match="previous learning rate, which is 0"):
        absorbed_step(0.0, 0.0, 1.0, 0.1, momentum=0.9, previous_lr=0.0)


# Data parallelism


@quick
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=seeds)
def test_aggregate_by_kn_is_the_mean_over_all_samples_also_for_unequal_workers(sizes, seed):
    workers = [np.random.default_rng([seed, j]).normal(size=(n, 2, 3)) for j, n in enumerate(sizes)]
    np.testing.assert_allclose(aggregate(workers), np.concatenate(workers).mean(axis=0), rtol=1e-9, atol=1e-12)


def test_aggregate_by_n_is_k_times_too_long():
    workers = np.random.default_rng(0).normal(size=(4, 8, 3))
    np.testing.assert_allclose(aggregate(workers, by="n"), 4 * aggregate(workers), rtol=1e-12)


@quick
@given(n=st.integers(1, 200), k=st.integers(1, 16), seed=seeds, epoch=st.integers(0, 99))
def test_split_shuffle_is_a_partition(n, k, seed, epoch):
    if n < k:
        with pytest.raises(ValueError, match=f"{n} samples over {k} workers"):
            split_shuffle(n, k, seed, epoch)
        return
    parts = split_shuffle(n, k, seed, epoch)
    assert len(parts) == k
    assert sorted(np.concatenate(parts)) == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@quick
@given(k=st.integers(1, 8), n=st.integers(1, 5), steps=st.integers(1, 6), seed=seeds)
def test_every_global_step_has_the_samples_of_the_one_process_step(k, n, steps, seed):
    size = k * n * steps + 3
    single, parts = split_shuffle(size, 1, seed, 0)[0], split_shuffle(max(size, k), k, seed, 0)
    for t in range(steps):
        together = np.concatenate([p[t * n : (t + 1) * n] for p in parts])
        assert set(together) == set(single[t * k * n : (t + 1) * k * n])


def test_each_epoch_and_seed_has_its_own_order():
    orders = {tuple(split_shuffle(50, 1, seed, epoch)[0]) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@quick
@given(p=st.integers(1, 13), b=st.integers(0, 40), seed=seeds)
def test_allreduce_sums_on_any_number_of_servers(p, b, seed):
    buffers = np.random.default_rng(seed).integers(-99, 99, size=(p, b)).astype(float)
    before = buffers.copy()
    ring, halving = ring_allreduce(buffers), halving_doubling_allreduce(buffers)
    for done in (ring, halving):
        assert np.array_equal(done.results, np.tile(before.sum(axis=0), (p, 1)))
        assert done.sent.sum() == 2 * (p - 1) * b * 8  # the least any such algorithm can send
    assert ring.steps == 2 * (p - 1)
    assert halving.steps == 2 * math.ceil(math.log2(p))
    assert np.array_equal(buffers, before)


@pytest.mark.parametrize("p", [2, 4, 8, 32])
def test_both_allreduces_send_the_same_bytes_but_halving_takes_fewer_steps(p):
    buffers = np.ones((p, 64))
    ring, halving = ring_allreduce(buffers), halving_doubling_allreduce(buffers)
    assert set(ring.sent) == set(halving.sent) == {2 * (p - 1) * 64 * 8 // p}
    assert (halving.steps < ring.steps) == (p > 2)


def test_allreduce_rejects_a_flat_array():
    with pytest.raises(ValueError, match=r"one buffer a server.*shape \(3,\)"):
        ring_allreduce(np.ones(3))
