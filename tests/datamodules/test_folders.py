"""Image folders and zips of them as data sets."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from shared.datamodules import DataError, load, sources


def pack(root, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, prefix + file.relative_to(root).as_posix())
    return path


@pytest.mark.parametrize("held", ["test", "val"])
def test_a_folder_of_images(files, tmp_path, held):
    root = files.images(tmp_path / "pets", held=held)
    (root / "train/cat/notes.txt").write_text("not an image")
    arrays = load(f"folder:{root}")
    assert arrays.train_x.shape == (6, 3, 10, 12)
    assert arrays.test_x.shape == (4, 3, 10, 12)
    assert arrays.classes == ("cat", "dog")
    assert arrays.train_y.tolist() == [0, 0, 0, 1, 1, 1]
    pixels = np.asarray(Image.open(root / "train/dog/1.png"))
    assert np.array_equal(arrays.train_x[4].transpose(1, 2, 0), pixels)
    assert arrays.name == "folder:pets"


@pytest.mark.parametrize("prefix", ["", "some/pets/"])
def test_a_zip_is_the_same_data_as_its_folder(files, tmp_path, prefix):
    root = files.images(tmp_path / "pets")
    packed = load(f"zip:{pack(root, tmp_path / 'pets.zip', prefix)}")
    assert packed.sha256 == load(f"folder:{root}").sha256


def test_paths_may_be_relative_to_the_data_folder(files, tmp_path):
    files.images(tmp_path / "pets")
    assert len(load("folder:pets", tmp_path).train_x) == 6
    with pytest.raises(DataError, match=r"zip:none\.zip: none\.zip and .*none\.zip: not there"):
        load("zip:none.zip", tmp_path)


def test_a_changed_folder_is_decoded_again(files, tmp_path):
    root = files.images(tmp_path / "pets")
    before = load(f"folder:{root}")
    shutil.copy(root / "train/dog/1.png", root / "train/dog/7.png")
    sources._load.cache_clear()
    after = load(f"folder:{root}")
    assert len(after.train_x) == 7
    assert after.sha256 != before.sha256


def test_grey_images_have_one_channel(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"g/{split}/a").mkdir(parents=True)
        Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / f"g/{split}/a/0.png")
    assert load(f"folder:{tmp_path}/g").train_x.shape == (1, 1, 4, 4)


def test_bad_folders_are_explained(files, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty is not an image folder; it should hold train/<class>/<image>"):
        load(f"folder:{tmp_path}/empty")
    root = files.images(tmp_path / "pets")
    (root / "train/dog/2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"train/dog/2\.png is corrupt \(not a readable image"):
        load(f"folder:{root}")
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(root / "train/dog/2.png")
    with pytest.raises(DataError, match=r"train/dog/2\.png is 6×5 with 3 channels.*12×10.*augment='imagenet'"):
        load(f"folder:{root}")
    shutil.rmtree(root / "test/dog")
    with pytest.raises(DataError, match="class 'dog' is in only one of train and test"):
        load(f"folder:{root}")


def test_a_damaged_zip_is_named(files, tmp_path):
    good = pack(files.images(tmp_path / "pets"), tmp_path / "pets.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match=r"cut\.zip is corrupt"):
        load(f"zip:{tmp_path}/cut.zip")


def test_the_named_zip_is_checked(files, unchecked, tmp_path):
    pack(files.images(tmp_path / "pets"), tmp_path / "cifar10-jpeg.zip")
    with pytest.raises(DataError, match=r"cifar10-jpeg\.zip is corrupt \(its sha256"):
        load("cifar10-jpeg", tmp_path)
    unchecked("cifar10-jpeg")
    assert load("cifar10-jpeg", tmp_path).name == "cifar10-jpeg"
