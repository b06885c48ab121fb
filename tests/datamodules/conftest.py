"""Every test has its own cache, no DATA_DIR, and no way to fetch anything."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.datamodules import sources
from shared.spec import DataSpec, ModelSpec, RunSpec


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("DATA_DIR", raising=False)
    for name, source in sources.SOURCES.items():
        monkeypatch.setitem(sources.SOURCES, name, dataclasses.replace(source, fetchers=(), installed=()))
    sources._load.cache_clear()
    yield
    sources._load.cache_clear()


@pytest.fixture
def unchecked(monkeypatch):
    """Accept generated files in the place of the published ones of a data set."""

    def switch_off(name: str) -> None:
        monkeypatch.setitem(sources.SOURCES, name, dataclasses.replace(sources.SOURCES[name], checksums={}))

    return switch_off


@pytest.fixture
def make_spec():
    def make(data: str = "digits", batch_size: int = 64, **fields) -> RunSpec:
        chosen = {k: fields.pop(k) for k in ("augment", "train_size", "holdout", "pixels") if k in fields}
        base = {"paper": "p", "arm": "a", "preset": "smoke", "seed": 3, "protocol": 1, "lr": 0.1, "epochs": 3}
        if "updates" in fields:
            base.pop("epochs")
        spec = {"model": ModelSpec(name="m"), "data": DataSpec(name=data, **chosen), "batch_size": batch_size}
        return RunSpec(**(base | spec | fields))

    return make


def write_idx(folder: Path, train: int = 20, test: int = 10, zipped: bool = True) -> dict[str, np.ndarray]:
    """Random files in MNIST's format; returns the arrays that they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for prefix, n in (("train", train), ("t10k", test)):
        arrays[f"{prefix}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = rng.integers(0, 10, n, dtype=np.uint8)
    for name, array in arrays.items():
        head = bytes([0, 0, 8, array.ndim]) + b"".join(int(s).to_bytes(4, "big") for s in array.shape)
        data = head + array.tobytes()
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(data) if zipped else data)
    return arrays


def write_cifar(folder: Path, kind: str) -> np.ndarray:
    """Random pickled batches in CIFAR's format; returns the first training image, [3, 32, 32]."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    ten = kind == "cifar10"
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"] if ten else ["train", "test"]
    classes = [f"class {i}" for i in range(10 if ten else 100)]
    first = None
    for name in names:
        pixels = rng.integers(0, 256, (4, 3072), dtype=np.uint8)
        first = pixels[0].reshape(3, 32, 32) if first is None else first
        labels = rng.integers(0, len(classes), 4).tolist()
        batch = {"data": pixels, "labels" if ten else "fine_labels": labels}
        (folder / name).write_bytes(pickle.dumps(batch))
    meta = {"label_names" if ten else "fine_label_names": classes}
    (folder / ("batches.meta" if ten else "meta")).write_bytes(pickle.dumps(meta))
    return first


def write_images(
    root: Path, classes=("cat", "dog"), train: int = 3, test: int = 2, size=(12, 10), held: str = "test", suffix="png"
) -> Path:
    """An image folder of random pictures, size = (width, height)."""
    rng = np.random.default_rng(2)
    for split, n in (("train", train), (held, test)):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.{suffix}")
    return root


@pytest.fixture
def files():
    """The writers of tiny data sets."""

    class Files:
        idx = staticmethod(write_idx)
        cifar = staticmethod(write_cifar)
        images = staticmethod(write_images)

    return Files
