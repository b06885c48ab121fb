"""One checkpoint a run, replaced atomically: a kill at any instant leaves a whole one behind."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from shared.spec import RunSpec


class Checkpoints(pl.callbacks.Checkpoint):
    """Saves ``last.ckpt`` every ``every_s`` seconds, after an update, and keeps the one before as ``previous.ckpt``.

    The two files cover each other: whichever instant the process dies at, one of them is whole. Lightning calls a
    ``Checkpoint`` after all other callbacks, so that what they note of an update is in the checkpoint of it.
    """

    def __init__(self, folder: Path, every_s: float):
        self.folder = folder
        self.look_every = 20 if every_s else 1
        """Updates between looks at the clock: under DDP each look is a broadcast."""
        self.every_s = every_s
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs, batch, batch_idx: int) -> None:
        # In the middle of an accumulation group the gradients are not part of a checkpoint; and of one taken between
        # an update and its evaluation Lightning forgets, on resume, that the evaluation is still to come.
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and trainer.global_step % self.look_every == 0
        if whole and not evaluates_after(trainer, pl_module.spec, trainer.global_step):
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        due = time.monotonic() - self._saved_at >= self.every_s
        if trainer.world_size > 1:
            due = trainer.strategy.broadcast(due)
        if due:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        fresh, last = self.folder / "fresh.ckpt", self.folder / "last.ckpt"
        with _temporary_files_in(self.folder):
            trainer.save_checkpoint(fresh)
        if trainer.is_global_zero:
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            if last.exists():
                os.replace(last, self.folder / "previous.ckpt")
            os.replace(fresh, last)
        self._saved_at = time.monotonic()


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Lightning writes a checkpoint to a temporary file first: not in /tmp, which may be small, or on another disk."""
    kept, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = kept


def evaluates_after(trainer: pl.Trainer, spec: RunSpec, update: int) -> bool:
    """Whether an evaluation may follow the present batch, which is or completes update number ``update`` (from 1)."""
    return trainer.is_last_batch if spec.epochs else update % spec.eval_every == 0
