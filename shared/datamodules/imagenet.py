"""ImageNet and other folders of images too big for memory: decoded by worker processes, cropped to 224×224.

The augmentation is GoogLeNet's as in fb.resnet.torch (Goyal et al. 2017, section 5.1): random crop of 8–100 % of the
area with aspect 3/4–4/3, mirrored half the time; evaluation on the central crop after scaling the shorter side to 256.
``imagenet-crop`` is Caffe's (You et al. 2017): scaled to 256×256 whatever the aspect, a crop of 224×224 at a random
place or, to evaluate, in the middle.
Each sample's draw is seeded by (seed, epoch, sample id): workers, ranks and resuming cannot matter.
Only folders of image files are read here; DALI may decode faster on machines with many GPUs, but is not offered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from shared.datamodules.augment import Normalise
from shared.datamodules.cache import cache_dir
from shared.datamodules.errors import DataError
from shared.datamodules.folders import Listing, folder_names, listing
from shared.datamodules.formats import corrupt
from shared.datamodules.module import RunData
from shared.datamodules.order import TRANSFORM, MicroBatch
from shared.datamodules.sources import data_root, find, resolve
from shared.files import write_atomically

SIZE, RESIZE = 224, 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EVAL_BATCH = 250

RESIZED = v2.RandomResizedCrop(SIZE, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), antialias=True)
SQUARE = v2.Resize((RESIZE, RESIZE), antialias=True)
TRAIN = {
    "imagenet": v2.Compose([RESIZED, v2.RandomHorizontalFlip(), v2.PILToTensor()]),
    "imagenet-crop": v2.Compose([SQUARE, v2.RandomCrop(SIZE), v2.RandomHorizontalFlip(), v2.PILToTensor()]),
}
EVAL = {
    "imagenet": v2.Compose([v2.Resize(RESIZE, antialias=True), v2.CenterCrop(SIZE), v2.PILToTensor()]),
    "imagenet-crop": v2.Compose([SQUARE, v2.CenterCrop(SIZE), v2.PILToTensor()]),
}

Key = tuple[int, int]
"""``(epoch, sample id)``; the epoch travels with the sample, so that workers need no state."""


class ImageFiles(Dataset):
    """uint8 images [3, 224, 224] and labels, decoded and cropped when asked for; index it with a Key."""

    def __init__(self, root: Path, rows: tuple[tuple[str, int], ...], seed: int | None, kind: str = "imagenet"):
        self.root, self.rows, self.seed, self.kind = root, rows, seed, kind
        """seed None: the evaluation crop."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        epoch, sample = key
        name, label = self.rows[sample]
        path = self.root / name
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            raise corrupt(path, f"not a readable image: {error}") from None
        if self.seed is None:
            return EVAL[self.kind](image), label
        stream = np.random.SeedSequence([TRANSFORM, self.seed, epoch, sample])
        # torchvision draws from torch's global generator: borrow it and give it back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stream.generate_state(1, np.uint64)[0] >> 1))
            return TRAIN[self.kind](image), label


class _Plan:
    """The batch sampler of a DataLoader that outlives its epochs: lists of keys, replaced before each pass."""

    def __init__(self) -> None:
        self.keys: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)


