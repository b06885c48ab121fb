"""Which sample goes into which update, on which device: a function of (seed, epoch) and of nothing else.

An epoch is one permutation of the training samples, cut into global batches, unless batches are drawn afresh (see
``Draw``). A global batch is cut into contiguous micro-batches, rank by rank, in whole batch-norm chunks: the samples
that share batch statistics, and their order, are the same for every split over devices and accumulation steps (Goyal et
al. 2017, sections 2.3 and 3).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

ORDER, DRAWS, SUBSET, TRANSFORM, MIXED = 1, 2, 3, 4, 5
"""Names of independent random streams; a stream is keyed by (its name, seed, epoch, …)."""
Draw = Literal["permutation", "batch", "replacement"]
"""How an epoch's batches come about (``DataSpec.draw``)."""


class SplitError(ValueError):
    """A global batch that cannot be cut over devices and micro-batches as asked."""


class ResumeError(ValueError):
    """A saved position in the epoch that does not fit the loader it is given to."""


def raw_stream(n: int, *key: int) -> np.ndarray:
    """n raw 64-bit draws, uint64 [n], of the Philox stream named by ``key``.

    Raw draws are used, not numpy's distributions, because only those streams are promised to stay the same between
    numpy versions (NEP 19).
    """
    if min(key) < 0:
        raise ValueError(f"seeds and epochs must not be negative: {key}")
    return np.random.Philox(np.random.SeedSequence(list(key))).random_raw(n)


def permutation(n: int, *key: int) -> np.ndarray:
    """A random permutation of range(n), int64 [n], named by ``key``."""
    return np.argsort(raw_stream(n, *key), kind="stable")


def integers(n: int, *key: int) -> np.ndarray:
    """n independent random elements of range(n), int64 [n], named by ``key``."""
    return (raw_stream(n, *key) % np.uint64(n)).astype(np.int64)  # uneven by less than n in 2⁶⁴


def mixed(labels: np.ndarray) -> np.ndarray:
    """An order of these labels, int64 [n]: as they are, or a fixed random one where they are stored class by class.

    A folder of images has one class after the other. Batch statistics of consecutive images, and the first n of them,
    would then be of a few classes alone.
    """
    by_class = labels[0] != labels[-1] and bool(np.all(labels[1:] >= labels[:-1]))
    return permutation(len(labels), MIXED) if by_class else np.arange(len(labels))


@dataclass(frozen=True)
class MicroBatch:
    """What one device sees in one forward pass."""

    ids: np.ndarray
    """Positions in the training subset, int64 [b]."""
    weight: float
    """b·A·W/B for B samples in the global batch: Lightning's division by A and the mean over W ranks then leave
    exactly the mean over the global batch, whatever the sizes of its parts."""
    start: int = 0
    """Place of the first of them in the epoch's order."""

    @property
    def places(self) -> np.ndarray:
        """Of all of them, int64 [b]."""
        return np.arange(self.start, self.start + len(self.ids))


def accumulation(batch_size: int, chunk: int | None, world: int = 1, micro_batch: int | None = None) -> int:
    """Micro-batches per device and update (Lightning's ``accumulate_grad_batches``); SplitError if there is no split.

    chunk: samples that share batch statistics and must stay together (None: samples are independent).
    micro_batch: most samples per device and forward pass (None: the device's whole share).
    """
    return len(split(batch_size, chunk, world, micro_batch)[0])


