"""Streaming an image folder: crops depend on (seed, epoch, sample), not on workers, ranks or resuming."""

from __future__ import annotations

import pytest
import torch

from shared.datamodules import DataError, make_datamodule
from shared.spec import Execution, ModelSpec

WNIDS = ("n01440764", "n01443537")


@pytest.fixture
def root(files, tmp_path):
    return files.images(tmp_path / "imagenet", WNIDS, train=6, test=3, size=(40, 30), held="val", suffix="JPEG").parent


def sums(loader) -> list[list[float]]:
    return [[round(float(x), 2) for x in batch[0].double().flatten(1).sum(1)] for batch in loader]


def data_for(make_spec, root, execution=None, **fields):
    spec = make_spec("imagenet", fields.pop("batch_size", 4), augment=fields.pop("augment", "imagenet"), **fields)
    return make_datamodule(spec, execution or Execution(), root)


def test_the_real_layout(make_spec, root):
    data = data_for(make_spec, root)
    data.setup()
    assert (data.num_classes, data.input_shape, data.train_size, data.steps_per_epoch) == (2, (3, 224, 224), 12, 3)
    images, labels, weight = next(iter(data.train_dataloader()))
    assert images.shape == (4, 3, 224, 224)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64
    assert weight == 1.0
    (evaluated,) = data.val_dataloader()
    assert evaluated[0].shape == (6, 3, 224, 224)
    assert evaluated[1].tolist() == [0, 0, 0, 1, 1, 1]
    assert data.data_name == "imagenet"
    assert len(data.sha256) == 64


def test_crops_repeat_for_a_seed_and_epoch_alone(make_spec, root):
    loader = data_for(make_spec, root).train_dataloader()
    torch.manual_seed(1)
    epochs = [sums(loader), sums(loader)]
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert sums(data_for(make_spec, root).train_dataloader()) == epochs[0]
    assert torch.equal(torch.get_rng_state(), state)
    flat = [sorted(x for batch in e for x in batch) for e in epochs]
    assert flat[0] != flat[1]
    other = data_for(make_spec, root, seed=4).train_dataloader()
    assert sorted(x for batch in sums(other) for x in batch) != flat[0]


def test_caffes_crop_shows_224_of_256_pixels_of_the_whole_image(make_spec, root):
    """Halves of two colours: 256 × 256 whatever the aspect, so that the border stands at 96 … 128 of the crop."""
    from PIL import Image

    for path in root.rglob("*.JPEG"):
        halves = Image.new("RGB", (40, 30), (255, 255, 255))
        halves.paste((0, 0, 0), (0, 0, 20, 30))
        halves.save(path, quality=95)
    data = data_for(make_spec, root, augment="imagenet-crop", pixels="unit")
    borders = []
    for images, *_ in data.train_dataloader():
        assert images.shape == (4, 3, 224, 224)
        borders += [int((row < 0.5).sum()) for row in images[:, 0, 100]]
    assert {96 <= b <= 128 for b in borders} == {True}
    assert len(set(borders)) > 3
    (evaluated, _), *_ = data.val_dataloader()
    assert (evaluated[:, 0, 100] < 0.5).sum(1).tolist() == [112] * 6


def test_ranks_and_micro_batches_share_the_same_crops(make_spec, root):
    expected = sums(data_for(make_spec, root).train_dataloader())
    data = data_for(make_spec, root, Execution(devices=2, micro_batch=1))
    streams = []
    for rank in range(2):
        data._place = lambda rank=rank: (rank, 2)
        streams.append(sums(data.train_dataloader()))
    got = [[x for s in streams for part in s[2 * u : 2 * u + 2] for x in part] for u in range(3)]
    assert got == expected


def test_workers_and_resuming_do_not_matter(make_spec, root):
    loader = data_for(make_spec, root).train_dataloader()
    expected = sums(loader) + sums(loader)
    working = data_for(make_spec, root, Execution(workers=2)).train_dataloader()
    stream = iter(working)
    first = sums([next(stream)])  # the workers have read ahead by now
    state = working.state_dict()
    del stream
    resumed = data_for(make_spec, root, Execution(workers=1)).train_dataloader()
    early = iter(resumed)  # Lightning makes its iterator before it restores the state
    resumed.load_state_dict(state)
    assert first + sums(early) + sums(resumed) == expected


def test_unit_pixels(make_spec, root):
    standard, unit = (data_for(make_spec, root, augment="none", pixels=p) for p in ("standardised", "unit"))
    ((a, _),), ((b, _),) = standard.val_dataloader(), unit.val_dataloader()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(a * std + mean, b)


def test_nets_that_evaluate_by_batch_are_refused(make_spec, root):
    by_batch = ModelSpec(name="resnet-50", args={"bn_eval": "batch"})
    with pytest.raises(DataError, match="bn_eval='batch' needs data in memory"):
        data_for(make_spec, root, model=by_batch).setup()


def test_holdout_uses_the_evaluation_crop(make_spec, root):
    data = data_for(make_spec, root, holdout=4, batch_size=2)
    assert data.train_dataloader()
    assert data.train_size == 8
    (first,), (again,) = sums(data.val_dataloader()), sums(data.val_dataloader())
    assert len(first) == 4
    assert first == again


def test_statistics_come_from_training_images(make_spec, root):
    data = data_for(make_spec, root)
    trained = [x for batch in sums(data.train_dataloader()) for x in batch]
    assert [x for b in sums(data.train_batches_for_statistics(5, 2)) for x in b] == trained[:5]


def test_a_new_image_is_noticed(make_spec, root, files, tmp_path):
    first = data_for(make_spec, root)
    first.setup()
    again = data_for(make_spec, root)
    again.setup()
    assert again.sha256 == first.sha256
    folder = root / "imagenet/train" / WNIDS[0]
    (folder / "new.JPEG").write_bytes((folder / "0.JPEG").read_bytes())
    changed = data_for(make_spec, root)
    changed.setup()
    assert changed.train_size == 13
    assert changed.sha256 != first.sha256


def test_bad_input_is_explained(make_spec, root, tmp_path):
    with pytest.raises(DataError, match="augment must be none, imagenet, imagenet-crop, not 'crop-flip'"):
        data_for(make_spec, root, augment="crop-flip").setup()
    (root / "imagenet/train" / WNIDS[1] / "3.JPEG").write_bytes(b"\xff\xd8 cut")
    with pytest.raises(DataError, match=rf"{WNIDS[1]}/3\.JPEG is corrupt"):
        sums(data_for(make_spec, root).train_dataloader())
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"imagenet was not found(.|\n)*To fix: unpack ILSVRC2012"):
        data_for(make_spec, tmp_path / "bare").setup()
