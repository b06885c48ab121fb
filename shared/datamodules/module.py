"""The data of a run as a LightningDataModule: which images are trained on, in which batches, evaluated on which."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from shared.datamodules.augment import Normalise
from shared.datamodules.errors import DataError
from shared.datamodules.loaders import ArrayImages, EvalLoader, TrainLoader
from shared.datamodules.order import SUBSET, EpochBatches, MicroBatch, accumulation, mixed, permutation
from shared.datamodules.sources import load, public_name
from shared.pace import Pace
from shared.spec import DataSpec, Execution, RunSpec

EVAL_BATCH = 1000
STATISTICS_BATCH = 5000
"""Evaluation batch of nets with ``bn_eval="batch"``, whose result depends on it (as in the code of Keskar et al.)."""
PIXELS = {"unit": (0.0, 1.0), "centred": (0.5, 0.5)}
"""Mean and deviation, in units of 255, that ``DataSpec.pixels`` fixes for all images."""


def make_datamodule(spec: RunSpec, execution: Execution, data_dir: str | os.PathLike | None = None) -> RunData:
    """The data of a run. The data set ``imagenet`` and its augmentations are streamed, all else is held in memory.

    Raises DataError for data that do not fit the spec (when set up) and SplitError for batches that cannot be cut
    over the devices and micro-batches of ``execution``.
    """
    if spec.data.streamed:
        from shared.datamodules.imagenet import FolderData

        return FolderData(spec, execution, data_dir)
    return ArrayData(spec, execution, data_dir)


def subset(n: int, data: DataSpec, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``(trained on, held out)``: sorted ids, int64, of n training images.

    Both come from one permutation, the same for every run, or with ``subset="seed"`` for every run of a seed: its head
    is trained on, its tail is held out. So a given train_size means the same images with and without a holdout, and a
    larger one adds to them. Raises DataError when n is too small.
    """
    size = n - data.holdout if data.train_size is None else data.train_size
    if data.holdout < 0 or size < 1 or size + data.holdout > n:
        raise DataError(
            f"{data.name} has {n} training images: train_size={data.train_size} and holdout={data.holdout} do not fit; "
            f"together they must be between 1 and {n}"
        )
    order = permutation(n, SUBSET, *([seed] if data.subset == "seed" else []))
    return np.sort(order[:size]), np.sort(order[n - data.holdout :])


