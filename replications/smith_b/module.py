"""Smith et al. 2018 in Lightning: rate and momentum of each update; the batch grows in the spec and the data."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from replications.smith_b import method
from replications.smith_b.experiments import DROPS, WINDOWS, SmithBSpec
from shared.module import ClassifierModule

Rows = list[dict[str, float]]


class Module(ClassifierModule):
    """Sets what the schedule says before every update; the same schedule gives the loaders their batch."""

    spec: SmithBSpec

    def configure_callbacks(self) -> list[pl.Callback]:
        return [NoiseScale()]

    def setting(self, update: int) -> method.Setting:
        """Rate, batch and momentum of update number ``update`` (from 0)."""
        s = self.spec
        # A drop comes with the first update of its epoch, or of its fraction of a run counted in updates.
        progress = self.pace.epoch(update) / s.epochs if s.epochs else update / (s.updates or 1)
        setting = s.rule.at(progress)
        if s.warmup_epochs and (done := self.pace.epochs(update) / s.warmup_epochs) < 1:
            return setting._replace(lr=s.warmup_lr + (setting.lr - s.warmup_lr) * done)
        return setting

    def rate(self, update: int) -> float:
        return self.setting(update).lr

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        setting = self.setting(self.trainer.global_step)
        for group in optimizer.param_groups:
            group["lr"] = setting.lr
            if "momentum" in group:
                group["momentum"] = setting.momentum

    def summarise(self, rows: Rows) -> dict[str, float]:
        """Medians of test error and training loss over stretches of training."""
        s = self.spec
        length = s.epochs or (s.updates or 0) / self.steps_per_epoch
        places = s.drops if len(s.drops) == len(DROPS) else DROPS
        found = {}
        for name, window in WINDOWS.items():
            start, end = np.interp(window, (0, *DROPS, 1), (0, *places, 1))
            inside = [r for r in rows if start - 1e-6 <= r["epoch"] / length <= end + 1e-6]
            for metric in ("val/error", "train/loss") if inside else ():
                found[f"{name}/{metric}"] = statistics.median(r[metric] for r in inside)
        return found


class NoiseScale(pl.Callback):
    """``batch``, ``momentum`` and the noise scale of the last update, exact and approximate, in every row."""

    def columns(self, trainer: Any, pl_module: Any, row: dict[str, float], last: bool) -> dict[str, float]:
        lr, batch, momentum = pl_module.setting(trainer.global_step - 1)
        n = trainer.datamodule.train_size
        return {
            "batch": float(batch),
            "momentum": momentum,
            "noise/exact": method.noise_scale(lr, batch, momentum, n),
            "noise/approximate": method.noise_scale(lr, batch, momentum, n, exact=False),
        }
