"""A batch that grows while it trains: every evaluation, every update, and the same bits however it is executed."""

from __future__ import annotations

import multiprocessing
import signal

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from replications.smith_b import PAPER
from shared import training
from shared.datamodules import DataError, make_datamodule
from shared.models.ghost import ghost_layers, set_deferred
from shared.pace import Pace
from shared.runs.read import read_run
from shared.spec import Execution
from tests.smith_b import runs

CPU = {"accelerator": "cpu"}
ENDS = [40, 80, 120, 133, 146, 159, 163, 167, 168, 169]
"""Updates after each of the ten epochs: 40 with the first batch, then 13, 4 and 1."""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


class Watch(pl.Callback):
    """What each update was given: its epoch, images, weights of the parts, rate; and when evaluations came."""

    def __init__(self):
        self.updates: list[dict] = []
        self.parts: list[tuple[int, float]] = []
        self.evaluated: list[int] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.parts.append((len(batch[1]), batch[2]))
        self.before = trainer.global_step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step > self.before:
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            self.updates.append({"epoch": trainer.current_epoch, "parts": self.parts, "lr": lr})
            self.parts = []

    def on_validation_end(self, trainer, pl_module):
        self.evaluated.append(trainer.global_step)


def watched(made, tmp_path, **how) -> Watch:
    execution = Execution(**CPU, **how)
    module, data = training.assemble(made, execution, PAPER)
    watch = Watch()
    training.trainer_for(made, execution, data, [watch], tmp_path).fit(module, datamodule=data)
    return watch


