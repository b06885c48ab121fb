"""Tiny specs and a paper made for the tests of training; functions here run in child processes too."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from replications.goyal import PAPER
from shared import training
from shared.callbacks import Checkpoints
from shared.spec import DataSpec, Execution, ModelSpec, OptimizerSpec, RunSpec

NETS = {
    "bn-free": ModelSpec(name="mlp", args={"hidden": "16", "batch_norm": False}),
    "ghost-bn": ModelSpec(name="resnet-small", args={"width": 4, "stem_stride": 1}),
}


def spec(net: str = "ghost-bn", **changes) -> RunSpec:
    """A Goyal run on digits that takes a fraction of a second: batch 64 of ghosts of 16, warm-up over an epoch."""
    return PAPER.spec(
        paper="goyal",
        arm=f"test-{net}",
        preset="smoke",
        seed=3,
        protocol=1,
        model=NETS[net],
        data=DataSpec(name="digits", train_size=448),
        batch_size=64,
        bn_batch=16 if net == "ghost-bn" else None,
        epochs=3,
        lr=0.1,
        optimizer=OptimizerSpec(nesterov=True, weight_decay=1e-3, decay_skip=("bn",)),
        warmup="gradual",
        warmup_epochs=1.0,
        warmup_lr=0.02,
        milestones=(2,),
        decay=0.1,
    ).but(**changes)


def fit(made: RunSpec, execution: Execution, out: Path) -> dict[str, torch.Tensor]:
    """Weights and running statistics after training without a record, also from forked DDP workers."""
    module, data = training.assemble(made, execution, PAPER)

    class Keep(training.pl.Callback):
        def on_train_end(self, trainer, pl_module):
            if trainer.is_global_zero:
                torch.save(pl_module.net.state_dict(), out)

    training.trainer_for(made, execution, data, [Keep()], out.parent).fit(module, datamodule=data)
    return torch.load(out)


def kept_by_dropout(made: RunSpec, execution: Execution, folder: Path, disturb: bool) -> None:
    """Train, and write to ``<rank>.pt`` what the first dropout kept of each batch, bool [b, units]."""
    module, data = training.assemble(made, execution, PAPER)
    dropout = next(m for m in module.net.modules() if isinstance(m, torch.nn.Dropout))
    kept: list[torch.Tensor] = []
    dropout.register_forward_pre_hook(lambda m, given: 0 * given[0] + 1 if m.training else None)
    dropout.register_forward_hook(lambda m, given, made: kept.append(made.detach() != 0) if m.training else None)

    class Keep(training.pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            torch.rand(int(disturb))

        def on_train_end(self, trainer, pl_module):
            torch.save(kept, folder / f"{trainer.global_rank}.pt")

    training.trainer_for(made, execution, data, [Keep()], folder).fit(module, datamodule=data)


def train(made: RunSpec, folder: str, die: str = "", every_s: float = 0.0) -> None:
    """``training.run`` that may kill itself, as ``kill -9`` would: ``step:N``, ``epoch-end`` or ``writing``.

    ``term:N`` asks nicely, with SIGTERM.
    """
    os.environ |= {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    os.environ.pop("WANDB_SERVICE", None)  # a process of its own, not a guest of the W&B service of the tests
    save = Checkpoints.save

    def save_then_die(self, trainer):
        if die == "writing" and trainer.global_step == 10:
            trainer.save_checkpoint(self.folder / "fresh.ckpt")
            half = (self.folder / "fresh.ckpt").read_bytes()
            (self.folder / "fresh.ckpt").write_bytes(half[: len(half) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        save(self, trainer)
        if die == f"step:{trainer.global_step}" or (die == "epoch-end" and trainer.global_step == 14):
            os.kill(os.getpid(), signal.SIGKILL)
        if die == f"term:{trainer.global_step}":
            os.kill(os.getpid(), signal.SIGTERM)

    Checkpoints.save = save_then_die
    execution = Execution(accelerator="cpu", checkpoint_every_s=every_s)
    training.run(made, execution, Path(folder), PAPER)
