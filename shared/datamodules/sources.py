"""The data sets by name, where they are looked for, and ``load``.

Places, in order: ``DATA_DIR`` (or the ``data_dir`` argument), the cache folder, this system's package of the data,
torchvision's download, Debian's package archive. When all fail, one error names each of them and the remedy.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from shared.datamodules import fetch, folders, formats
from shared.datamodules.cache import Raw, cache_dir, cached
from shared.datamodules.checksums import CIFAR10, CIFAR10_JPEG, CIFAR100, FASHION_CLASSES, FASHION_MNIST, MNIST
from shared.datamodules.errors import DataError


@dataclass(frozen=True)
class Arrays:
    """A data set in memory (memory-mapped, shared between processes, read-only)."""

    name: str
    train_x: np.ndarray
    """uint8 [N, C, H, W], stored channels-last."""
    train_y: np.ndarray
    """int64 [N]."""
    test_x: np.ndarray
    test_y: np.ndarray
    classes: tuple[str, ...]
    sha256: str
    """Over every decoded pixel and label: equal for equal data, however they were stored."""
    mean: tuple[float, ...]
    """Of each channel over all training images, in units of 255."""
    std: tuple[float, ...]


@dataclass(frozen=True)
class Source:
    """How one data set is found and read."""

    read: Callable[[Path, formats.Checksums], Raw] | None
    """Decode it from the place where it was found; None: too big to decode, streamed from its folder."""
    where: tuple[str, ...] = ()
    """Places below ``DATA_DIR`` and the cache folder; none: it is inside a library."""
    lacks: Callable[[Path], str | None] = lambda path: None
    """What an existing place lacks, or None when it is complete."""
    checksums: formats.Checksums | None = None
    installed: tuple[Path, ...] = ()
    fetchers: tuple[tuple[str, Callable[[Path], None]], ...] = ()
    """``(description, fetch into this root)``, tried in order."""
    remedy: str = ""


def _idx(
    kind: str, folder: str, other: str, sums: formats.Checksums, classes: tuple[str, ...], package: bool
) -> Source:
    fetchers = [("torchvision's download", functools.partial(fetch.torchvision_download, kind, folder))]
    if package:
        label = f"Debian's package {fetch.FASHION_PACKAGE} (apt-get download)"
        fetchers.append((label, functools.partial(fetch.debian_fashion_mnist, folder)))
    return Source(
        read=lambda path, checksums: formats.read_idx(path, checksums, classes),
        where=(folder, other),
        lacks=formats.idx_missing,
        checksums=sums,
        installed=(Path("/") / fetch.FASHION_PATH,) if package else (),
        fetchers=tuple(fetchers),
        remedy=f"put the four *-ubyte.gz files into DATA_DIR/{folder}"
        + (f", or install the package {fetch.FASHION_PACKAGE}" if package else ""),
    )


def _cifar(kind: str, torchvision: str, folder: str, archive: str, sums: formats.Checksums) -> Source:
    return Source(
        read=lambda path, checksums: formats.read_cifar(path, checksums, kind),
        where=(folder, archive),
        lacks=lambda path: formats.cifar_missing(path, kind),
        checksums=sums,
        fetchers=(("torchvision's download", functools.partial(fetch.torchvision_download, torchvision, folder)),),
        remedy=f"put {archive}, or its unpacked folder {folder}, into DATA_DIR",
    )


def _lacks_splits(path: Path) -> str | None:
    return next((s for s in ("train", "val") if not (path / s).is_dir()), None)


SOURCES: dict[str, Source] = {
    "mnist": _idx("MNIST", "MNIST/raw", "mnist", MNIST, tuple(str(d) for d in range(10)), package=False),
    "fashion-mnist": _idx(
        "FashionMNIST", "FashionMNIST/raw", "fashion-mnist", FASHION_MNIST, FASHION_CLASSES, package=True
    ),
    "cifar10": _cifar("cifar10", "CIFAR10", "cifar-10-batches-py", "cifar-10-python.tar.gz", CIFAR10),
    "cifar100": _cifar("cifar100", "CIFAR100", "cifar-100-python", "cifar-100-python.tar.gz", CIFAR100),
    "cifar10-jpeg": Source(
        read=lambda path, checksums: folders.read_zip(path, *checksums.get("sha256", ())),
        where=("cifar10-jpeg.zip",),
        checksums={"sha256": (CIFAR10_JPEG,)},
        remedy="put cifar10-jpeg.zip (CIFAR-10 as lossy JPEG, an image folder) into DATA_DIR",
    ),
    "digits": Source(read=lambda path, checksums: formats.read_digits()),
    "imagenet": Source(
        read=None,
        where=("imagenet", "ImageNet", "ILSVRC2012"),
        lacks=_lacks_splits,
        remedy="unpack ILSVRC2012 into DATA_DIR/imagenet/train/<wnid>/*.JPEG and DATA_DIR/imagenet/val/<wnid>/*.JPEG",
    ),
}

ALTERNATIVES: dict[str, tuple[str, ...]] = {"cifar10-any": ("cifar10", "cifar10-jpeg")}
"""Names that stand for the first of several data sets that is at hand; ``Arrays.name`` says which one it was."""


def load(name: str, data_dir: str | os.PathLike | None = None) -> Arrays:
    """The decoded arrays of a data set: a key of SOURCES or ALTERNATIVES, ``folder:<path>`` or ``zip:<path>``.

    data_dir stands in for the environment variable ``DATA_DIR``. Raises DataError when the data cannot be found or
    read, when a checksum is wrong, or when they are too big to decode (``imagenet``).
    """
    folder = data_root(data_dir)
    return _load(_find(name, folder)[0] if name in ALTERNATIVES else name, folder, cache_dir())


@functools.lru_cache(maxsize=8)
def _load(name: str, data_dir: Path | None, _cache: Path) -> Arrays:
    kind, _, path = name.partition(":")
    if kind in ("folder", "zip") and path:
        place = resolve(name, data_dir)
        read, mark = (
            (folders.read_folder, folders.folder_fingerprint(place))
            if kind == "folder"
            else (folders.read_zip, f"{place.stat().st_size} {place.stat().st_mtime_ns}")
        )
        raw, meta = cached(name, f"{place.resolve()} {mark}", lambda: read(place))
    else:
        source = _source(name)
        if source.read is None:
            raise DataError(f"{name} is too big to decode into memory; use make_datamodule with augment='imagenet'")
        reader, checksums = source.read, source.checksums or {}
        mark = json.dumps(checksums, sort_keys=True)
        raw, meta = cached(name, mark, lambda: reader(find(name, data_dir), checksums))
    return Arrays(
        name=public_name(name),
        **{p: np.moveaxis(getattr(raw, p), -1, 1) for p in ("train_x", "test_x")},
        train_y=raw.train_y,
        test_y=raw.test_y,
        classes=raw.classes,
        sha256=meta["sha256"],
        mean=tuple(meta["mean"]),
        std=tuple(meta["std"]),
    )


def public_name(name: str) -> str:
    """The name that results carry: ``folder:`` and ``zip:`` keep the last part of their path only."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{Path(path).name}" if colon else kind


