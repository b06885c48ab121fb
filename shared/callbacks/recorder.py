"""The record of a run: one row an evaluation, with units, to W&B; the same rows ride in the checkpoint."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch

from shared.callbacks.checkpoints import evaluates_after
from shared.models import precise_bn


class Recorder(pl.Callback):
    """Builds a row at each evaluation and hands it to ``sink`` (rank 0 alone has one).

    A callback with ``columns(trainer, module, row, last)`` adds to the row. Rows are kept in the checkpoint too, and
    logged again on resume: a row that W&B had not flushed when the process was killed is not lost, and readers merge
    repeats on ``trainer/global_step``.
    """

    def __init__(self, sink: Callable[[dict[str, float]], None] | None):
        self.sink = sink
        self.rows: list[dict[str, float]] = []
        self.wall_s = 0.0
        self._train_s = 0.0
        self._counted = 0
        self._norms: dict[str, float] = {}
        self._clock = self._lap = time.monotonic()

    # -- clocks: training time excludes evaluation -------------------------------------------------------------------
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._clock = self._lap = time.monotonic()
        for row in self.rows:
            self._write(row)
        if self.rows and pl_module.finished(self.rows):  # killed between its last evaluation and its end
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._lap = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        now = time.monotonic()
        self._train_s, self._lap = self._train_s + now - self._lap, now

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._train_s += time.monotonic() - self._lap

    def elapsed(self) -> float:
        """Wall seconds in ``fit``, over all sessions of the run."""
        return self.wall_s + time.monotonic() - self._clock

    # -- norms: only of the update that an evaluation follows --------------------------------------------------------
    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer) -> None:
        if evaluates_after(trainer, pl_module.spec, trainer.global_step + 1):
            weights = list(pl_module.net.parameters())
            grads = [p.grad for p in weights if p.grad is not None]
            self._norms = {
                "grad_norm": float(torch.nn.utils.get_total_norm(grads)),
                "weight_norm": float(torch.nn.utils.get_total_norm([w.detach() for w in weights])),
            }

    # -- rows --------------------------------------------------------------------------------------------------------
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        val_loss, val_error, _ = pl_module.take("val")
        loss, error, counted = pl_module.take("train")
        updates = trainer.global_step
        row = {
            "trainer/global_step": updates,
            "epoch": pl_module.pace.epochs(updates),
            "samples": pl_module.pace.samples(updates),
            "train/loss": loss,
            "train/error": error,
            "val/loss": val_loss,
            "val/error": val_error,
            "lr": pl_module.rate(updates - 1),
            **self._norms,
            "images_per_s": counted / self._train_s if self._train_s else float("nan"),
        }
        if pl_module.spec.precise_bn:
            row["val/error_precise_bn"] = self._with_precise_bn(trainer, pl_module)
        self._train_s = 0.0
        spec = pl_module.spec
        stop = pl_module.finished([*self.rows, row])
        last = stop or updates == (spec.updates or pl_module.pace.before(spec.epochs))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # a connector sets it
            if hasattr(callback, "columns"):
                row |= callback.columns(trainer, pl_module, row, last)
        self.rows.append(row)
        self._write(row)
        if stop:
            trainer.should_stop = True
        self._lap = time.monotonic()

    @torch.no_grad()
    def _with_precise_bn(self, trainer: pl.Trainer, pl_module: Any) -> float:
        """Percent error with batch-norm statistics averaged over training images (Goyal §5.2, Fig 4)."""
        data = trainer.datamodule  # type: ignore[attr-defined]  # a connector sets it

        def ready(images: torch.Tensor) -> torch.Tensor:
            return trainer.precision_plugin.convert_input(images.to(pl_module.device))

        seen = data.train_batches_for_statistics(pl_module.spec.precise_bn, batch=1024)
        with trainer.precision_plugin.forward_context(), precise_bn(pl_module.net, (ready(x) for x, _ in seen)):
            pl_module.net.eval()
            for images, labels in data.val_dataloader():
                pl_module.validation_step((ready(images), labels.to(pl_module.device)), 0)
        return pl_module.take("val")[1]

    def _write(self, row: dict[str, float]) -> None:
        if self.sink:
            self.sink(row)

    def summary(self) -> dict[str, float]:
        """The run's declared end values: last evaluation, and Goyal's median over the last five (§5.1)."""
        if not self.rows:
            return {}
        last = self.rows[-1]
        keys = ("train/loss", "train/error", "val/loss", "val/error", "val/error_precise_bn", "samples")
        speeds = [r["images_per_s"] for r in self.rows]
        return {
            **{k: last[k] for k in keys if k in last},
            "updates": last["trainer/global_step"],
            "val/error_last5_median": statistics.median(r["val/error"] for r in self.rows[-5:]),
            "images_per_s": statistics.median(speeds),
        }

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "wall_s": self.elapsed(), "train_s": self._train_s + time.monotonic() - self._lap}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.wall_s, self._train_s = state["rows"], state["wall_s"], state["train_s"]
