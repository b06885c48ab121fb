"""Weights kept at declared epochs, for runs that start from them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from shared.files import write_atomically


class Snapshots(pl.Callback):
    """Writes the net's state to ``weights-epoch-<k>.pt`` in ``folder`` after each epoch k (from 1) of ``epochs``."""

    def __init__(self, folder: Path, epochs: tuple[int, ...]):
        self.folder, self.epochs = folder, epochs

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        epoch = pl_module.pace.epoch(trainer.global_step)
        whole = trainer.global_step == pl_module.pace.before(epoch)
        if whole and epoch in self.epochs and trainer.is_global_zero:
            save_weights(pl_module.net, snapshot(self.folder, epoch))


def snapshot(folder: Path, epoch: int) -> Path:
    """Where the weights after epoch ``epoch`` of the run in ``folder`` are."""
    return folder / f"weights-epoch-{epoch}.pt"


def save_weights(net: torch.nn.Module, path: Path) -> None:
    """Write a net's state to ``path``, whole or not at all."""
    content = io.BytesIO()
    torch.save(net.state_dict(), content)
    write_atomically(path, content.getvalue())
