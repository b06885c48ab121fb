"""Augmentation against a plain per-image reference, and its independence of how samples are grouped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from shared.datamodules.augment import PAD, Draws, Normalise, augment, motions, offsets
from shared.datamodules.loaders import ArrayImages
from shared.datamodules.order import EpochBatches, MicroBatch


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 8, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "pad", "fill", "flips"),
    [("flip", 0, 0, True), ("crop-flip", 4, 0, True), ("grey-crop-flip", 4, 127, True),
     ("shift", 2, 0, False), ("shift-flip", 2, 0, True)],
)  # fmt: skip
def test_against_one_image_at_a_time(images, kind, pad, fill, flips):
    draws = Draws(50, seed=1).of(0, np.arange(50))
    before = images.copy()
    out = augment(images, draws, kind)
    assert np.array_equal(images, before)
    for image, got, dy, dx, flip in zip(images, out, *offsets(draws, pad), strict=True):
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), constant_values=fill)
        expected = padded[dy : dy + 8, dx : dx + 9]
        assert np.array_equal(got, expected[:, ::-1] if flip and flips else expected)


def test_draws_are_uniform_and_new_each_epoch():
    draws = Draws(20000, seed=0)
    dy, dx, flip = offsets(draws.of(0, np.arange(20000)))
    assert set(dy) == set(dx) == set(range(2 * PAD + 1))
    assert abs(flip.mean() - 0.5) < 0.02
    joint = np.histogram2d(dy * 9 + dx, flip, bins=(81, 2))[0]
    expected = 20000 / 162
    assert ((joint - expected) ** 2 / expected).sum() < 230  # chi-square, 161 degrees of freedom, p ≈ 3e-4
    assert (draws.of(1, np.arange(20000)) != draws.of(0, np.arange(20000))).all()


def test_rotated_and_shifted_against_scipy(images):
    """Keras 1 hands R·T about the centre to this very function, then mirrors."""
    draws = Draws(50, seed=1).of(0, np.arange(50))
    before = images.copy()
    out = augment(images, draws, "flip-rotate-shift")
    assert np.array_equal(images, before)
    size = np.array([8.0, 9.0])
    for image, got, angle, dy, dx, flip in zip(images, out, *motions(draws), strict=True):
        theta = np.radians(10) * angle
        turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
        offset = (size - 1) / 2 + turn @ (0.2 * size * [dy, dx] - (size - 1) / 2)
        moved = [ndimage.affine_transform(image[..., c], turn, offset, order=0, mode="nearest") for c in range(3)]
        expected = np.stack(moved, axis=-1)[:, ::-1] if flip else np.stack(moved, axis=-1)
        assert np.mean(got != expected) < 0.02  # float32 rounds a coordinate near ½ the other way at times


def test_motions_fill_their_ranges_independently():
    drawn = motions(Draws(20000, seed=0).of(0, np.arange(20000)))
    for values in drawn[:3]:
        assert np.abs(np.histogram(values, bins=20, range=(-1, 1))[0] - 1000).max() < 150
    assert np.abs(np.corrcoef(np.stack(drawn)) - np.eye(4)).max() < 0.03
    assert abs(drawn[3].mean() - 0.5) < 0.02


@pytest.mark.parametrize("kind", ["crop-flip", "flip-rotate-shift", "shift"])
def test_grouping_does_not_matter(images, kind):
    labels = np.arange(50)
    normal = Normalise((0.5, 0.4, 0.3), (0.2, 0.2, 0.3), 8, 9)
    source = ArrayImages(images, labels, np.arange(5, 50), kind, normal, seed=4)
    order = np.random.default_rng(1).permutation(45)
    whole, _ = source.take([MicroBatch(order, 1.0)], epoch=2)
    for size in (1, 7, 45):
        batches = [MicroBatch(order[i : i + size], 1.0) for i in range(0, 45, size)]
        parts = list(source.blocks(batches, epoch=2))
        assert [len(x) for x, _ in parts] == [len(b.ids) for b in batches]
        assert torch.equal(torch.cat([x for x, _ in parts]), whole)
        assert torch.cat([y for _, y in parts]).tolist() == (order + 5).tolist()


@pytest.mark.parametrize("draw", ["permutation", "replacement"])
def test_an_image_that_comes_twice_is_augmented_alike_or_each_time_by_itself(images, draw):
    """Alike is the default; by place is as a data loader does it that transforms whatever it fetches."""
    plain = Normalise((0.0,) * 3, (1.0,) * 3, 8, 9)
    looks = {}
    for per_place in (False, True):
        source = ArrayImages(images, np.arange(50), np.arange(50), "crop-flip", plain, seed=4, per_place=per_place)
        batches = EpochBatches(50, 10, 1, draw=draw)
        whole = [(i, x) for b, (xs, _) in zip(batches.remaining(), source.blocks(batches.remaining(), 0), strict=True)
                 for i, x in zip(b.ids, xs, strict=True)]  # fmt: skip
        again = source.take([MicroBatch(np.array([i for i, _ in whole]), 1.0)], 0)[0]
        assert torch.equal(torch.stack([x for _, x in whole]), again)
        looks[per_place] = {i: {x.numpy().tobytes() for j, x in whole if j == i} for i, _ in whole}
    assert {len(found) for found in looks[False].values()} == {1}
    assert (max(len(found) for found in looks[True].values()) > 1) == (draw == "replacement")


def test_normalised_images_have_the_layout_and_values(images):
    out = Normalise((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 8, 9)(images)
    assert out.shape == (50, 3, 8, 9)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    expected = (images / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]
    np.testing.assert_allclose(out.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
