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
from shared.pace import Pace
from shared.spec import RunSpec

COUNT_AT = 1024
"""Samples whose predictions are kept before they are counted."""


class ClassifierModule(pl.LightningModule):
    """A classifier trained by cross-entropy; a paper overrides ``rate`` and whatever its method changes.

    Batches are ``(images [b, C, H, W], labels [b], weight)``. The weight makes the mean over micro-batches and ranks
    the mean over the global batch (Goyal §3, remark 3: normalise by kn), also when the last group is a partial one.
    """

    pace: Pace
    """Updates, samples and epochs of this run, from its data."""

    def __init__(self, spec: RunSpec, net: nn.Module, steps_per_epoch: int):
        super().__init__()
        self.spec = spec
        self.net = net
        self.steps_per_epoch = steps_per_epoch
        """Of the first epoch; where the batch grows, later ones have fewer, see ``pace``."""
        self.deferred = False
        """Ghost statistics wait for the update, because other micro-batches or ranks contribute to it."""
        self.sums = {"train": torch.zeros(3, dtype=torch.float64), "val": torch.zeros(3, dtype=torch.float64)}
        """Per split: summed loss, wrong predictions, samples since the last row of the record; see ``totals``."""
        self._uncounted: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {"train": [], "val": []}

    @property
    def classes(self) -> int:
        """Width of the last linear layer."""
        return [m for m in self.net.modules() if isinstance(m, nn.Linear)][-1].out_features

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

    def _count(self, split: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        # Small batches are counted together: a step of a small net feels half a dozen tiny operations more.
        waiting = self._uncounted[split]
        waiting.append((loss.detach(), logits.detach(), labels))
        if len(waiting) * len(labels) >= COUNT_AT:
            self.totals(split)

    @torch.no_grad()
    def totals(self, split: str) -> Tensor:
        """Summed loss, wrong predictions and samples of this rank since the last row of the record, float64 [3]."""
        sums = self.sums[split]
        if waiting := self._uncounted[split]:
            losses, logits, labels = zip(*waiting, strict=True)
            self.sums[split] = sums = sums.to(logits[0].device)
            # One after the other and in float64, so that it does not matter which batches are counted together.
            total, wrong, count = sums
            for loss, answers in zip(losses, labels, strict=True):
                total += loss.double() * len(answers)
            wrong += (torch.cat(logits).argmax(1) != torch.cat(labels)).sum()
            count += sum(len(answers) for answers in labels)
            waiting.clear()
        return sums

    def take(self, split: str) -> tuple[float, float, int]:
        """Mean loss, error in percent and sample count over all ranks since the last call, and start anew."""
        loss, wrong, n = self._over_ranks(self.totals(split)).tolist()
        self.sums[split] = torch.zeros_like(self.sums[split])
        return (loss / n, 100.0 * wrong / n, round(n)) if n else (float("nan"), float("nan"), 0)

    def _over_ranks(self, sums: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return sums
        gathered = self.all_gather(sums.to(self.device))
        assert isinstance(gathered, Tensor)
        return gathered.sum(0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.net, self.spec.optimizer, self.spec.lr)

    # What a paper may add to the record, and when training ends early

    def finished(self, rows: list[dict[str, float]]) -> bool:
        """Whether training is to stop before its declared length, given the rows of the record so far."""
        return False

    def summarise(self, rows: list[dict[str, float]]) -> dict[str, float]:
        """What the run's summary says besides the usual end values."""
        return {}

    def lost(self, error: float) -> dict[str, float]:
        """What the summary of a run that diverged says besides ``val/error``; ``error`` is chance level in percent."""
        return {}

    def inherit(self, folders: list[Path]) -> None:
        """Take over weights from the finished runs of ``spec.parents``, in their order."""

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        lr = self.rate(self.trainer.global_step)
        for group in optimizer.param_groups:
            group["lr"] = lr

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:  # what zero_grad does, less its profiler and its table of devices
            for parameter in group["params"]:
                parameter.grad = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.deferred:
            flush_running_stats(self.net)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Every rank comes through here; the checkpoint holds the total, which rank 0 takes over on resume.
        checkpoint["sums"] = {k: self._over_ranks(self.totals(k)).cpu() for k in self.sums}
        checkpoint["rng"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        first = self.trainer.global_rank == 0
        self.sums = {k: v if first else torch.zeros_like(v) for k, v in checkpoint["sums"].items()}
        self._uncounted = {k: [] for k in self.sums}
        self._rng = checkpoint["rng"]

    def on_train_start(self) -> None:
        if (state := self.__dict__.pop("_rng", None)) is not None:
            torch.set_rng_state(state)
