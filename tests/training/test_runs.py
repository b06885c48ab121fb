"""What a run leaves behind, and what it does when something is in its way."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from filelock import FileLock
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from replications.goyal import PAPER
from replications.goyal.method import learning_rate
from shared import training
from shared.callbacks import Checkpoints
from shared.runs.read import read_run
from shared.spec import Execution, ModelSpec, SpecError
from tests.training import runs

CPU = Execution(accelerator="cpu")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def test_a_run_is_recorded_and_then_skipped(tmp_path, monkeypatch):
    made = runs.spec(precise_bn=128)
    assert training.run(made, CPU, tmp_path, PAPER) == "finished"
    folder = training.run_dir(tmp_path, made)
    record = read_run(folder)
    assert record.finished
    assert (record.config["batch_size"], record.config["optimizer.momentum"]) == (64, 0.9)
    assert (record.summary["status"], record.summary["updates"]) == ("finished", 21)
    history = record.history
    assert list(history["trainer/global_step"]) == [7, 14, 21]
    assert list(history["epoch"]) == [1, 2, 3]
    assert list(history["samples"]) == [448, 896, 1344]
    assert history["val/error"].iloc[-1] < 80  # digits: chance is 90
    assert {"train/loss", "val/error_precise_bn", "lr", "grad_norm", "weight_norm", "images_per_s"} <= {*history}
    monkeypatch.setattr(training, "_train", lambda *a: pytest.fail("a finished run was trained again"))
    assert training.run(made, CPU, tmp_path, PAPER) == "finished"


def test_the_rate_used_is_the_schedule_of_the_method(tmp_path):
    made = runs.spec("bn-free")
    used = []

    class Spy(training.pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            used.append(trainer.optimizers[0].param_groups[0]["lr"])

    module, data = training.assemble(made, CPU, PAPER)
    training.trainer_for(made, CPU, data, [Spy()], tmp_path).fit(module, datamodule=data)
    plan = [
        learning_rate(i, steps_per_epoch=7, lr=0.1, warmup="gradual", warmup_epochs=1.0, warmup_lr=0.02,
                      milestones=(2,), decay=0.1) for i in range(21)
    ]  # fmt: skip
    assert used == plan


def test_a_diverged_run_is_an_outcome_at_chance_level(tmp_path):
    made = runs.spec("bn-free", lr=1e30)
    assert training.run(made, CPU, tmp_path, PAPER) == "diverged"
    record = read_run(training.run_dir(tmp_path, made))
    assert record.finished
    assert record.summary["status"] == "diverged"
    assert record.summary["val/error"] == record.summary["val/error_last5_median"] == 90
    assert json.loads((training.run_dir(tmp_path, made) / "done.json").read_text())["status"] == "diverged"


def test_epochs_of_few_batches_put_off_neither_a_checkpoint_nor_the_look_at_the_loss(tmp_path, monkeypatch):
    """Seven batches an epoch, evaluated after the tenth alone: both look after 20 batches, in the third epoch."""
    saved = []
    monkeypatch.setattr(Checkpoints, "save", lambda self, trainer: saved.append(trainer.global_step))
    often = Execution(accelerator="cpu", checkpoint_every_s=1e-9)
    assert training.run(runs.spec("bn-free", epochs=10, eval_every=10), often, tmp_path, PAPER) == "finished"
    assert saved[0] == 20
    lost = runs.spec("bn-free", epochs=10, eval_every=10, lr=1e30)
    assert training.run(lost, CPU, tmp_path, PAPER) == "diverged"
    assert read_run(training.run_dir(tmp_path, lost)).summary["updates"] < 70


def test_length_in_updates_evaluates_on_time(tmp_path):
    made = runs.spec("bn-free", epochs=None, updates=10, eval_every=5)
    assert training.run(made, CPU, tmp_path, PAPER) == "finished"
    assert list(read_run(training.run_dir(tmp_path, made)).history["trainer/global_step"]) == [5, 10]


def test_a_run_that_another_process_has_is_left_to_it(tmp_path):
    made = runs.spec("bn-free")
    folder = training.run_dir(tmp_path, made)
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"), pytest.raises(training.RunLocked, match=made.run_id):
        training.run(made, CPU, tmp_path, PAPER)


def test_an_unknown_model_is_named(tmp_path):
    made = runs.spec(model=ModelSpec(name="resnet-smal"))
    with pytest.raises(SpecError, match="resnet-small"):
        training.run(made, CPU, tmp_path, PAPER)
    assert not (training.run_dir(tmp_path, made) / "done.json").exists()


def test_seeds_pair_arms_by_initialisation():
    """Arms that differ in the rate start from the same weights, so that their contrast is paired."""
    a, _ = training.assemble(runs.spec(lr=0.1), CPU, PAPER)
    b, _ = training.assemble(runs.spec(lr=0.2), CPU, PAPER)
    other, _ = training.assemble(runs.spec(seed=4), CPU, PAPER)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), other.parameters(), strict=True))


def test_a_full_disk_is_said_in_one_line_and_costs_nothing(tmp_path, monkeypatch):
    made = runs.spec("bn-free")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(training.pl.Trainer, "save_checkpoint", full)
        with pytest.raises(training.RunFailed, match=f"{made.run_id}: no space left .* same command"):
            training.run(made, CPU.model_copy(update={"checkpoint_every_s": 0.0}), tmp_path, PAPER)
    assert not (training.run_dir(tmp_path, made) / "done.json").exists()
    assert training.run(made, CPU, tmp_path, PAPER) == "finished"


def test_denormal_momentum_counts_as_zero_while_a_run_trains_and_no_longer(tmp_path, monkeypatch):
    """Weights without a gradient leave a third of the buffer denormal, where an update costs three."""
    inside = []
    train = training._train
    monkeypatch.setattr(training, "_train", lambda *given: [inside.append(smallest_half()), train(*given)][1])
    assert training.run(runs.spec(), CPU, tmp_path, PAPER) == "finished"
    assert inside == [0]
    assert smallest_half() > 0


def smallest_half() -> float:
    return (torch.tensor([1e-40]) * 0.5).item()


def test_ranks_do_not_outlive_the_process_that_started_them():
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), 2, 1)
    launcher.procs = [subprocess.Popen(["sleep", "60"])]
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
    with training._together(trainer):
        pass
    assert launcher.procs[0].poll() is None
    with pytest.raises(OSError, match="disk"), training._together(trainer):
        raise OSError("disk")
    assert launcher.procs[0].wait(5) == -signal.SIGKILL


def test_memory_that_runs_out_is_one_line_with_the_remedy(tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(training, "_train", full)
    spec = next(iter(PAPER.runs("smoke").values()))
    with pytest.raises(training.RunFailed, match=rf"{spec.run_id}: out of GPU memory; give a smaller --micro-batch"):
        training.run(spec, CPU, tmp_path, PAPER)
