from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from replications.you import method
from replications.you.method import lars_step, learning_rate, local_rate
from shared.optim import make_optimizer
from shared.spec import OptimizerSpec

quick = settings(max_examples=60)
lengths = st.integers(2, 300).flatmap(lambda n: st.tuples(st.just(n), st.floats(0, n - 1)))


@quick
@given(lengths=lengths, lr=st.floats(0.01, 40), start=st.floats(0, 1), jump=st.booleans())
def test_warmup_is_an_even_ramp_and_what_follows_falls(lengths, lr, start, jump):
    steps, warmup = lengths
    kw = {"steps": steps, "lr": lr, "warmup_steps": warmup, "warmup_lr": start * lr, "jump": jump}
    path = [learning_rate(t, **kw) for t in range(steps)]
    first = math.ceil(warmup)
    if first:
        assert path[0] == start * lr
        np.testing.assert_allclose(np.diff(path[:first]), (1 - start) * lr / warmup, rtol=0, atol=1e-9 * lr)
    assert max(path) <= lr * (1 + 1e-12)
    assert all(b < a for a, b in pairwise(path[first:]))


def test_the_jump_and_its_absence():
    kw = {"steps": 1000, "lr": 14.0, "warmup_steps": 50, "warmup_lr": 1.0}
    assert learning_rate(50, **kw) == pytest.approx(14 * 0.95**2)
    assert learning_rate(50, **kw, jump=False) == 14.0
    assert learning_rate(525, **kw, jump=False) == pytest.approx(14 / 4)  # half of what is left
    assert learning_rate(500, **kw) == pytest.approx(14 / 4)  # half of all
    assert learning_rate(500, **kw, power=1.0) == 7.0


def test_without_warmup_it_is_the_printed_formula():
    path = [learning_rate(t, steps=40, lr=0.02) for t in range(40)]
    np.testing.assert_allclose(path, [0.02 * (1 - t / 40) ** 2 for t in range(40)], rtol=1e-12)


@pytest.mark.parametrize("bad", [{"step": -1}, {"step": 10}, {"warmup_steps": 10}, {"warmup_steps": -1}], ids=str)
def test_the_schedule_rejects_what_lies_outside(bad):
    with pytest.raises(ValueError, match="warmup_steps < steps=10"):
        learning_rate(**{"step": 0, "steps": 10, "lr": 1.0, **bad})


def test_progress_beyond_the_end_is_refused():
    with pytest.raises(ValueError, match=r"progress=1.1 lies outside \[0, 1\]"):
        method.poly_decay(1.1)


def test_scaling_and_growth():
    assert method.scaled_lr(0.02, 8192, 512) == pytest.approx(0.32)
    assert method.growth_exponent((0.02, 0.32), (512, 8192)) == pytest.approx(1.0)
    assert method.growth_exponent((2.0, 8.0), (512, 8192)) == pytest.approx(0.5)
    assert method.iterations(1000, 100, 2.5) == 25
    with pytest.raises(ValueError, match="base_batch=0"):
        method.scaled_lr(0.02, 64, 0)


def test_local_rates_where_a_norm_is_zero():
    assert local_rate(0.0, 2.0) == 0.0
    assert local_rate(3.0, 0.0, weight_decay=0.5) == pytest.approx(0.001 / 0.5)
    assert math.isnan(local_rate(0.0, 0.0, weight_decay=0.5))
    assert local_rate(3.0, 0.0) == math.inf


@settings(max_examples=25)
@given(
    lrs=st.lists(st.floats(0.01, 40), min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
    momentum=st.floats(0, 0.99),
    decay=st.sampled_from([0.0, 5e-4, 0.1]),
    form=st.sampled_from(["absorbed", "reference"]),
)
def test_the_optimizer_that_trains_is_the_method(lrs, seed, momentum, decay, form):
    rng = np.random.default_rng(seed)
    w, v = rng.normal(size=(1, 4)), np.zeros((1, 4))
    net = torch.nn.Linear(4, 1, bias=False, dtype=torch.float64)
    net.weight.data = torch.tensor(w)
    spec = OptimizerSpec(name="lars", momentum=momentum, momentum_form=form, weight_decay=decay)
    optimizer = make_optimizer(net, spec, lr=1.0)
    for lr in lrs:
        g = rng.normal(size=(1, 4)) * 10.0 ** rng.integers(-4, 4)
        w, v = lars_step(w, v, g, lr, momentum=momentum, weight_decay=decay, lr_in_momentum=form == "absorbed")
        optimizer.param_groups[0]["lr"] = lr
        net.weight.grad = torch.tensor(g)
        optimizer.step()
        np.testing.assert_allclose(net.weight.detach().numpy(), w, rtol=1e-11, atol=1e-11 * abs(w).max())


def test_a_step_leaves_its_arguments_alone():
    w, v, g = np.ones(2), np.ones(2), np.ones(2)
    lars_step(w, v, g, 1.0, weight_decay=0.1)
    assert w.tolist() == v.tolist() == g.tolist() == [1, 1]


def test_bounds():
    assert method.largest_local_rate(5e-4) == 2.0
    assert method.largest_step(10.0, 3.0) == pytest.approx(0.03)
    assert method.largest_step(10.0, 3.0, 0.9) == pytest.approx(0.3)
    assert method.largest_norm(2.0, [100.0, 1000.0]) == pytest.approx(2 * 1.1 * 2)
    assert method.gaussian_norm(0.01, 10_000) == 1.0
    assert method.constant_norm(-0.1, 400) == 2.0


def test_final_accuracy_takes_the_last_twentieth():
    errors = {float(e): 100.0 - e for e in range(1, 101)}
    assert method.final_accuracy(errors, 100) == pytest.approx(98.0)  # 96 … 100
    assert method.final_accuracy({4.0: 50.0, 8.0: 20.0, 16.0: 10.0}, 16) == 90.0
    with pytest.raises(ValueError, match="no evaluation"):
        method.final_accuracy({}, 16)


@quick
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 7))
def test_expected_best_is_the_mean_over_all_subsets(seed, n):
    rng = np.random.default_rng(seed)
    by, worth = rng.integers(4, size=n).tolist(), rng.normal(size=n).tolist()  # with ties, which go to the earlier

    def best(chosen):
        return worth[max(chosen, key=lambda i: (by[i], -i))]

    expected = [np.mean([best(c) for c in combinations(range(n), k)]) for k in range(1, n + 1)]
    np.testing.assert_allclose(method.expected_best(by, worth), expected, atol=1e-12)


def test_expected_best_refuses_what_does_not_pair():
    with pytest.raises(ValueError, match="not 1 for 2"):
        method.expected_best([1.0, 2.0], [1.0])


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_quasi_random_points_fill_the_cube_more_evenly_than_random_ones(dimensions):
    """Discrepancy of 32 points against the median of random sets of as many."""
    points = np.array([method.quasi_random(i, dimensions) for i in range(32)])
    assert points.shape == (32, dimensions)
    assert ((points >= 0) & (points < 1)).all()
    rng = np.random.default_rng(0)
    random = [qmc.discrepancy(rng.random((32, dimensions))) for _ in range(50)]
    assert qmc.discrepancy(points) < 0.6 * np.median(random)
