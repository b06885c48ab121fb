"""Readers of the original file formats; each returns decoded arrays or raises DataError naming the bad file."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shared.datamodules.cache import Raw
from shared.datamodules.errors import DataError

Checksums = Mapping[str, tuple[str, ...]]
"""File name → the md5 sums that are accepted for it (compressed or not); a name without an entry is not checked."""

IDX_FILES = {
    "train_x": "train-images-idx3-ubyte",
    "train_y": "train-labels-idx1-ubyte",
    "test_x": "t10k-images-idx3-ubyte",
    "test_y": "t10k-labels-idx1-ubyte",
}


def corrupt(path: Path | str, why: str) -> DataError:
    return DataError(f"{path} is corrupt ({why}); delete it and run again, or put an intact copy in its place")


def idx_missing(folder: Path) -> str | None:
    """The first MNIST file that a folder lacks (plain or .gz), or None."""
    return next((n for n in IDX_FILES.values() if _idx_path(folder, n) is None), None)


def _idx_path(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)


def read_idx(folder: Path, checksums: Checksums, classes: tuple[str, ...]) -> Raw:
    """MNIST's four idx files (``*-ubyte`` or ``*-ubyte.gz``) → images [N, 28, 28, 1]."""
    parts = {}
    for part, name in IDX_FILES.items():
        path = _idx_path(folder, name)
        assert path is not None
        data = stored = path.read_bytes()
        if path.suffix == ".gz":
            try:
                data = gzip.decompress(stored)
            except (OSError, EOFError, zlib.error) as error:
                raise corrupt(path, f"cannot be unpacked: {error}") from None
        _verify(path, checksums.get(name, ()), data, stored)
        array = _parse_idx(path, data)
        parts[part] = array[..., None] if part.endswith("x") else array.astype(np.int64)
    return Raw(**parts, classes=classes)


def _parse_idx(path: Path, data: bytes) -> np.ndarray:
    axes = data[3] if len(data) > 3 else 0
    if data[:3] != b"\x00\x00\x08" or axes not in (1, 3) or len(data) < 4 + 4 * axes:
        raise corrupt(path, "not an idx file of unsigned bytes")
    shape = np.frombuffer(data, ">i4", axes, 4)
    if len(data) != 4 + 4 * axes + int(np.prod(shape)):
        raise corrupt(path, f"{len(data)} bytes do not hold {'×'.join(map(str, shape))} values")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _verify(path: Path | str, accepted: tuple[str, ...], *contents: bytes) -> None:
    if accepted and not any(hashlib.md5(c, usedforsecurity=False).hexdigest() in accepted for c in contents):
        raise corrupt(path, "its md5 checksum is wrong")


CIFAR_FILES = {
    "cifar10": ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], "batches.meta", "labels", "label_names"),
    "cifar100": (["train"], ["test"], "meta", "fine_labels", "fine_label_names"),
}


def cifar_missing(path: Path, kind: str) -> str | None:
    """What keeps a folder of pickled batches, or the tar.gz of it, from being used; None if nothing is missing."""
    if path.is_file():
        return None
    train, test, meta, *_ = CIFAR_FILES[kind]
    return next((n for n in (*train, *test, meta) if not (path / n).is_file()), None)


def read_cifar(path: Path, checksums: Checksums, kind: str) -> Raw:
    """CIFAR's pickled batches, from their folder or the original tar.gz → images [N, 32, 32, 3]."""
    train, test, meta, label_key, names_key = CIFAR_FILES[kind]
    files = _members(path) if path.is_file() else {}
    loaded = {}
    for name in (*train, *test, meta):
        where = f"{path}: {name}" if files else str(path / name)
        if path.is_file() and name not in files:
            raise corrupt(path, f"it holds no {name}")
        data = files[name] if files else (path / name).read_bytes()
        # Checked before it is unpickled: a pickle can run code.
        _verify(where, checksums.get(name, ()), data)
        try:
            loaded[name] = pickle.loads(data, encoding="latin1")
        except Exception as error:  # a damaged pickle raises almost anything
            raise corrupt(where, f"not a pickled batch: {error}") from None
    try:
        arrays = {}
        for split, names in (("train", train), ("test", test)):
            pixels = np.concatenate([np.asarray(loaded[n]["data"], np.uint8) for n in names])
            arrays[f"{split}_x"] = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            arrays[f"{split}_y"] = np.concatenate([np.asarray(loaded[n][label_key], np.int64) for n in names])
        return Raw(**arrays, classes=tuple(loaded[meta][names_key]))
    except (KeyError, TypeError, ValueError) as error:
        raise corrupt(path, f"its batches lack what {kind} holds: {error!r}") from None


def _members(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as tar:
            return {Path(m.name).name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise corrupt(path, f"cannot be unpacked: {error}") from None


def read_digits() -> Raw:
    """scikit-learn's 1,797 digits, 8×8; every fifth, from the first on, is a test image. Values 0…16 become 0…255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    test = np.arange(len(labels)) % 5 == 0
    return Raw(images[~test], labels[~test], images[test], labels[test], tuple(str(d) for d in range(10)))