@pytest.mark.parametrize("micro", [None, 48, 16])
def test_every_update_and_every_evaluation_happens(micro, tmp_path):
    made = runs.grown()
    seen = watched(made, tmp_path, micro_batch=micro)
    assert seen.evaluated == ENDS
    batches = [(3, 16), (3, 48), (2, 144), (2, 432)]
    expected = [b for epochs, b in batches for _ in range(epochs * (640 // b))]
    assert [sum(n for n, _ in u["parts"]) for u in seen.updates] == expected
    assert [u["lr"] for u in seen.updates] == [0.1] * 169
    assert np.cumsum(np.bincount([u["epoch"] for u in seen.updates])).tolist() == ENDS
    assert all(n <= (micro or 432) for u in seen.updates for n, _ in u["parts"])
    for u in seen.updates:  # Lightning divides by the number of parts: what is left is the mean over the batch
        total = sum(n for n, _ in u["parts"])
        assert [w / len(u["parts"]) for _, w in u["parts"]] == pytest.approx([n / total for n, _ in u["parts"]])


@pytest.mark.parametrize("name", ["decay", "hybrid", "both", "higher-momentum"])
def test_rates_fall_with_the_first_update_of_an_epoch(name, tmp_path):
    made = runs.grown(name)
    seen = watched(made, tmp_path)
    for u in seen.updates:
        lr, batch, _ = made.rule.at(u["epoch"] / 10)
        assert (u["lr"], sum(n for n, _ in u["parts"])) == (lr, batch)
    assert len(seen.evaluated) == 10


def test_pace_is_that_of_the_run():
    made = runs.grown()
    pace = Pace(640, made)
    sizes = [b for e in range(10) for b in [made.batch_at(e)] * (640 // made.batch_at(e))]
    assert [pace.before(e) for e in range(1, 11)] == ENDS
    assert [pace.samples(u) for u in range(170)] == [0, *np.cumsum(sizes)]
    assert [pace.epoch(u) for u in range(169)] == [e for e in range(10) for _ in range(640 // made.batch_at(e))]
    assert [pace.epochs(u) for u in (0, 20, 120, 133, 159, 161, 169)] == [0, 0.5, 3, 4, 6, 6.5, 10]
    constant = Pace(650, runs.grown("decay"))
    assert all((constant.epochs(u), constant.samples(u)) == (u / 40, 16 * u) for u in range(401))
    with pytest.raises(ValueError, match=r"batch of 432 .* exceeds the 400 training samples"):
        Pace(400, made)


@pytest.mark.parametrize(
    "execution",
    [
        Execution(**CPU, micro_batch=48),
        Execution(**CPU, devices=2, strategy="ddp_fork"),
        Execution(**CPU, devices=2, micro_batch=16, strategy="ddp_fork"),
    ],
    ids=["accumulation", "two ranks", "two ranks that accumulate"],
)
def test_execution_does_not_change_the_result(execution, tmp_path):
    made = runs.grown(precision="64-true", bn_batch=8)
    plain = runs.fit(made, Execution(**CPU), tmp_path / "plain.pt")
    split = runs.fit(made, execution, tmp_path / "split.pt")
    assert plain["updates"] == 169
    for name, value in plain.items():
        torch.testing.assert_close(split[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


def test_ghost_statistics_are_those_of_the_same_chunks_however_a_batch_is_cut():
    """The statistics that enter the running averages in the last, largest batch: 27 chunks, whole and in nine parts."""
    seen = {}
    for micro in (None, 48):
        module, data = training.assemble(runs.grown(), Execution(**CPU, micro_batch=micro), PAPER)
        net = module.net.double()
        set_deferred(net, True)
        parts = list(data._train_source().blocks(data.batches(0, 1, epoch=9).remaining(), 9))
        for images, _ in parts:
            net(images.double())
        assert [len(images) for images, _ in parts] == ([432] if micro is None else [48] * 9)
        seen[micro] = [torch.cat(s) for layer in ghost_layers(net) for s in zip(*layer._queue, strict=True)]
    assert {len(s) for s in seen[None]} == {27}
    for whole, cut in zip(seen[None], seen[48], strict=True):
        torch.testing.assert_close(cut, whole, rtol=1e-12, atol=1e-14)


def _in_child(*args) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.smith_b.runs"])
    child = context.Process(target=runs.train, args=args)
    child.start()
    child.join(250)
    return child.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One run that nobody kills, for each way to cut its batches."""
    folders = {}
    for micro in (None, 48):
        folder = tmp_path_factory.mktemp("whole")
        assert _in_child(runs.grown(), str(folder), 0, micro) == 0
        folders[micro] = training.run_dir(folder, runs.grown())
    return folders


@pytest.mark.parametrize(
    ("die", "micro"),
    [(100, None), (120, None), (121, None), (159, 48), (161, 48), (168, None)],
    ids=lambda v: str(v),
)
def test_a_killed_run_resumes_to_the_same_bits_across_growth(die, micro, whole, tmp_path):
    """Killed within an epoch, at the end of one after which the batch grows, and after its first update."""
    made = runs.grown()
    assert _in_child(made, str(tmp_path), die, micro) == -signal.SIGKILL
    folder = training.run_dir(tmp_path, made)
    assert not (folder / "done.json").exists()
    assert _in_child(made, str(tmp_path), 0, micro) == 0
    weights, resumed = (torch.load(f / "weights.pt") for f in (whole[micro], folder))
    assert all(torch.equal(weights[k], resumed[k]) for k in weights)
    same = ["trainer/global_step", "epoch", "samples", "batch", "train/loss", "val/loss", "val/error", "grad_norm"]
    assert read_run(folder).history[same].equals(read_run(whole[micro]).history[same])


def test_the_record_counts_what_was_done(whole):
    record = read_run(whole[None])
    h, n = record.history, 640
    assert h["trainer/global_step"].tolist() == ENDS
    assert h["epoch"].tolist() == list(range(1, 11))
    assert h["batch"].tolist() == [16] * 3 + [48] * 3 + [144] * 2 + [432] * 2
    assert h["samples"].tolist() == np.cumsum([b * (n // b) for b in h["batch"].astype(int)]).tolist()
    assert h["noise/exact"].tolist() == pytest.approx([1.0 * (n / b - 1) for b in h["batch"]])
    assert record.summary["updates"] == 169
    assert record.summary["sag/val/error"] == h["val/error"][4]
    assert record.summary["end/train/loss"] == h["train/loss"][8:].median()
    assert record.config["provenance.batch"].startswith("16 = 1 nodes × 1 devices × 1 × 16, then 48 = ")


def test_a_trainer_that_would_skip_evaluations_is_refused():
    data = make_datamodule(runs.grown(), Execution(**CPU))
    data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=10)
    with pytest.raises(DataError, match=r"16 → 48 → 144 → 432.*reload_dataloaders_every_n_epochs=1"):
        data.train_dataloader()
