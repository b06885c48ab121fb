"""What a run trains on and is evaluated on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.datamodules import DataError, SplitError, load, make_datamodule
from shared.datamodules.loaders import EvalLoader
from shared.datamodules.module import subset
from shared.spec import DataSpec, Execution, ModelSpec


def digest(images) -> list[bytes]:
    return [x.numpy().tobytes() for x in images]


def test_the_attributes_of_a_run(make_spec):
    data = make_datamodule(make_spec(batch_size=100), Execution())
    data.setup()
    assert (data.num_classes, data.input_shape, data.train_size, data.steps_per_epoch) == (10, (1, 8, 8), 1437, 14)
    assert data.data_name == "digits"
    assert data.sha256 == load("digits").sha256
    images, labels, weight = next(iter(data.train_dataloader()))
    assert images.shape == (100, 1, 8, 8)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert weight == 1.0
    assert len(data.train_dataloader()) == 14


def test_the_images_belong_to_their_labels(make_spec):
    data = make_datamodule(make_spec(batch_size=50), Execution())
    arrays = load("digits")
    known = {a.tobytes(): int(y) for a, y in zip(arrays.train_x, arrays.train_y, strict=True)}
    for images, labels, _ in [*data.train_dataloader()][:3]:
        pixels = ((images * arrays.std[0] + arrays.mean[0]) * 255).round().to(torch.uint8).numpy()
        assert [known[p.tobytes()] for p in pixels] == labels.tolist()


def test_subsets_are_fixed_and_apart():
    with_holdout = subset(1000, DataSpec(name="x", train_size=300, holdout=100))
    without = subset(1000, DataSpec(name="x", train_size=300))
    everything, held = subset(1000, DataSpec(name="x", holdout=100))
    assert np.array_equal(with_holdout[0], without[0])
    assert len(without[1]) == 0
    assert np.array_equal(with_holdout[1], held)
    assert not set(with_holdout[0]) & set(held)
    assert sorted([*everything, *held]) == list(range(1000))


def test_holdout_images_are_evaluated_on_and_not_trained_on(make_spec):
    a, b = (make_datamodule(make_spec(batch_size=1, seed=s, train_size=200, holdout=150), Execution()) for s in (0, 1))
    trained = [sorted(d for x, _, _ in m.train_dataloader() for d in digest(x)) for m in (a, b)]
    assert trained[0] == trained[1]
    assert len(trained[0]) == 200
    held = [d for x, _ in a.val_dataloader() for d in digest(x)]
    assert len(held) == 150
    assert held == [d for x, _ in b.val_dataloader() for d in digest(x)]
    assert not set(held) & set(trained[0])


@pytest.mark.parametrize("fields", [dict(train_size=0), dict(train_size=1400, holdout=100), dict(holdout=-1)])
def test_impossible_subsets_are_explained(make_spec, fields):
    with pytest.raises(DataError, match="digits has 1437 training images"):
        make_datamodule(make_spec(**fields), Execution()).setup()


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [5, 100])
def test_evaluation_is_shared_without_loss_or_repeat(world, n):
    labels = np.arange(n)
    images = np.zeros((n, 2, 2, 1), np.uint8)
    seen = []
    for rank in range(world):
        loader = EvalLoader(images, labels, lambda x: torch.from_numpy(x), batch=8, rank=rank, world=world)
        batches = list(loader)
        assert len(batches) == len(loader)
        assert all(len(x) == len(y) <= 8 for x, y in batches)
        seen += [int(i) for _, y in batches for i in y]
    assert sorted(seen) == list(range(n))


def test_the_test_set_comes_whole_and_plain(make_spec):
    data = make_datamodule(make_spec(augment="crop-flip"), Execution())
    arrays = load("digits")
    images = torch.cat([x for x, _ in data.val_dataloader()])
    plain = (arrays.test_x / 255 - arrays.mean[0]) / arrays.std[0]
    np.testing.assert_allclose(images.numpy(), plain, atol=1e-5)


def test_unit_pixels_are_scaled_and_nothing_else(make_spec):
    data = make_datamodule(make_spec(pixels="unit", batch_size=1437), Execution())
    arrays = load("digits")
    images = torch.cat([x for x, _ in data.val_dataloader()])
    np.testing.assert_allclose(images.numpy(), arrays.test_x / 255, atol=1e-7)
    ((trained, _, _),) = data.train_dataloader()
    np.testing.assert_allclose(sorted(trained.sum((1, 2, 3))), sorted(arrays.train_x.sum((1, 2, 3)) / 255), rtol=1e-5)
    assert (trained.min(), trained.max()) == (0, pytest.approx(1))


@pytest.mark.parametrize("holdout", [0, 150])
def test_plain_images_are_those_of_the_loaders_without_augmentation(make_spec, holdout):
    data = make_datamodule(make_spec(train_size=200, holdout=holdout, augment="flip-rotate-shift"), Execution())
    bare = make_datamodule(make_spec(train_size=200, holdout=holdout, batch_size=1), Execution())
    images, labels = data.plain("train")
    trained = {digest(x)[0]: int(y) for x, y, _ in bare.train_dataloader()}
    assert dict(zip(digest(images), labels.tolist(), strict=True)) == trained
    assert torch.equal(data.plain("train", 7)[0], images[:7])
    images, labels = data.plain("test")
    evaluated = list(data.val_dataloader())
    assert torch.equal(images, torch.cat([x for x, _ in evaluated]))
    assert torch.equal(labels, torch.cat([y for _, y in evaluated]))


def test_more_devices_than_batches_to_evaluate_are_refused_on_every_rank(make_spec, monkeypatch):
    monkeypatch.setattr("shared.datamodules.module.STATISTICS_BATCH", 100)
    spec = make_spec(model=ModelSpec(name="mlp-bn", args={"bn_eval": "batch"}))
    for rank in range(5):  # of 360 images four batches
        data = make_datamodule(spec, Execution())
        data._place = lambda rank=rank: (rank, 5)
        with pytest.raises(DataError, match="5 devices are more than its batches to evaluate"):
            data.val_dataloader()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_nets_that_evaluate_by_batch_get_the_same_batches_on_any_number_of_ranks(make_spec, world, monkeypatch):
    monkeypatch.setattr("shared.datamodules.module.STATISTICS_BATCH", 100)
    spec = make_spec(model=ModelSpec(name="mlp-bn", args={"bn_eval": "batch"}))
    batches = []
    for rank in range(world):
        data = make_datamodule(spec, Execution())
        data._place = lambda rank=rank: (rank, world)
        loader = data.val_dataloader()
        batches.append([digest(x) for x, _ in loader])
        assert len(batches[-1]) == len(loader)
    whole = digest(data.plain("test")[0])
    turns = [batches[i % world][i // world] for i in range(4)]
    assert turns == [whole[:100], whole[100:200], whole[200:300], whole[300:]]
    assert sum(map(len, batches)) == 4


@pytest.fixture
def by_class(monkeypatch):
    """Digits as a folder of images has them, class by class."""
    arrays = load("digits")
    train, test = (np.argsort(y, kind="stable") for y in (arrays.train_y, arrays.test_y))
    raw = replace(arrays, train_x=arrays.train_x[train], train_y=arrays.train_y[train],
                  test_x=arrays.test_x[test], test_y=arrays.test_y[test])  # fmt: skip
    monkeypatch.setattr("shared.datamodules.module.load", lambda *where: raw)
    return raw


def test_images_stored_class_by_class_come_mixed_where_their_order_counts(make_spec, by_class, monkeypatch):
    """Batch statistics of a batch of two classes are not those of the data, nor are the first hundred images."""
    monkeypatch.setattr("shared.datamodules.module.STATISTICS_BATCH", 180)
    spec = make_spec(model=ModelSpec(name="mlp-bn", args={"bn_eval": "batch"}), train_size=1000)
    data = make_datamodule(spec, Execution())
    batches = [y for _, y in data.val_dataloader()]
    assert [len(b) for b in batches] == [180, 180]
    assert all(set(b.tolist()) == set(range(10)) for b in batches)
    assert sorted(torch.cat(batches).tolist()) == by_class.test_y.tolist()
    images, labels = data.plain("test")
    assert torch.equal(labels, torch.cat(batches))
    assert torch.equal(images, torch.cat([x for x, _ in data.val_dataloader()]))
    assert set(data.plain("train", 100)[1].tolist()) == set(range(10))
    held = make_datamodule(make_spec(train_size=1000, holdout=400), Execution())
    assert set(held.plain("test", 100)[1].tolist()) == set(range(10))
    assert torch.equal(data.plain("train")[0], held.plain("train")[0])


def test_images_in_an_order_of_their_own_keep_it(make_spec):
    arrays = load("digits")
    assert make_datamodule(make_spec(), Execution()).plain("test")[1].tolist() == arrays.test_y.tolist()


def test_micro_batches_and_devices_do_not_change_what_is_trained_on(make_spec):
    spec = make_spec(batch_size=96, bn_batch=16, augment="crop-flip", train_size=400)
    whole = make_datamodule(spec, Execution())
    expected = [digest(x) for x, _, _ in whole.train_dataloader()]
    for execution in (Execution(micro_batch=16), Execution(devices=2), Execution(devices=3, micro_batch=16)):
        data = make_datamodule(spec, execution)
        data.setup()
        streams = []
        for rank in range(execution.world_size):
            data._place = lambda rank=rank, world=execution.world_size: (rank, world)
            streams.append([digest(x) for x, _, _ in data.train_dataloader()])
        a = data.accumulate
        for u, batch in enumerate(expected):
            assert [d for s in streams for part in s[u * a : (u + 1) * a] for d in part] == batch


def test_statistics_are_of_the_images_of_epoch_0(make_spec):
    data = make_datamodule(make_spec(augment="crop-flip"), Execution())
    trained = [d for x, _, _ in data.train_dataloader() for d in digest(x)]
    batches = [digest(x) for x, _ in data.train_batches_for_statistics(150, 64)]
    assert [len(b) for b in batches] == [64, 64, 22]
    assert [d for b in batches for d in b] == trained[:150]


def test_batches_that_do_not_fit_are_explained(make_spec):
    with pytest.raises(SplitError, match="over 2 devices"):
        make_datamodule(make_spec(batch_size=32, bn_batch=32), Execution(devices=2))
    with pytest.raises(SplitError, match="batch_size=2000 exceeds the 1437"):
        make_datamodule(make_spec(batch_size=2000), Execution()).setup()
    with pytest.raises(DataError, match="needs images in a folder"):
        make_datamodule(make_spec(augment="imagenet"), Execution()).setup()