def split(n: int, chunk: int | None, world: int, micro_batch: int | None) -> list[list[slice]]:
    """``[rank][micro-batch]`` → slice of a global batch of n samples; contiguous, rank-major, whole chunks.

    Every rank gets the same number of parts and no part is empty. Raises SplitError where that is impossible.
    """
    size = min(chunk or 1, n)
    chunks = -(-n // size)
    what = f"a batch of {n} in chunks of {size} (bn_batch)" if size > 1 else f"a batch of {n}"
    if micro_batch is not None and micro_batch < size:
        raise SplitError(
            f"micro_batch={micro_batch} is smaller than the {size} samples that share batch statistics (bn_batch); "
            f"use micro_batch={size} or a multiple"
        )
    most = chunks if micro_batch is None else micro_batch // size
    parts = max(1, -(-chunks // (most * world)))
    if chunks < world * parts:
        raise SplitError(
            f"{what} makes {chunks} parts and cannot be cut evenly over {world} devices with {parts} micro-batches "
            f"each; use at most {chunks} devices, or another micro_batch"
        )
    edges = [min(n, size * (k * chunks // (world * parts))) for k in range(world * parts + 1)]
    cuts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return [cuts[r * parts : (r + 1) * parts] for r in range(world)]


class EpochBatches:
    """The micro-batches of one rank, epoch by epoch, with a position that can be saved and restored.

    Iterating yields ``MicroBatch`` from the current position on and moves it. ``set_epoch`` starts another epoch; for
    the present epoch it keeps the position. A pass begun at the end of an epoch goes on with the next one.

    n: training samples, of which an epoch leaves out what fills no batch.
    draw: what an epoch of n // batch_size batches is made of (``DataSpec.draw``).
    Raises SplitError when a batch cannot be cut as asked, or when n holds no full batch.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        *,
        chunk: int | None = None,
        micro_batch: int | None = None,
        rank: int = 0,
        world: int = 1,
        draw: Draw = "permutation",
    ):
        if not 0 <= rank < world:
            raise SplitError(f"rank {rank} is not one of {world} ranks")
        self.n, self.batch_size, self.seed, self.rank, self.world = n, batch_size, seed, rank, world
        self.draw = draw
        self.updates = n // batch_size
        if not self.updates:
            raise SplitError(f"batch_size={batch_size} exceeds the {n} training samples; use at most {n}")
        self._cuts = split(batch_size, chunk, world, micro_batch)[rank]
        self.accumulate = len(self._cuts)
        self.epoch = 0
        self.position = 0
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """Micro-batches of this rank in one epoch."""
        return self.updates * self.accumulate

    def order(self, epoch: int) -> np.ndarray:
        """The samples of an epoch in their order, int64: the same on every rank, new in every epoch."""
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._drawn(ORDER, self.seed, epoch))
        return self._order[1]

    def _drawn(self, *key: int) -> np.ndarray:
        if self.draw == "permutation":
            return permutation(self.n, *key)
        if self.draw == "replacement":
            return integers(self.n, *key)
        return np.concatenate([permutation(self.n, *key, u)[: self.batch_size] for u in range(self.updates)])

    def at(self, position: int) -> MicroBatch:
        """Micro-batch number ``position`` of the current epoch."""
        update, part = divmod(position, self.accumulate)
        start = update * self.batch_size
        cut = self._cuts[part]
        ids = self.order(self.epoch)[start + cut.start : start + cut.stop]
        return MicroBatch(ids, len(ids) * self.accumulate * self.world / self.batch_size, start + cut.start)

    def remaining(self) -> list[MicroBatch]:
        """What is left of the current epoch; the position stays."""
        return [self.at(p) for p in range(self.position, len(self))]

    def begin(self) -> None:
        """Start a pass: at the end of an epoch this is the next epoch, otherwise nothing changes."""
        if self.position >= len(self):
            self.set_epoch(self.epoch + 1)

    def __iter__(self) -> Iterator[MicroBatch]:
        self.begin()
        while self.position < len(self):
            batch = self.at(self.position)
            # Before the yield: a checkpoint written while this batch is in use must count it.
            self.position += 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Plain integers: epoch, micro-batches handed out in it, and what they depend on."""
        return {"epoch": self.epoch, "position": self.position, "accumulate": self.accumulate, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position; ResumeError when it was saved by other data, batches, seed or, mid-epoch, split."""
        for key, ours in self._identity().items():
            if state[key] != ours:
                raise ResumeError(
                    f"the checkpoint was written with {key}={state[key]}, this run has {ours}; "
                    "remove the checkpoint or restore the setting"
                )
        position, theirs = state["position"], state["accumulate"]
        middle = 0 < position < -(-len(self) // self.accumulate) * theirs
        if position % theirs and middle:
            raise ResumeError(
                f"the checkpoint was written inside an update (micro-batch {position % theirs} of {theirs}), whose "
                "gradient is lost; resume from one written between updates"
            )
        if middle and theirs != self.accumulate:
            raise ResumeError(
                f"the checkpoint was written inside an epoch with {theirs} micro-batches per update, this run has "
                f"{self.accumulate}; resume with the same devices and micro_batch, or from the end of an epoch"
            )
        self.epoch = state["epoch"]
        self.position = position if middle else (0 if position == 0 else len(self))

    def _identity(self) -> dict[str, int]:
        return {"n": self.n, "batch_size": self.batch_size, "seed": self.seed}
