"""What a declared measurement records: every choice of it reaches the search."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from shared.callbacks.curvature import Curvature, measured
from shared.curvature.declare import Measure, Sharp
from shared.curvature.objective import Objective
from shared.curvature.sharpness import sharpness
from shared.curvature.subspace import Subspace
from shared.models import GhostBatchNorm


class Fixed:
    def __init__(self, *whole):
        self.whole = whole

    def plain(self, split, n=None):
        return self.whole


class Rest(Fixed, pl.LightningDataModule):
    def __init__(self, *whole):
        pl.LightningDataModule.__init__(self)
        Fixed.__init__(self, *whole)

    def train_dataloader(self):
        return DataLoader(TensorDataset(*self.whole), batch_size=10)

    val_dataloader = train_dataloader


class Foreign(pl.LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), 0.1)


def by_batch() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), GhostBatchNorm(8, evaluate="batch"), nn.ReLU(), nn.Linear(8, 3)).double()
    for _ in range(3):
        net(2 * torch.randn(40, 4).double() + 1)
    return net, torch.randn(40, 4).double(), torch.randint(3, (40,))


VARIANTS = {
    Sharp(): {},
    Sharp(solver="sign"): {"solver": "sign"},
    Sharp(start="random", eps=1e-2): {"start": "random", "seed": 7},
    Sharp(loss="sum", eps=1e-2): {"gain": 20.0},
    Sharp(bn="running"): {},
    Sharp(ceiling=1.0): {},
    Sharp(space="subspace", p=5): {},
    Sharp(space="subspace", p=5, scale="unit"): {},
}


@pytest.mark.parametrize("sharp", VARIANTS, ids=lambda s: s.key)
def test_every_choice_of_a_measurement_reaches_the_search(sharp):
    net, images, labels = by_batch()
    measure = Measure(sharp=tuple(VARIANTS), images=20, batch=10)
    found = measured(net, Fixed(images, labels), measure, None, seed=7)
    f = Objective(net, images[:20], labels[:20], batch=10, bn=sharp.bn, ceiling=sharp.ceiling)
    plane = Subspace(f.n, sharp.p, seed=7, scale=sharp.scale) if sharp.space == "subspace" else None
    expected = sharpness(f, f.start(), sharp.eps, subspace=plane, **VARIANTS[sharp])
    key = measure.column(sharp)
    assert (found[key], found[f"{key}/evaluations"]) == (expected.value, expected.evaluations)


def test_running_statistics_are_used_also_of_nets_that_evaluate_by_batch():
    net, images, labels = by_batch()
    value = {
        (bn, b): Objective(net, images, labels, batch=b, bn=bn).value(Objective(net, images, labels).start())
        for bn in ("running", "batch")
        for b in (10, 40)
    }
    assert value["running", 10] == pytest.approx(value["running", 40], rel=1e-12)
    assert value["batch", 10] != pytest.approx(value["batch", 40], rel=1e-3)


@pytest.mark.parametrize("lost", ["train/loss", "val/loss"])
def test_a_loss_that_was_lost_is_left_to_the_end_of_the_run(lost):
    """Else the measurement fails, the run with it, and every attempt to resume it."""
    net, images, labels = by_batch()
    callback = Curvature(Measure(at=(1,)), net)
    module, trainer = SimpleNamespace(net=net, spec=SimpleNamespace(seed=0)), SimpleNamespace()
    trainer.datamodule = Fixed(images, labels)
    row = {"epoch": 1.0, "train/loss": 0.1, "val/loss": 0.1}
    assert callback.columns(trainer, module, row, last=False)
    assert callback.columns(trainer, module, row | {lost: math.nan}, last=False) == {}


def test_in_another_trainer_it_measures_after_training_only(tmp_path):
    """Lightning looks at two batches before training starts, and evaluates within an epoch if told to."""
    net, images, labels = by_batch()
    logger = pl.loggers.CSVLogger(tmp_path)
    logger.log_metrics = lambda metrics, step: seen.append(step)
    seen: list[int] = []
    trainer = pl.Trainer(max_epochs=1, val_check_interval=0.5, logger=logger, accelerator="cpu", precision="64-true",
                         callbacks=[Curvature(Measure(), net)], enable_checkpointing=False, enable_progress_bar=False,
                         enable_model_summary=False, default_root_dir=tmp_path, log_every_n_steps=1000)  # fmt: skip
    trainer.fit(Foreign(net), datamodule=Rest(images, labels))
    assert seen == [4]


def test_the_distance_is_from_the_weights_at_the_start():
    net, images, labels = by_batch()
    callback = Curvature(Measure(), net)
    with torch.no_grad():
        net[0].bias.add_(0.5)
    found = measured(net, Fixed(images, labels), callback.measure, callback.x0, 0)
    assert found["distance"] == pytest.approx(0.5 * 8**0.5)
