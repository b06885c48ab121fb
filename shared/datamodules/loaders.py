"""Loaders over arrays in memory: plain Python iterables, no worker processes, next to no cost per step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shared.datamodules.augment import Draws, Kind, Normalise, augment
from shared.datamodules.order import EpochBatches, MicroBatch

BLOCK = 256
"""Images prepared at a time: small batches share the cost of a call, and a block still fits a core's cache."""

TrainBatch = tuple[Tensor, Tensor, float]


class ArrayImages:
    """Training images in memory, augmented and normalised on demand.

    images uint8 [N, H, W, C] and labels int64 [N] are the whole training set; ids int64 [n] is the subset trained on.
    per_place: an image that an epoch holds twice is augmented by itself each time (``DataSpec.augment_per``).
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        ids: np.ndarray,
        kind: Kind,
        normalise: Normalise,
        seed: int,
        per_place: bool = False,
    ):
        self.images, self.labels, self.ids, self.kind, self.normalise = images, labels, ids, kind, normalise
        self.draws, self.per_place = Draws(len(images), seed), per_place

    def take(self, batches: list[MicroBatch], epoch: int) -> tuple[Tensor, Tensor]:
        """Images float32 [b, C, H, W] and labels int64 [b] of all these batches, augmented as in ``epoch``."""
        ids = self.ids[np.concatenate([b.ids for b in batches])]
        images = self.images[ids]
        if self.kind != "none":
            keys = np.concatenate([b.places for b in batches]) if self.per_place else ids
            images = augment(images, self.draws.of(epoch, keys), self.kind)
        return self.normalise(images), torch.from_numpy(self.labels[ids])

    def blocks(self, batches: list[MicroBatch], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """``take`` for each batch in turn, computed for several small batches at a time."""
        start = 0
        while start < len(batches):
            stop, count = start, 0
            while stop < len(batches) and (stop == start or count + len(batches[stop].ids) <= BLOCK):
                count += len(batches[stop].ids)
                stop += 1
            sizes = [len(b.ids) for b in batches[start:stop]]
            images, labels = self.take(batches[start:stop], epoch)
            yield from zip(images.split(sizes), labels.split(sizes), strict=True)
            start = stop


class TrainLoader:
    """Training batches ``(images, labels, weight)`` of one rank; its place in the epoch is saved in checkpoints.

    Lightning finds ``sampler`` (to announce epochs), ``state_dict`` and ``load_state_dict``. Iterators look at the
    batches only when they are first advanced: Lightning creates them before it restores the state and sets the epoch.
    """

    def __init__(self, source: Any, batches: EpochBatches):
        self.source = source
        self.batches = batches
        self.sampler = _Epochs(batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[TrainBatch]:
        return _Pass(self)

    def state_dict(self) -> dict[str, Any]:
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches.load_state_dict(state)
        self.sampler.restored = True


class _Epochs:
    """Takes over the epoch that Lightning announces first, unless a restored state says better; then counts by itself.

    An epoch ends when its batches are used up, and at nothing else. Resuming a run that is counted in updates from a
    checkpoint of an epoch's end, Lightning 2.6 announces an epoch too many, or trains a batch past the end.
    """

    def __init__(self, batches: EpochBatches):
        self.batches = batches
        self.restored = False
        self.announced = False

    def set_epoch(self, epoch: int) -> None:
        if not self.announced and not self.restored:
            self.batches.set_epoch(epoch)
        self.announced = True


class _Pass:
    """One iterator over a TrainLoader; it follows the batches when those are moved to another place."""

    def __init__(self, loader: TrainLoader):
        self.loader = loader
        self.place: tuple[int, int] | None = None
        self.stream: Iterator[tuple[Tensor, Tensor]] = iter(())
        self.plan: Iterator[MicroBatch] = iter(())

    def __iter__(self) -> _Pass:
        return self

    def __next__(self) -> TrainBatch:
        batches = self.loader.batches
        if self.place is None:
            batches.begin()
        if (batches.epoch, batches.position) != self.place:
            left = batches.remaining()
            self.plan = iter(left)
            self.stream = iter(self.loader.source.blocks(left, batches.epoch))
        batch = next(self.plan)  # StopIteration here ends the epoch
        images, labels = next(self.stream)
        # Counted before it is handed out: a checkpoint written while this batch is in use must include it.
        batches.position += 1
        self.place = (batches.epoch, batches.position)
        return images, labels, batch.weight


class EvalLoader:
    """Evaluation batches ``(images, labels)`` of one rank: samples rank, rank + W, … in order, each exactly once.

    ``whole``: the ranks take turns at whole batches of consecutive samples instead, so that the batches are the same
    for any number of ranks, as nets need whose result depends on the evaluation batch.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        normalise: Normalise,
        *,
        batch: int = 1000,
        rank: int = 0,
        world: int = 1,
        whole: bool = False,
    ):
        self.images, self.labels, self.normalise = images, labels, normalise
        first, length, step = (rank * batch, batch, 1) if whole else (rank, batch * world, world)
        self.parts = [slice(s, s + length, step) for s in range(first, len(images), batch * world)]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part in self.parts:
            images = np.array(self.images[part])  # a copy: torch wants arrays that it may write to
            yield self.normalise(images), torch.from_numpy(np.array(self.labels[part], np.int64))
