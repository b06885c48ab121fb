"""How batches are drawn, and how the net starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.datamodules.order import EpochBatches
from shared.models import build
from shared.spec import ModelSpec, SpecError


def epoch(draw: str, number: int = 0, n: int = 100, batch: int = 10, seed: int = 1) -> list[np.ndarray]:
    batches = EpochBatches(n, batch, seed, draw=draw)
    batches.set_epoch(number)
    return [b.ids for b in batches]


def test_an_epoch_holds_each_image_once_unless_batches_are_drawn_afresh():
    assert sorted(np.concatenate(epoch("permutation"))) == list(range(100))
    for draw in ("batch", "replacement"):
        drawn = epoch(draw)
        assert [len(ids) for ids in drawn] == [10] * 10
        assert len(set(np.concatenate(drawn))) < 100


def test_a_batch_holds_an_image_twice_only_with_replacement():
    for draw, repeats in (("permutation", False), ("batch", False), ("replacement", True)):
        found = any(len(set(ids)) < len(ids) for number in range(5) for ids in epoch(draw, number, batch=50))
        assert found == repeats, draw


@pytest.mark.parametrize("draw", ["batch", "replacement"])
def test_drawing_depends_on_seed_and_epoch_alone_and_resumes(draw):
    first = epoch(draw, 3)
    for a, b in zip(first, epoch(draw, 3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], epoch(draw, 4)[0])
    assert not np.array_equal(first[0], epoch(draw, 3, seed=2)[0])
    resumed = EpochBatches(100, 10, 1, draw=draw)
    resumed.load_state_dict({"epoch": 3, "position": 4, "accumulate": 1, "n": 100, "batch_size": 10, "seed": 1})
    np.testing.assert_array_equal(next(iter(resumed)).ids, first[4])


@pytest.mark.parametrize("draw", ["batch", "replacement"])
def test_every_image_is_drawn_equally_often(draw):
    counts = np.bincount(np.concatenate([ids for k in range(200) for ids in epoch(draw, k)]), minlength=100)
    assert abs(counts - 200).max() < 5 * np.sqrt(200)


@pytest.mark.parametrize("b", [5, 50])
def test_variance_of_a_batch_mean_is_what_the_noise_scale_assumes(b):
    """(N − B)/(N − 1)·σ²/B without replacement, σ²/B with it (Smith and Le 2017, §5)."""
    values = np.random.default_rng(0).normal(0, 1, 100)
    for draw, factor in (("batch", (100 - b) / 99), ("replacement", 1.0)):
        means = [values[ids].mean() for k in range(300) for ids in epoch(draw, k, batch=b)]
        assert np.var(means) == pytest.approx(factor * np.var(values) / b, rel=0.15)


def test_drawing_afresh_leaves_no_partial_batch():
    assert [len(ids) for ids in epoch("batch", batch=30)] == [30, 30, 30]


@pytest.mark.parametrize(
    ("init", "hidden", "last"),
    [("he", (2 / 784) ** 0.5, 0.01), ("glorot", (2 / 1584) ** 0.5, (2 / 810) ** 0.5), ("normal", 0.01, 0.01)],
)
def test_initial_weights_have_the_stated_deviation(init, hidden, last):
    torch.manual_seed(0)
    net = build(ModelSpec(name="mlp", args={"init": init}), 10, (1, 28, 28))
    assert sum(p.numel() for p in net.parameters()) == 636010
    assert net[1].weight.std().item() == pytest.approx(hidden, rel=0.02)
    assert net[-1].weight.std().item() == pytest.approx(last, rel=0.05)
    assert not net[1].bias.any()
    assert not net[-1].bias.any()


def test_an_unknown_start_is_refused_by_name():
    with pytest.raises(SpecError, match=r"init='xavier'.*he, glorot, normal"):
        build(ModelSpec(name="mlp", args={"init": "xavier"}), 10, (1, 28, 28))