class StreamedImages:
    """Images of a folder by position in a subset, through worker processes; the source behind a TrainLoader."""

    def __init__(self, files: ImageFiles, ids: np.ndarray, workers: int, normalise: Normalise):
        self.ids, self.plan, self.normalise = ids, _Plan(), normalise
        self.loader: DataLoader[Any] = DataLoader(
            files,
            batch_sampler=self.plan,  # type: ignore[arg-type]
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_stack,
            worker_init_fn=_one_thread,
            # Its own: a DataLoader otherwise draws from the generator that the net's dropout uses.
            generator=torch.Generator(),
        )

    def blocks(self, batches: list[MicroBatch], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images float32 [b, 3, 224, 224] and labels int64 [b] of each batch in turn, augmented as in ``epoch``."""
        # A generator: workers start when the first batch is asked for, after the state and the epoch are in place.
        self.plan.keys = [[(epoch, int(i)) for i in self.ids[batch.ids]] for batch in batches]
        for images, labels in self.loader:
            yield self.normalise(images.numpy()), labels

    def take(self, batches: list[MicroBatch], epoch: int) -> tuple[Tensor, Tensor]:
        """All of these batches as one, decoded in this process."""
        ids = self.ids[np.concatenate([b.ids for b in batches])]
        images, labels = _stack([self.loader.dataset[(epoch, int(i))] for i in ids])
        return self.normalise(images.numpy()), labels


class StreamedEval:
    """Evaluation batches of one rank: samples rank, rank + W, … of a subset, in order."""

    def __init__(self, source: StreamedImages, n: int, rank: int, world: int):
        mine = np.arange(rank, n, world)
        self.source = source
        self.batches = [MicroBatch(mine[i : i + EVAL_BATCH], 1.0) for i in range(0, len(mine), EVAL_BATCH)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.source.blocks(self.batches, 0)


class FolderData(RunData):
    """An image folder streamed from disk: ``imagenet``, or ``folder:<path>`` with an augmentation of ``TRAIN``."""

    def _open(self) -> int:
        name, augment = self.spec.data.name, self.spec.data.augment
        if augment not in (*TRAIN, "none"):
            known = ", ".join(TRAIN)
            raise DataError(f"{name} is streamed from a folder: augment must be none, {known}, not {augment!r}")
        if self.spec.data.augment_per == "place":
            raise DataError(f"{name} is streamed from a folder: augment_per='place' needs data in memory")
        folder = data_root(self.data_dir)
        if name.startswith("folder:"):
            self.root = resolve(name, folder)
        elif name == "imagenet":
            self.root = find(name, folder)
        else:
            raise DataError(f"augment='imagenet' needs images in a folder: folder:<path> or imagenet, not {name}")
        if self.by_batch:
            raise DataError(f"{name} is streamed in small evaluation batches: bn_eval='batch' needs data in memory")
        self.index, self.sha256 = _index(self.root)
        self.num_classes, self.input_shape = len(self.index.classes), (3, SIZE, SIZE)
        self.normalise = self._normaliser(MEAN, STD)
        return len(self.index.train)

    def _train_source(self) -> StreamedImages:
        seed = self.spec.seed if self.spec.data.augment in TRAIN else None
        files = self._files(self.index.train, seed)
        return StreamedImages(files, self.train_ids, self.execution.workers, self.normalise)

    def _files(self, rows: tuple[tuple[str, int], ...], seed: int | None) -> ImageFiles:
        kind = self.spec.data.augment
        return ImageFiles(self.root, rows, seed, kind if kind in TRAIN else "imagenet")

    def _eval_loader(self, rank: int, world: int) -> StreamedEval:
        rows, ids = self.index.test, np.arange(len(self.index.test))
        if len(self.held_ids):
            rows, ids = self.index.train, self.held_ids
        source = StreamedImages(self._files(rows, None), ids, self.execution.workers, self.normalise)
        return StreamedEval(source, len(ids), rank, world)


def _index(root: Path) -> tuple[Listing, str]:
    """The files of a folder and the sha256 of their names and sizes, kept in the cache until a class folder changes.

    Names and sizes, not contents: hashing 150 GB would take longer than finding out that a run is wrong.
    """
    folders = sorted(p for s in ("train", "test", "val") if (root / s).is_dir() for p in (root / s).iterdir())
    stamp = [str(root.resolve()), *(f"{p.relative_to(root)} {p.stat().st_mtime_ns}" for p in folders)]
    key = hashlib.sha256("\n".join(stamp).encode()).hexdigest()[:16]
    path = cache_dir() / "index" / f"{key}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            names = _kept(path)
            if names is None:
                names = {name: (root / name).stat().st_size for name in sorted(folder_names(root))}
                write_atomically(path, json.dumps(names))
    except OSError as error:
        raise DataError(f"cannot index {root} in {path.parent}: {error}; is CACHE_DIR writable?") from error
    identity = "\n".join(f"{name} {size}" for name, size in sorted(names.items()))
    return listing(root, names), hashlib.sha256(identity.encode()).hexdigest()


def _kept(path: Path) -> dict[str, int] | None:
    try:
        names = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return names if isinstance(names, dict) and names else None


def _stack(samples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """uint8 [b, H, W, C] and int64 [b]: a quarter of the bytes between processes, and channels-last afterwards."""
    images = torch.stack([image for image, _ in samples]).permute(0, 2, 3, 1).contiguous()
    return images, torch.tensor([label for _, label in samples], dtype=torch.int64)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
