"""Finding, checking and reading the named data sets."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import pickle
import shutil
import tarfile

import numpy as np
import pytest

from shared.datamodules import SOURCES, DataError, fetch, load, make_datamodule, sources
from shared.datasets import KNOWN
from shared.spec import Execution


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")])
def test_idx_files(files, unchecked, tmp_path, name, folder, zipped):
    unchecked(name)
    written = files.idx(tmp_path / folder, zipped=zipped)
    arrays = load(name, tmp_path)
    assert np.array_equal(arrays.train_x[:, 0], written["train-images-idx3-ubyte"])
    assert np.array_equal(arrays.test_y, written["t10k-labels-idx1-ubyte"])
    assert arrays.train_x.shape == (20, 1, 28, 28)
    assert arrays.train_x.dtype == np.uint8
    assert arrays.train_y.dtype == np.int64
    assert len(arrays.classes) == 10
    assert arrays.name == name
    pixels = arrays.train_x / 255
    assert arrays.mean == pytest.approx([pixels.mean()])
    assert arrays.std == pytest.approx([pixels.std()])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind", "folder", "sizes", "classes"),
    [("cifar10", "cifar-10-batches-py", (20, 4), 10), ("cifar100", "cifar-100-python", (4, 4), 100)],
)
def test_cifar_batches(files, unchecked, tmp_path, kind, folder, sizes, classes, packed):
    unchecked(kind)
    first = files.cifar(tmp_path / folder, kind)
    if packed:
        with tarfile.open(tmp_path / sources.SOURCES[kind].where[1], "w:gz") as tar:
            tar.add(tmp_path / folder, folder)
        (tmp_path / folder).rename(tmp_path / "elsewhere")
    arrays = load(kind, tmp_path)
    assert (len(arrays.train_x), len(arrays.test_x), len(arrays.classes)) == (*sizes, classes)
    assert np.array_equal(arrays.train_x[0], first)


def test_digits_need_nothing():
    arrays = load("digits")
    assert arrays.train_x.shape == (1437, 1, 8, 8)
    assert len(arrays.test_x) == 360
    assert arrays.train_x.max() == 255
    assert np.bincount(arrays.test_y).min() > 25


def test_equal_content_has_an_equal_hash(files, unchecked, tmp_path):
    unchecked("mnist")
    hashes = []
    for place, zipped in (("a", True), ("b", False)):
        files.idx(tmp_path / place / "MNIST/raw", zipped=zipped)
        hashes.append(load("mnist", tmp_path / place).sha256)
        sources._load.cache_clear()
        for entry in (tmp_path / "cache/arrays").glob("*/meta.json"):
            entry.unlink()
    assert hashes[0] == hashes[1]


def test_a_wrong_checksum_names_the_file(files, tmp_path):
    files.idx(tmp_path / "MNIST/raw")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is corrupt \(its md5.*delete it"):
        load("mnist", tmp_path)


def test_a_checksum_is_verified_before_a_pickle_is_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle of unknown origin was opened",))

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in SOURCES["cifar10"].checksums:
        (folder / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="data_batch_1 is corrupt"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "not gzip", "short"])
def test_damaged_idx_files(files, unchecked, tmp_path, damage):
    unchecked("mnist")
    files.idx(tmp_path / "MNIST/raw")
    victim = tmp_path / "MNIST/raw/t10k-images-idx3-ubyte.gz"
    good = victim.read_bytes()
    victim.write_bytes(
        {"cut": good[:-20], "not gzip": b"<html>", "short": gzip.compress(gzip.decompress(good)[:-5])}[damage]
    )
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is corrupt"):
        load("mnist", tmp_path)


def test_damaged_cifar_batches(files, unchecked, tmp_path):
    unchecked("cifar10")
    files.cifar(tmp_path / "cifar-10-batches-py", "cifar10")
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match="data_batch_3 is corrupt"):
        load("cifar10", tmp_path)


def test_the_environment_names_the_folder(files, unchecked, tmp_path, monkeypatch):
    unchecked("mnist")
    files.idx(tmp_path / "data/MNIST/raw")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    assert len(load("mnist").train_x) == 20
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load("mnist")


def test_the_folder_comes_before_the_cache_and_that_before_a_download(files, unchecked, tmp_path, monkeypatch):
    unchecked("mnist")
    asked = []
    download = functools.partial(lambda root: asked.append(root) or files.idx(root / "MNIST/raw", train=3))
    source = dataclasses.replace(SOURCES["mnist"], fetchers=(("a download", download),))
    monkeypatch.setitem(SOURCES, "mnist", source)
    assert sources.find("mnist") == tmp_path / "cache/MNIST/raw"
    assert asked == [tmp_path / "cache"]
    assert sources.find("mnist") == tmp_path / "cache/MNIST/raw"
    assert len(asked) == 1
    files.idx(tmp_path / "data/MNIST/raw")
    assert sources.find("mnist", tmp_path / "data") == tmp_path / "data/MNIST/raw"


def test_when_all_fails_one_error_names_every_place(files, tmp_path, monkeypatch):
    def fail(root):
        raise DataError("URLError: no network")

    fetchers = (("torchvision's download", fail), ("Debian's package", fail))
    source = dataclasses.replace(SOURCES["fashion-mnist"], fetchers=fetchers, installed=(tmp_path / "system",))
    monkeypatch.setitem(SOURCES, "fashion-mnist", source)
    files.idx(tmp_path / "data/FashionMNIST/raw")
    (tmp_path / "data/FashionMNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as error:
        load("fashion-mnist", tmp_path / "data")
    text = str(error.value)
    for part in (
        f"{tmp_path}/data/FashionMNIST/raw: lacks t10k-labels-idx1-ubyte",
        f"{tmp_path}/data/fashion-mnist: not there",
        f"{tmp_path}/cache/FashionMNIST/raw: not there",
        f"{tmp_path}/system: not there",
        "torchvision's download: URLError: no network",
        "Debian's package: URLError: no network",
        "To fix: put the four *-ubyte.gz files into DATA_DIR/FashionMNIST/raw, or install the package",
    ):
        assert part in text


def test_cifar10_any_is_the_official_set_if_it_is_here_and_the_images_otherwise(
    files, unchecked, tmp_path, monkeypatch
):
    unchecked("cifar10")
    unchecked("cifar10-jpeg")
    here = tmp_path / "data"
    images = files.images(tmp_path / "jpeg", classes=tuple("abc"), suffix="jpg", size=(32, 32))
    shutil.make_archive(here / "cifar10-jpeg", "zip", images)
    asked = []
    fetchers = (
        ("a download", lambda root: asked.append(root) or files.cifar(root / "cifar-10-batches-py", "cifar10")),
    )
    monkeypatch.setitem(SOURCES, "cifar10", dataclasses.replace(SOURCES["cifar10"], fetchers=fetchers))
    arrays = load("cifar10-any", here)
    assert (arrays.name, len(arrays.train_x), asked) == ("cifar10-jpeg", 9, [])
    assert sources.find("cifar10-any", here) == here / "cifar10-jpeg.zip"
    files.cifar(here / "cifar-10-batches-py", "cifar10")
    arrays = load("cifar10-any", here)
    assert (arrays.name, len(arrays.train_x), asked) == ("cifar10", 20, [])
    assert sources.find("cifar10-any") == tmp_path / "cache/cifar-10-batches-py"
    assert len(asked) == 1


def test_cifar10_any_names_the_places_and_remedies_of_both(tmp_path):
    with pytest.raises(DataError) as error:
        load("cifar10-any", tmp_path)
    text = str(error.value)
    for part in (
        "cifar10-any was not found",
        f"{tmp_path}/cifar-10-batches-py: not there",
        f"{tmp_path}/cifar10-jpeg.zip: not there",
        "into DATA_DIR; or put cifar10-jpeg.zip",
    ):
        assert part in text


def test_the_record_of_cifar10_any_names_the_set_that_was_used(files, unchecked, tmp_path, make_spec):
    unchecked("cifar10")
    files.cifar(tmp_path / "cifar-10-batches-py", "cifar10")
    data = make_datamodule(make_spec("cifar10-any", batch_size=10), Execution(), tmp_path)
    data.setup()
    assert (data.data_name, data.train_size) == ("cifar10", 20)


def test_an_unreachable_mirror_becomes_a_short_reason(tmp_path, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match=r"Error downloading train-images.*refused"):
        fetch.torchvision_download("MNIST", "MNIST/raw", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_debian_package_is_unpacked_without_root(files, tmp_path, monkeypatch):
    files.idx(tmp_path / "package" / fetch.FASHION_PATH)
    tools = {
        # without lists of its own it finds no package, as in a container
        "apt-get": """case "$*" in
            *Dir::State=*download*) touch data.deb;;
            *update*) ;;
            *) echo "E: no list" >&2; exit 100;;
        esac""",
        "dpkg-deb": f'cp -r "{tmp_path}/package" "$3"',
    }
    for name, body in tools.items():
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    fetch.debian_fashion_mnist("FashionMNIST/raw", tmp_path / "cache")
    assert len(list((tmp_path / "cache/FashionMNIST/raw").iterdir())) == 4
    (tmp_path / "bin/apt-get").write_text('#!/bin/sh\necho "E: no network" >&2\nexit 100\n')
    with pytest.raises(DataError, match="apt-get update: E: no network"):
        fetch.debian_fashion_mnist("FashionMNIST/raw", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(DataError, match="not on this machine"):
        fetch.debian_fashion_mnist("FashionMNIST/raw", tmp_path / "cache")


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(DataError, match=r"unknown data set 'minst'; there are: mnist, fashion-mnist.*folder:<path>"):
        load("minst")


def test_imagenet_is_not_decoded():
    with pytest.raises(DataError, match="too big to decode"):
        load("imagenet")


def test_what_is_known_of_digits_before_reading_is_what_is_read():
    digits, known = load("digits"), KNOWN["digits"]
    assert (len(digits.train_x), len(digits.test_x), len(digits.classes)) == known[:3]
    assert digits.train_x.shape[1:] == known.shape


def test_every_data_set_that_has_a_name_is_known_before_it_is_read():
    assert KNOWN.keys() == {*SOURCES, "cifar10-any"}  # whichever CIFAR-10 there is
