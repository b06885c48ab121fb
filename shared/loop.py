"""Lightning's loop over the batches of an epoch, without what costs a small net more than its arithmetic.

Around ``training_step`` Lightning 2.6 calls every hook of the module and of each callback, overridden or not, moves a
batch that is in place already, keeps the tables behind ``self.log``: 1,500 Python calls a step, a quarter of the time
of a 784-800-10 net at batch 32. ``EpochLoop`` takes the same step with a third of the calls: Lightning's order and
counters, but of the hooks only those that somebody overrides. The rest of an epoch, evaluation, checkpoints, resuming
and stopping stay Lightning's, and so does every step that is not as simple as ``simple`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import DoublePrecision, MixedPrecision, Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor

Listeners = dict[str, list[Callable[..., Any]]]
HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def simple(trainer: pl.Trainer) -> bool:
    """Whether a step is one forward pass on one device, one backward pass and one call of the optimizer."""
    module, precision = trainer.lightning_module, trainer.precision_plugin
    return (
        isinstance(trainer.strategy, SingleDeviceStrategy)
        and type(precision) in (Precision, DoublePrecision, MixedPrecision)
        and getattr(precision, "scaler", None) is None
        and trainer.accumulate_grad_batches == 1
        and trainer.gradient_clip_val is None
        and module.automatic_optimization
        and not (trainer.lr_scheduler_configs or trainer.loggers)
        and not is_overridden("configure_gradient_clipping", module)
        and not is_overridden("on_train_batch_start", module)  # it may skip the rest of an epoch
    )


def signal_ranks(trainer: pl.Trainer, number: int, _: object = None) -> None:
    """Send a signal to the ranks that this process started. Lightning's own handler would then wait for an answer."""
    launcher: Any = trainer.strategy.launcher
    if launcher is not None:
        launcher.kill(number)


class EpochLoop(_TrainingEpochLoop):
    """For ``trainer.fit_loop.epoch_loop``. ``training_step`` takes (batch, index), returns its loss and logs nothing.

    ``self.log`` in it raises Lightning's error, that it is out of the Trainer's control.
    """

    hooks: Listeners | None = None
    """Who listens, found when an epoch first starts; forgotten when ``fit`` ends."""

    @classmethod
    def install(cls, trainer: pl.Trainer) -> None:
        given = trainer.fit_loop.epoch_loop
        trainer.fit_loop.epoch_loop = cls(trainer, given.min_steps, given.max_steps)
        signals: Any = trainer._signal_connector
        signals._sigterm_notifier_fn = partial(signal_ranks, trainer)

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        if self.hooks is None:
            trainer: Any = self.trainer
            module = trainer.lightning_module
            self.hooks = {name: _overridden(name, trainer) for name in HOOKS}
            moved = any(is_overridden(name, owner) for name in TRANSFER for owner in (module, trainer.datamodule))
            self.in_place = module.device.type == "cpu" and not moved
        self.simple = simple(self.trainer)  # anew: a batch that grows may need accumulation from some epoch on

    def teardown(self) -> None:
        super().teardown()
        self.hooks = None

    def _broadcast_sigterm_tensor(self) -> None:
        """Nothing: SIGTERM interrupts every process by itself. Lightning asks rank 0 about it before each batch, for
        which the host waits until the device has done all that it was given."""

    def advance(self, data_fetcher: Any) -> None:
        if self._restarting or not self.simple or self.hooks is None:
            super().advance(data_fetcher)
            return
        if self.val_loop._restarting:
            self.val_loop.restarting = False
        trainer, progress, hooks = self.trainer, self.batch_progress, self.hooks
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        batch = trainer.precision_plugin.convert_input(batch)
        if not self.in_place:
            batch = trainer.lightning_module._on_before_batch_transfer(batch)
            batch = trainer.strategy.batch_to_device(batch)
        progress.increment_ready()
        for hook in hooks["on_train_batch_start"]:
            hook(batch, index)
        progress.increment_started()
        loss = self._update(batch, index, hooks)
        progress.increment_processed()
        for hook in hooks["on_train_batch_end"]:
            hook({"loss": loss}, batch, index)
        progress.increment_completed()

    def _update(self, batch: Any, index: int, hooks: Listeners) -> Tensor:
        """One call of the optimizer; returns the loss [], without its graph, of the last time it was asked for."""
        trainer: Any = self.trainer
        module, optimizer, epoch = trainer.lightning_module, trainer.optimizers[0], trainer.current_epoch
        progress, precision = self.automatic_optimization.optim_progress.optimizer, trainer.precision_plugin
        last: list[Tensor] = []

        def closure() -> Tensor:
            with torch.enable_grad():
                with precision.train_step_context():
                    loss = module.training_step(batch, index)
                progress.zero_grad.increment_ready()
                for hook in hooks["on_before_zero_grad"]:
                    hook(optimizer)
                progress.zero_grad.increment_started()
                module.optimizer_zero_grad(epoch, index, optimizer)
                progress.zero_grad.increment_completed()
                for hook in hooks["on_before_backward"]:
                    hook(loss)
                module.backward(loss)
                for hook in hooks["on_after_backward"]:
                    hook()
            for hook in hooks["on_before_optimizer_step"]:
                hook(optimizer)
            last[:] = [loss.detach()]
            return last[0]

        progress.step.increment_ready()
        module.optimizer_step(epoch, index, optimizer, closure)
        progress.step.increment_completed()
        return last[0]


def _overridden(name: str, trainer: Any) -> list[Callable[..., Any]]:
    """The hooks of this name that do something: the callbacks' in turn, then the module's, as Lightning calls them."""
    module = trainer.lightning_module
    found: list[Callable[..., Any]] = [
        partial(getattr(c, name), trainer, module) for c in trainer.callbacks if is_overridden(name, c)
    ]
    return [*found, getattr(module, name)] if is_overridden(name, module) else found
