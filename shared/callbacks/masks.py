"""Dropout where a run is spread over devices or is on a GPU: masks that ranks do not share and a resume repeats."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from shared.datamodules.order import raw_stream

MASKS = 303
"""First of a stream's name, to keep it apart from what else is drawn by seed and epoch."""


class DropoutMasks(pl.Callback):
    """Names the generators of a rank anew before each of its batches, by seed, epoch, batch and rank.

    Without it every rank starts from the run's seed and drops the same units of its share as the others of theirs, and
    a checkpoint would have to hold the state of each rank's device. A run in one CPU process keeps torch's one stream,
    which its checkpoint has.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.any = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in pl_module.net.modules())

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.any:
            key = (MASKS, pl_module.spec.seed, trainer.current_epoch, batch_idx, trainer.global_rank)
            torch.manual_seed(int(raw_stream(1, *key)[0] >> 1))
