"""Schedules, noise, accumulators and counts against what the paper says and against brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from replications.smith_b import PAPER, checks, method
from replications.smith_b.experiments import CONTROLS, IMAGENET, SETUPS, arm, counterpart, imagenet
from replications.smith_b.method import Rule
from replications.smith_b.module import Module
from shared.pace import Pace

DROPS = (0.3, 0.6, 0.8)
schedules = st.sampled_from(["decay", "hybrid", "increase"])


@given(schedules, st.integers(1, 200), st.floats(1.5, 10), st.integers(1, 3), st.none() | st.integers(1, 10**5))
def test_every_schedule_lets_the_noise_fall_by_the_factor(schedule, batch, factor, power, cap):
    """By whichever means, capped or not: ε·B^(−1/power), which is ε/B under the linear rule."""
    phases = Rule(0.1, batch, 0.9, schedule, DROPS, factor, cap, power).phases()
    noise = [p.lr / p.batch ** (1 / power) for p in phases]
    rounded = 1 / min(p.batch for p in phases)  # batches are whole
    for k, g in enumerate(noise):
        assert g == pytest.approx(noise[0] / factor**k, rel=rounded + 1e-9)
    assert all(b.batch >= a.batch and b.lr <= a.lr * (1 + 1e-12) for a, b in pairwise(phases))
    assert max(p.batch for p in phases) <= max(batch, cap or 10**12)


@pytest.mark.parametrize("power", [1, 2])
def test_the_control_lets_it_fall_twice_as_far(power):
    both, decay = (Rule(0.1, 32, 0.9, s, DROPS, power=power).phases() for s in ("both", "decay"))
    for k in range(4):
        assert both[k].lr == pytest.approx(decay[k].lr)
        assert both[k].batch == 32 * 5 ** (power * k)
    assert set(Rule(0.1, 32, 0.9, "constant", DROPS).phases()) == {(0.1, 32, 0.9)}


def test_a_drop_belongs_to_the_phase_that_it_begins():
    rule = Rule(0.1, 32, 0.9, "increase", DROPS)
    before = np.nextafter(0.3, 0)
    assert [rule.at(p).batch for p in (0, before, 0.3, 0.6, 0.8, 1.0)] == [32, 32, 160, 800, 4000, 4000]
    with pytest.raises(ValueError, match="between 0 and 1"):
        rule.at(1.01)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"drops": (0.6, 0.3)}, "rising fractions"),
        ({"drops": (0.3, 1.0)}, "rising fractions"),
        ({"factor": 1.0}, "factor must be above 1"),
        ({"schedule": "increase", "batch_size": 33, "bn_batch": 11, "factor": 1.5}, "bn_batch=11 does not divide"),
        ({"schedule": "increase", "epochs": 21}, "not whole epochs"),
        ({"schedule": "increase", "epochs": None, "updates": 20}, "length in epochs"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_with_its_spec(change, says):
    with pytest.raises(ValidationError, match=says):
        arm("reduced", "decay", 1).but(**change)


@pytest.mark.parametrize("preset", ["reduced", "smoke"])
def test_counts_in_closed_form_are_those_of_the_loaders(preset):
    n = SETUPS[preset].n
    for spec in PAPER.runs(preset, seeds=1).values():
        if spec.epochs:
            loops = sum(n // spec.batch_at(e) for e in range(spec.epochs))
            batches = [s.batch for s in spec.rule.phases()]
            assert method.updates(n, spec.epochs, batches, spec.drops) == loops == Pace(n, spec).before(spec.epochs)


@pytest.mark.parametrize("preset", ["paper", "reduced", "smoke"])
def test_the_control_of_increased_momentum_has_its_batches_updates_and_noise(preset):
    high, usual = (arm(preset, name, 1) for name in ("higher-momentum", "higher-lr-twice"))
    assert (usual.batches, usual.epochs, usual.drops, usual.cap) == (high.batches, high.epochs, high.drops, high.cap)
    noise = [[method.noise_scale(*at, SETUPS[preset].n) for at in spec.rule.phases()] for spec in (high, usual)]
    np.testing.assert_allclose(*noise, rtol=1e-9)
    assert usual.optimizer.momentum == 0.9 < high.optimizer.momentum


def test_equal_updates_are_equal():
    for preset, setup in SETUPS.items():
        spec, grown = arm(preset, "equal-updates", 1), arm(preset, "increase", 1)
        assert spec.updates == Pace(setup.n, grown).before(grown.epochs)
        assert spec.updates // spec.eval_every >= setup.epochs


def test_counts_need_a_batch_for_each_phase():
    with pytest.raises(ValueError, match="3 drops make 4 phases, not 2"):
        method.updates(100, 10, [1, 2], DROPS)


def test_the_accumulator_is_that_of_pytorch():
    """ΔA = −(1 − m)A + dC/dw, Δw = −εA with A(0) = 0 is torch's SGD, also while the rate changes."""
    gradients = np.random.default_rng(0).normal(size=30)
    rates = np.repeat([0.5, 0.1, 0.02], 10)
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], 0.5, momentum=0.98)
    path = []
    for g, lr in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        w.grad = torch.tensor([g])
        optimizer.step()
        path.append(w.item())
    held = method.accumulator(gradients, 0.98)
    np.testing.assert_allclose(path, np.cumsum(-rates * held), rtol=1e-12)


