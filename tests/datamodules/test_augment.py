"""Augmentation against a plain per-image reference, and its independence of how samples are grouped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.datamodules.augment import PAD, Draws, Normalise, augment, offsets
from shared.datamodules.loaders import ArrayImages
from shared.datamodules.order import MicroBatch


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 8, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["flip", "crop-flip"])
def test_against_one_image_at_a_time(images, kind):
    draws = Draws(50, seed=1).of(0, np.arange(50))
    before = images.copy()
    out = augment(images, draws, kind)
    assert np.array_equal(images, before)
    for image, got, dy, dx, flip in zip(images, out, *offsets(draws), strict=True):
        expected = image
        if kind == "crop-flip":
            padded = np.pad(image, ((PAD, PAD), (PAD, PAD), (0, 0)))
            expected = padded[dy : dy + 8, dx : dx + 9]
        assert np.array_equal(got, expected[:, ::-1] if flip else expected)


def test_draws_are_uniform_and_new_each_epoch():
    draws = Draws(20000, seed=0)
    dy, dx, flip = offsets(draws.of(0, np.arange(20000)))
    assert set(dy) == set(dx) == set(range(2 * PAD + 1))
    assert abs(flip.mean() - 0.5) < 0.02
    joint = np.histogram2d(dy * 9 + dx, flip, bins=(81, 2))[0]
    expected = 20000 / 162
    assert ((joint - expected) ** 2 / expected).sum() < 230  # chi-square, 161 degrees of freedom, p ≈ 3e-4
    assert (draws.of(1, np.arange(20000)) != draws.of(0, np.arange(20000))).all()


def test_grouping_does_not_matter(images):
    labels = np.arange(50)
    normal = Normalise((0.5, 0.4, 0.3), (0.2, 0.2, 0.3), 8, 9)
    source = ArrayImages(images, labels, np.arange(5, 50), "crop-flip", normal, seed=4)
    order = np.random.default_rng(1).permutation(45)
    whole, _ = source.take(order, epoch=2)
    for size in (1, 7, 45):
        batches = [MicroBatch(order[i : i + size], 1.0) for i in range(0, 45, size)]
        parts = list(source.blocks(batches, epoch=2))
        assert [len(x) for x, _ in parts] == [len(b.ids) for b in batches]
        assert torch.equal(torch.cat([x for x, _ in parts]), whole)
        assert torch.cat([y for _, y in parts]).tolist() == (order + 5).tolist()


def test_normalised_images_have_the_layout_and_values(images):
    out = Normalise((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 8, 9)(images)
    assert out.shape == (50, 3, 8, 9)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    expected = (images / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]
    np.testing.assert_allclose(out.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
