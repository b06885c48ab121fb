"""Tiny growing runs for the tests of smith_b; functions here run in child processes too."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from replications.smith_b import PAPER, experiments
from shared import training
from shared.callbacks import Checkpoints
from shared.spec import Execution


def grown(name: str = "increase", **changes) -> experiments.SmithBSpec:
    """Digits: batches 16 → 48 → 144 → 432 of 640, after 3, 6 and 8 of 10 epochs of 40, 13, 4 and 1 updates."""
    long = {"epochs": 10, "drops": (0.3, 0.6, 0.8)}
    return experiments.arm("smoke", name, 3).but(**{**long, **changes})


def fit(made, execution: Execution, out: Path) -> dict[str, torch.Tensor]:
    """Weights and running statistics after training without a record, also from forked DDP workers."""
    module, data = training.assemble(made, execution, PAPER)

    class Keep(training.pl.Callback):
        def on_train_end(self, trainer, pl_module):
            if trainer.is_global_zero:
                torch.save({"updates": torch.tensor(trainer.global_step), **pl_module.net.state_dict()}, out)

    training.trainer_for(made, execution, data, [Keep()], out.parent).fit(module, datamodule=data)
    return torch.load(out)


def train(made, folder: str, die: int = 0, micro_batch: int | None = None) -> None:
    """``training.run`` that kills itself as ``kill -9`` would, after a checkpoint at update ``die``, the only one."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    os.environ.pop("WANDB_SERVICE", None)  # a process of its own, not a guest of the W&B service of the tests
    save = Checkpoints.save

    def save_then_die(self, trainer):
        if trainer.global_step == die:
            save(self, trainer)
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.save = save_then_die
    execution = Execution(accelerator="cpu", checkpoint_every_s=0.0, micro_batch=micro_batch)
    training.run(made, execution, Path(folder), PAPER)