def find(name: str, data_dir: Path | None = None) -> Path:
    """Where the files of a named data set are, fetched now if need be; DataError naming every place tried."""
    return _find(name, data_dir)[1]


def _find(name: str, data_dir: Path | None) -> tuple[str, Path]:
    """``(the data set that the name stands for, its place)``."""
    # What is here comes before what could be fetched: data must not change when a network comes or goes.
    sources = {n: _source(n) for n in ALTERNATIVES.get(name, (name,))}
    roots = [r for r in (data_dir, cache_dir()) if r is not None]
    tried = [] if data_dir is not None else ["DATA_DIR: not set"]
    for known, source in sources.items():
        if not source.where:
            return known, Path()
        for place in [root / place for root in roots for place in source.where] + list(source.installed):
            lacks = "not there" if not place.exists() else source.lacks(place)
            if lacks is None:
                return known, place
            tried.append(f"{place}: {lacks}" if lacks == "not there" else f"{place}: lacks {lacks}")
    for known, source in sources.items():
        for label, fetcher in source.fetchers:
            try:
                place = _fetched(known, source, fetcher)
                if source.lacks(place) is None:
                    return known, place
                tried.append(f"{label}: it lacks {source.lacks(place)}")
            except (DataError, OSError) as error:
                tried.append(f"{label}: {error}")
    remedy = "; or ".join(source.remedy for source in sources.values())
    raise DataError(f"{name} was not found. Tried:\n" + "\n".join(f"  - {t}" for t in tried) + f"\nTo fix: {remedy}")


def _fetched(name: str, source: Source, fetcher: Callable[[Path], None]) -> Path:
    """The place in the cache folder where the data are now, put there by this process or by another."""
    root = cache_dir()
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"fetch-{name}.lock"):
        got = next((p for p in (root / w for w in source.where) if p.exists() and not source.lacks(p)), None)
        if got is None:
            fetcher(root)
        return got or root / source.where[0]


def resolve(name: str, data_dir: Path | None = None) -> Path:
    """The path behind ``folder:<path>`` or ``zip:<path>``: as given, or below ``DATA_DIR``; DataError if neither is."""
    kind, _, text = name.partition(":")
    given = Path(text).expanduser()
    tried = [given] + ([data_dir / given] if data_dir is not None and not given.is_absolute() else [])
    for path in tried:
        if path.is_dir() if kind == "folder" else path.is_file():
            return path
    what = f"a folder with {folders.LAYOUT}" if kind == "folder" else "a zip archive of an image folder"
    raise DataError(f"{name}: {' and '.join(map(str, tried))}: not there; it should be {what}")


def _source(name: str) -> Source:
    if name not in SOURCES:
        known = ", ".join([*SOURCES, *ALTERNATIVES])
        raise DataError(f"unknown data set {name!r}; there are: {known}, folder:<path>, zip:<path>")
    return SOURCES[name]


def data_root(given: str | os.PathLike | None = None) -> Path | None:
    """The folder to look in first, ``given`` or else ``DATA_DIR``; DataError when one is named but missing."""
    text = given if given is not None else os.environ.get("DATA_DIR")
    if not text:
        return None
    path = Path(text).expanduser()
    if not path.is_dir():
        raise DataError(f"DATA_DIR={path}: no such folder; create it, or unset DATA_DIR")
    return path
