"""What every paper's LightningModule shares: weighted loss, exact sums of loss and errors, a rate set per update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shared.models import flush_running_stats
from shared.optim import make_optimizer
from shared.spec import RunSpec


class ClassifierModule(pl.LightningModule):
    """A classifier trained by cross-entropy; a paper overrides ``rate`` and whatever its method changes.

    Batches are ``(images [b, C, H, W], labels [b], weight)``. The weight makes the mean over micro-batches and ranks
    the mean over the global batch (Goyal §3, remark 3: normalise by kn), also when the last group is a partial one.
    """

    def __init__(self, spec: RunSpec, net: nn.Module, steps_per_epoch: int):
        super().__init__()
        self.spec = spec
        self.net = net
        self.steps_per_epoch = steps_per_epoch
        self.deferred = False
        """Ghost statistics wait for the update, because other micro-batches or ranks contribute to it."""
        self.sums = {"train": torch.zeros(3, dtype=torch.float64), "val": torch.zeros(3, dtype=torch.float64)}
        """Per split: summed loss, wrong predictions, samples since the last row of the record."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the hook it calls some forty times a step; nn.Module's own way is slow for plain values.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def rate(self, update: int) -> float:
        """Learning rate of update number ``update`` (from 0)."""
        return self.spec.lr

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def training_step(self, batch: tuple[Tensor, Tensor, float], batch_idx: int) -> Tensor:
        images, labels, weight = batch
        logits = self.net(images)
        loss = F.cross_entropy(logits, labels)
        self._count("train", loss, logits, labels)
        return loss if weight == 1 else loss * weight

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self.net(images)
        self._count("val", F.cross_entropy(logits, labels), logits, labels)

    @torch.no_grad()
    def _count(self, split: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        wrong = (logits.argmax(1) != labels).sum()
        n = float(len(labels))
        if loss.device.type == "cpu":  # three Python floats are cheaper than tensor arithmetic
            sums = self.sums[split]
            sums += torch.tensor((loss.item() * n, wrong.item(), n), dtype=torch.float64)
        else:
            self.sums[split] = self.sums[split].to(loss.device)
            self.sums[split] += torch.stack((loss.double() * n, wrong.double(), loss.new_tensor(n).double()))

    def take(self, split: str) -> tuple[float, float, int]:
        """Mean loss, error in percent and sample count over all ranks since the last call, and start anew."""
        loss, wrong, n = self._over_ranks(self.sums[split]).tolist()
        self.sums[split] = torch.zeros_like(self.sums[split])
        return (loss / n, 100.0 * wrong / n, round(n)) if n else (float("nan"), float("nan"), 0)

    def _over_ranks(self, sums: Tensor) -> Tensor:
        return self.all_gather(sums.to(self.device)).sum(0) if self.trainer.world_size > 1 else sums

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.net, self.spec.optimizer, self.spec.lr)

    # What a paper may add to the record, and when training ends early

    def finished(self, rows: list[dict[str, float]]) -> bool:
        """Whether training is to stop before its declared length, given the rows of the record so far."""
        return False

    def summarise(self, rows: list[dict[str, float]]) -> dict[str, float]:
        """What the run's summary says besides the usual end values."""
        return {}

    def inherit(self, folders: list[Path]) -> None:
        """Take over weights from the finished runs of ``spec.parents``, in their order."""

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        lr = self.rate(self.trainer.global_step)
        for group in optimizer.param_groups:
            group["lr"] = lr

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.deferred:
            flush_running_stats(self.net)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Every rank comes through here; the checkpoint holds the total, which rank 0 takes over on resume.
        checkpoint["sums"] = {k: self._over_ranks(v).cpu() for k, v in self.sums.items()}
        checkpoint["rng"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        first = self.trainer.global_rank == 0
        self.sums = {k: v if first else torch.zeros_like(v) for k, v in checkpoint["sums"].items()}
        self._rng = checkpoint["rng"]

    def on_train_start(self) -> None:
        if (state := self.__dict__.pop("_rng", None)) is not None:
            torch.set_rng_state(state)
