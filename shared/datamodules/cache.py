"""Decoded data sets as memory-mapped arrays: decoded once, checked whenever opened, shared by all processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock

from shared.datamodules.errors import DataError

APP = "large-batch-replications"
FORMAT = 1
PARTS = ("train_x", "train_y", "test_x", "test_y")


def cache_dir() -> Path:
    """``CACHE_DIR``, or the user's cache folder of this platform."""
    return Path(os.environ.get("CACHE_DIR") or platformdirs.user_cache_dir(APP)).expanduser()


@dataclass(frozen=True)
class Raw:
    """A decoded data set: images uint8 [N, H, W, C], labels int64 [N] in 0 … len(classes) − 1."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: tuple[str, ...]

    def check(self, name: str) -> Raw:
        """Self, or DataError when the parts contradict each other."""
        for split in ("train", "test"):
            x, y = getattr(self, f"{split}_x"), getattr(self, f"{split}_y")
            if x.ndim != 4 or x.dtype != np.uint8 or len(x) == 0 or x.shape[1:] != self.train_x.shape[1:]:
                raise DataError(f"{name}: {split} images are {x.dtype} {x.shape}, not uint8 [N, H, W, C] of one size")
            if y.shape != (len(x),):
                raise DataError(f"{name}: {len(x)} {split} images but {len(y)} labels")
            if y.min() < 0 or y.max() >= len(self.classes):
                raise DataError(f"{name}: {split} labels reach from {y.min()} to {y.max()}, not 0…{len(self.classes)}")
        return self


def cached(name: str, fingerprint: str, decode: Callable[[], Raw]) -> tuple[Raw, dict[str, Any]]:
    """The arrays of a data set and their ``{"sha256", "mean", "std"}``, decoded now unless a sound copy is cached.

    fingerprint: what the decoded arrays depend on; another one means another cache entry. A missing, truncated or
    altered entry is rebuilt under a lock. Raises DataError when the data cannot be read or the cache not be written.
    """
    slug = "".join(c if c.isalnum() else "-" for c in name.rpartition("/")[2]).strip("-")
    key = hashlib.sha256(f"{FORMAT}:{name}:{fingerprint}".encode()).hexdigest()[:12]
    folder = cache_dir() / "arrays" / f"{slug}-{key}"
    if (found := _open(folder)) is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            # Another process may have built it while this one waited.
            if (found := _open(folder)) is None:
                _write(folder, _decoded(name, decode))
                found = _open(folder)
    except OSError as error:
        raise DataError(f"cannot write the data cache {folder}: {error}; set CACHE_DIR to a writable folder") from error
    if found is None:
        raise DataError(f"the data cache {folder} changed while it was being read; check the disk, or set CACHE_DIR")
    return found


def _decoded(name: str, decode: Callable[[], Raw]) -> Raw:
    """The data set, decoded; DataError for one that cannot be read, which is no matter of the cache."""
    try:
        return decode().check(name)
    except OSError as error:
        raise DataError(f"{name}: cannot read {error.filename or 'its files'}: {error.strerror or error}") from error


def _open(folder: Path) -> tuple[Raw, dict[str, Any]] | None:
    """The entry if its contents are those that were written, else None."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        # asarray: plain views index several times faster than the memmap class.
        arrays = {p: np.asarray(np.load(folder / f"{p}.npy", mmap_mode="r", allow_pickle=False)) for p in PARTS}
        raw = Raw(**arrays, classes=tuple(meta["classes"]))
        sound = meta["format"] == FORMAT and meta["sha256"] == content_hash(raw)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return (raw, meta) if sound else None


def _write(folder: Path, raw: Raw) -> None:
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for part in PARTS:
        np.save(fresh / f"{part}.npy", np.ascontiguousarray(getattr(raw, part)))
    mean, std = channel_statistics(raw.train_x)
    meta = {"format": FORMAT, "sha256": content_hash(raw), "classes": list(raw.classes), "mean": mean, "std": std}
    (fresh / "meta.json").write_text(json.dumps(meta, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(fresh, folder)


def content_hash(raw: Raw) -> str:
    """sha256 over classes, shapes and every pixel and label, in the order train images, train labels, test …"""
    digest = hashlib.sha256(json.dumps(list(raw.classes)).encode())
    for part in PARTS:
        array = np.ascontiguousarray(getattr(raw, part))
        digest.update(f"{part}{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 [N, H, W, C], in units of 255; a constant channel has 1."""
    channels = images.shape[-1]
    # Exact integer counts of the 256 values: no rounding, whatever the number of pixels.
    counts = np.zeros((channels, 256), np.int64)
    for block in np.array_split(images, max(1, len(images) // 1000)):
        for c in range(channels):
            counts[c] += np.bincount(block[..., c].ravel(), minlength=256)
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(1)
    std = np.sqrt(np.maximum(counts @ values**2 / counts.sum(1) - mean**2, 0))
    return mean.tolist(), np.where(std > 0, std, 1.0).tolist()