def test_noise_scale_is_the_variance_of_the_steps():
    """(ε²/B)(1 − B/N) per update of ε/N time makes g = ε(N/B − 1) for batches drawn without replacement."""
    rng, n, batch, lr = np.random.default_rng(1), 40, 8, 0.1
    samples = rng.normal(size=n)
    samples -= samples.mean()
    draws = np.array([rng.choice(samples, batch, replace=False).mean() for _ in range(40000)])
    per_time = lr**2 * draws.var() / (lr / n)
    covariance = samples.var(ddof=1)
    assert per_time / covariance == pytest.approx(method.noise_scale(lr, batch, 0.0, n), rel=0.03)
    assert method.noise_scale(lr, batch, 0.0, n, exact=False) == pytest.approx(lr * n / batch)


def test_controls_are_ours_alone_and_all_else_stands_for_an_arm_of_the_paper():
    for spec in PAPER.runs("reduced", seeds=1).values():
        assert (counterpart(spec) is None) == (spec.arm in CONTROLS)
    assert {s.arm for s in PAPER.runs("paper").values()} >= {*IMAGENET, *CONTROLS}


@pytest.mark.parametrize("name", IMAGENET)
def test_every_batch_of_imagenet_splits_over_eight_devices(name):
    from shared.datamodules.order import split

    spec = imagenet(name, 1)
    for batch in spec.batches:
        parts = split(batch, spec.bn_batch, 8, 256)
        assert {len(p) for p in parts} == {-(-batch // 2048)}
        assert all((s.stop - s.start) % spec.bn_batch == 0 for p in parts for s in p)


def test_a_wrong_count_or_schedule_is_caught(monkeypatch):
    """The checks are made of the method: one that forgets the cap or the −1 must fail them."""
    honest = method.Rule._after
    monkeypatch.setattr(Rule, "_after", lambda self, k: honest(self, k)._replace(lr=self.lr))
    assert not all(ok for _, ok in checks.schedules())
    monkeypatch.undo()
    approximate = method.noise_scale
    monkeypatch.setattr(method, "noise_scale", lambda *a, exact=True: approximate(*a, exact=False))
    assert not all(ok for _, ok in checks.noise())
    monkeypatch.undo()
    monkeypatch.setattr(method, "updates", lambda n, epochs, batches, drops, whole=True: n * epochs / batches[0])
    assert not all(ok for _, ok in checks.update_counts())


def test_resnet_50_warms_up_over_five_epochs_from_its_own_rate():
    spec = imagenet("resnet-50-constant", 1)
    module = Module(spec, nn.Linear(1, 1), steps_per_epoch=156)
    module.pace = Pace(1_281_167, spec)
    ends = [module.rate(u) for u in (0, 390, 780, 30 * 156 - 1, 30 * 156)]
    assert ends == pytest.approx([0.1, (0.1 + 3.2) / 2, 3.2, 3.2, 0.32])


def test_medians_are_those_of_the_stretches_between_the_drops():
    """Each evaluation's epoch as its value; where the drops lie elsewhere, so do the stretches."""
    rows = [{"epoch": float(e), "val/error": float(e), "train/loss": -float(e)} for e in range(1, 101)]

    def medians(drops):
        module = Module(arm("reduced", "decay", 1).but(epochs=100, drops=drops), nn.Linear(1, 1), steps_per_epoch=1)
        return module.summarise(rows)

    found = medians(DROPS)
    assert {k: v for k, v in found.items() if k.endswith("val/error")} == {
        "before/val/error": (20 + 29) / 2,
        "after/val/error": 33,
        "sag/val/error": (45 + 59) / 2,
        "second/val/error": (63 + 77) / 2,
        "end/val/error": (83 + 100) / 2,
    }
    assert found["sag/train/loss"] == -found["sag/val/error"]
    moved = medians((0.5, 0.7, 0.9))
    assert moved["before/val/error"] == (34 + 48) / 2  # 0.2 and 0.29 of 0.3 are 0.333 and 0.483 of 0.5
    assert moved["end/val/error"] == (92 + 100) / 2  # 0.825 lies an eighth of the way from the last drop to the end