class RunData(pl.LightningDataModule):
    """What every kind of data shares. ``setup`` fills in the attributes; train batches are (images, labels, weight).

    ``weight`` multiplies the mean loss of the micro-batch: with ``accumulate_grad_batches=accumulate`` and DDP's mean
    over ranks, the gradient of an update is the mean over its global batch. Evaluation batches are (images, labels);
    each rank sees its own share, so sums and counts must be added over ranks.

    A batch that grows (``spec.batches``) wants a loader for each epoch, since Lightning reads a loader's length once:
    ``Trainer(reload_dataloaders_every_n_epochs=1)``. What an epoch's loader gives is a function of that epoch alone.
    """

    num_classes: int
    input_shape: tuple[int, int, int]
    sha256: str
    data_name: str
    """The data set that was used: of ``cifar10-any``, which of the two."""
    train_size: int
    steps_per_epoch: int
    """Updates in the first epoch; what does not fill a last batch is left out."""
    pace: Pace
    """The same for every epoch of the run."""

    def __init__(self, spec: RunSpec, execution: Execution, data_dir: str | os.PathLike | None = None):
        super().__init__()
        self.spec, self.execution, self.data_dir = spec, execution, data_dir
        self.data_name = public_name(spec.data.name)
        cuts = [accumulation(b, spec.bn_batch, execution.world_size, execution.micro_batch) for b in spec.batches]
        self.accumulate, self.most_parts = cuts[0], max(cuts)
        """Micro-batches per device and update: in the first epoch, and the most in any."""
        self._source: Any = None
        self._ready = False

    @abstractmethod
    def _open(self) -> int:
        """Find the data, set num_classes, input_shape and sha256; return the number of training images."""

    @abstractmethod
    def _train_source(self) -> Any:
        """The training subset ``self.train_ids``: an object with ``blocks(batches, epoch)`` and ``take``."""

    @abstractmethod
    def _eval_loader(self, rank: int, world: int) -> Any:
        """Images ``self.held_ids`` of the training set if there are any, else the test set."""

    def prepare_data(self) -> None:
        """Fetch and decode what is missing: once, before other processes ask for it."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        if self._ready:
            return
        n = self._open()
        self.train_ids, self.held_ids = subset(n, self.spec.data, self.spec.seed)
        self.train_size = len(self.train_ids)
        self.steps_per_epoch = self.batches(0, self.execution.world_size).updates
        self.pace = Pace(self.train_size, self.spec)
        self._ready = True

    def batches(self, rank: int, world: int, epoch: int = 0) -> EpochBatches:
        """The micro-batches of a rank, from an epoch on."""
        made = EpochBatches(
            len(self.train_ids),
            self.spec.batch_at(epoch),
            self.spec.seed,
            chunk=self.spec.bn_batch,
            micro_batch=self.execution.micro_batch,
            rank=rank,
            world=world,
            draw=self.spec.data.draw,
        )
        made.set_epoch(epoch)
        return made

    def train_dataloader(self) -> TrainLoader:
        self.setup()
        rank, world = self._place()
        trainer: Any = self.trainer
        grows = trainer is not None and len(self.spec.batches) > 1
        batches = self.batches(rank, world, trainer.current_epoch if grows else 0)
        if grows:
            if trainer.reload_dataloaders_every_n_epochs != 1:
                raise DataError(
                    f"the batch grows ({' → '.join(map(str, self.spec.batches))}), but the Trainer would keep one "
                    "epoch's loader and skip evaluations; give it reload_dataloaders_every_n_epochs=1"
                )
            # Lightning reads it at every step. Its GradientAccumulationScheduler sets it at the start of an epoch,
            # which a run that resumes in the middle of one does not pass.
            trainer.accumulate_grad_batches = batches.accumulate
        elif trainer is not None and trainer.accumulate_grad_batches != batches.accumulate:
            raise DataError(
                f"the Trainer has accumulate_grad_batches={trainer.accumulate_grad_batches}, but an update of "
                f"{self.spec.batch_size} samples is {batches.accumulate} micro-batches on each of {world} devices; "
                "pass the datamodule's accumulate to the Trainer"
            )
        if self._source is None or not grows:
            self._source = self._train_source()
        return TrainLoader(self._source, batches)

    def val_dataloader(self) -> Any:
        self.setup()
        rank, world = self._place()
        mine = self._eval_loader(rank, world)
        least = mine if rank == world - 1 else self._eval_loader(world - 1, world)
        if not len(least):  # that rank would miss the reductions, where the others wait
            raise DataError(f"{self.data_name}: {world} devices are more than its batches to evaluate; take fewer")
        return mine

    def train_batches_for_statistics(self, n: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """``(images, labels)`` of min(n, train_size) training images in batches of ``batch``, for precise BN.

        They are augmented, since batch norm is trained on augmented images: the first images of the run's epoch 0, as
        they look there. Every rank gets the same ones. The last batch may be smaller.
        """
        self.setup()
        order = self.batches(0, 1 if self.accumulate == 1 else self.execution.world_size).order(0)[:n]
        starts = range(0, len(order), batch)
        yield from self._train_source().blocks([MicroBatch(order[s : s + batch], 1.0, s) for s in starts], 0)

    @property
    def by_batch(self) -> bool:
        """Whether the net normalises evaluation batches by their own statistics."""
        return self.spec.model.args.get("bn_eval") == "batch"

    def _normaliser(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Normalise:
        """Of images of ``input_shape``: to mean 0 and deviation 1, or as ``pixels`` says whatever the images are."""
        channels, height, width = self.input_shape
        if (fixed := PIXELS.get(self.spec.data.pixels)) is not None:
            mean, std = (fixed[0],) * channels, (fixed[1],) * channels
        return Normalise(mean, std, height, width)

    def _place(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


class ArrayData(RunData):
    """Data held in memory: memory-mapped uint8, augmented in batches, no worker processes."""

    def _open(self) -> int:
        self.arrays = load(self.spec.data.name, self.data_dir)
        self.num_classes = len(self.arrays.classes)
        self.sha256, self.data_name = self.arrays.sha256, self.arrays.name
        channels, height, width = self.arrays.train_x.shape[1:]
        self.input_shape = (channels, height, width)
        self.normalise = self._normaliser(self.arrays.mean, self.arrays.std)
        return len(self.arrays.train_x)

    def plain(self, split: Literal["train", "test"], n: int | None = None) -> tuple[Tensor, Tensor]:
        """The first n images, float32 [n, C, H, W], not augmented, and their labels, int64 [n]; None: all.

        In the order of the data set, ``mixed`` where that is class by class. ``test`` is what the run is evaluated on:
        the held-out images where there are any.
        """
        self.setup()
        trained = self.arrays.train_x, self.arrays.train_y, self.train_ids
        images, labels, ids = trained if split == "train" else self._evaluated()
        ids = ids[mixed(labels[ids])[:n]]
        return self.normalise(np.moveaxis(images, 1, -1)[ids]), torch.from_numpy(labels[ids].astype(np.int64))

    def _evaluated(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(images, labels, ids of those to evaluate on)``."""
        arrays = self.arrays
        if len(self.held_ids):
            return arrays.train_x, arrays.train_y, self.held_ids
        return arrays.test_x, arrays.test_y, np.arange(len(arrays.test_x))

    def _train_source(self) -> ArrayImages:
        kind = self.spec.data.augment
        if kind == "imagenet" or kind == "imagenet-crop":  # so written, type checkers know the rest
            raise DataError(f"augment={kind!r} needs images in a folder: folder:<path> or imagenet")
        images = np.moveaxis(self.arrays.train_x, 1, -1)
        per_place = self.spec.data.augment_per == "place"
        return ArrayImages(images, self.arrays.train_y, self.train_ids, kind, self.normalise, self.spec.seed, per_place)

    def _eval_loader(self, rank: int, world: int) -> EvalLoader:
        images, labels, ids = self._evaluated()
        if self.by_batch:
            ids = ids[mixed(labels[ids])]
        if self.by_batch or len(self.held_ids):  # else all, which stay memory-mapped
            images, labels = images[ids], labels[ids]
        images = np.moveaxis(images, 1, -1)
        batch = STATISTICS_BATCH if self.by_batch else EVAL_BATCH
        return EvalLoader(images, labels, self.normalise, batch=batch, rank=rank, world=world, whole=self.by_batch)
