"""What a run trains on, as its spec says: which images, how often, how they look."""

from __future__ import annotations

import numpy as np
import pytest

from shared.datamodules import make_datamodule
from shared.datamodules.augment import Draws
from shared.datamodules.module import subset
from shared.spec import DataSpec, Execution, ModelSpec, RunSpec

CPU = Execution(accelerator="cpu")


@pytest.fixture
def make():
    def made(seed=3, batch_size=40, **data):
        spec = RunSpec(
            paper="p",
            arm="a",
            preset="smoke",
            seed=seed,
            protocol=1,
            lr=0.1,
            epochs=3,
            batch_size=batch_size,
            model=ModelSpec(name="m"),
            data=DataSpec(name="digits", **{"train_size": 40, **data}),
        )
        return make_datamodule(spec, CPU)

    return made


def looks(data) -> list[bytes]:
    return [x.numpy().tobytes() for images, _, _ in data.train_dataloader() for x in images]


def test_a_run_draws_as_its_spec_says(make):
    assert len(set(looks(make()))) == 40
    assert len(set(looks(make(draw="replacement")))) < 32
    fresh = looks(make(batch_size=20, draw="batch"))
    assert len(set(fresh[:20])) == len(set(fresh[20:])) == 20
    assert set(fresh[:20]) & set(fresh[20:])


def test_an_image_that_comes_twice_looks_as_the_spec_says(make):
    data = make(draw="replacement")
    data.setup()
    order = data.batches(0, 1).order(0)
    how = {"augment": "crop-flip", "draw": "replacement"}
    alike, apart = looks(make(**how)), looks(make(**how, augment_per="place"))
    assert len(set(alike)) == len(set(order.tolist())) < len(set(apart))


def test_augmentation_is_new_in_every_epoch(make):
    data = make(augment="crop-flip")
    loader = data.train_dataloader()
    epochs = [sorted(x.numpy().tobytes() for images, _, _ in loader for x in images) for _ in range(2)]
    assert epochs[0] != epochs[1]


def test_each_seed_draws_its_own_images_where_the_spec_says_so(make):
    def images(subset, seed):
        return sorted(looks(make(seed=seed, subset=subset)))

    assert images("fixed", 1) == images("fixed", 2)
    assert images("seed", 1) != images("seed", 2)


def test_centred_pixels_lie_between_minus_one_and_one(make):
    ((images, _, _),) = make(pixels="centred").train_dataloader()
    assert (images.min(), images.max()) == (pytest.approx(-1), pytest.approx(1))


def test_subsets_and_draws_are_pinned():
    assert subset(10, DataSpec(name="x", train_size=4))[0].tolist() == [0, 1, 2, 7]
    assert Draws(2, seed=0).of(1, np.arange(2)).tolist() == [11780768060013122959, 5445316718343683103]
