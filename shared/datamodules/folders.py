"""Image folders, ``train/<class>/*`` and ``test/<class>/*`` or ``val/…``, and zip archives of one."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from shared.datamodules.cache import Raw
from shared.datamodules.errors import DataError
from shared.datamodules.formats import corrupt

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LAYOUT = "train/<class>/<image> and test/<class>/<image> (or val/…)"


@dataclass(frozen=True)
class Listing:
    """The images of one data set by split; a label is the rank of its class name."""

    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    """``(path inside the root, label)``, sorted by path."""
    test: tuple[tuple[str, int], ...]


def listing(where: Path | str, names: Iterable[str]) -> Listing:
    """Sort file names ``…/<split>/<class>/<image>`` into splits and classes; DataError when that is not the layout."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        if len(parts) >= 3 and parts[-3] in ("train", "test", "val") and parts[-1].lower().endswith(SUFFIXES):
            found.setdefault("/".join(parts[:-2]), {}).setdefault(parts[-2], []).append(name)
    by_split: dict[str, str] = {}
    for prefix in sorted(found):
        split = PurePosixPath(prefix).name
        if split in by_split:
            raise DataError(f"{where} holds two {split} folders, {by_split[split]} and {prefix}; keep one")
        by_split[split] = prefix
    held_out = next((s for s in ("test", "val") if s in by_split), None)
    if "train" not in by_split or held_out is None:
        raise DataError(f"{where} is not an image folder; it should hold {LAYOUT}")
    train, test = found[by_split["train"]], found[by_split[held_out]]
    if extra := sorted(set(train) ^ set(test)):
        raise DataError(f"{where}: class {extra[0]!r} is in only one of train and {held_out}; make the classes equal")
    classes = tuple(sorted(train))

    def rows(split: dict[str, list[str]]) -> tuple[tuple[str, int], ...]:
        return tuple((name, label) for label, c in enumerate(classes) for name in sorted(split[c]))

    return Listing(classes, rows(train), rows(test))


def folder_names(root: Path) -> list[str]:
    """Paths of all files ``<split>/<class>/<image>`` below a root, posix style."""
    splits = [root / s for s in ("train", "test", "val") if (root / s).is_dir()]
    return [f.relative_to(root).as_posix() for s in splits for f in s.glob("*/*")]


def folder_fingerprint(root: Path) -> str:
    """Names, sizes and times of all images: changes when the folder does."""
    lines = []
    for name in sorted(folder_names(root)):
        stat = (root / name).stat()
        lines.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_folder(root: Path) -> Raw:
    """Decode an image folder whose images all have one size."""
    return _decode(root, listing(root, folder_names(root)), lambda name: (root / name).read_bytes())


def read_zip(path: Path, sha256: str | None = None) -> Raw:
    """Decode a zip of an image folder; DataError when it is damaged or, where one is given, not of that sha256."""
    if sha256 is not None:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise corrupt(path, "its sha256 checksum is wrong")
    try:
        with zipfile.ZipFile(path) as archive:
            return _decode(path, listing(path, archive.namelist()), archive.read)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise corrupt(path, f"cannot be unpacked: {error}") from None


def _decode(where: Path, index: Listing, read: Callable[[str], bytes]) -> Raw:
    shape: tuple[int, ...] | None = None
    arrays: dict[str, np.ndarray] = {}
    for split, rows in (("train", index.train), ("test", index.test)):
        images = np.empty(0, np.uint8)
        for i, (name, _) in enumerate(rows):
            pixels = _pixels(f"{where}: {name}", read(name))
            shape = shape or pixels.shape
            if pixels.shape != shape:
                raise DataError(
                    f"{where}: {name} is {_size(pixels.shape)}, the images before it {_size(shape)}; "
                    "make them one size, or use augment='imagenet', which crops every image to 224×224"
                )
            if i == 0:
                images = np.empty((len(rows), *shape), np.uint8)
            images[i] = pixels
        arrays[f"{split}_x"] = images
        arrays[f"{split}_y"] = np.array([label for _, label in rows], np.int64)
    return Raw(**arrays, classes=index.classes)


def _pixels(where: str, data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            grey = image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise corrupt(where, f"not a readable image: {error}") from None
    return pixels[..., None] if grey else pixels


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]} with {shape[2]} channel{'s' if shape[2] > 1 else ''}"
