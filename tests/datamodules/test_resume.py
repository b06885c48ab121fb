"""With a real Trainer: stopping anywhere and resuming gives the same bits as never stopping."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from shared.datamodules import DataError, make_datamodule
from shared.spec import Execution

pytestmark = pytest.mark.filterwarnings("ignore")


class Interrupted(Exception):
    pass


class Tiny(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Linear(64, 10)
        self.seen: list[float] = []
        self.evaluated: list[int] = []

    def training_step(self, batch, _):
        images, labels, weight = batch
        self.seen.append(float(images.double().sum()))
        return weight * torch.nn.functional.cross_entropy(self.net(images.flatten(1)), labels)

    def validation_step(self, batch, index):
        if index == 0:
            self.evaluated.append(self.global_step)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01, momentum=0.9)


class SaveAndStop(pl.Callback):
    def __init__(self, path, hook, update):
        self.path, self.hook, self.update = path, hook, update

    def _at(self, trainer, hook):
        if hook == self.hook and trainer.global_step == self.update:
            trainer.save_checkpoint(self.path)
            raise Interrupted

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if (index + 1) % trainer.accumulate_grad_batches == 0:
            self._at(trainer, "batch")

    def on_validation_end(self, trainer, module):
        self._at(trainer, "validation")

    def on_train_epoch_end(self, trainer, module):
        self._at(trainer, "epoch")


def trainer_for(data, length, callbacks=()):
    return pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
        accumulate_grad_batches=data.accumulate, callbacks=list(callbacks), **length,
    )  # fmt: skip


@pytest.fixture
def train(make_spec, tmp_path):
    """Train 5 updates an epoch; stop and save at (hook, update), or resume from what was saved."""

    def go(by, micro, stop=None, resume=False):
        budget = {"epochs": 3} if by == "epochs" else {"updates": 13}
        data = make_datamodule(make_spec(augment="crop-flip", train_size=330, **budget), Execution(micro_batch=micro))
        length = {"max_epochs": 3} if by == "epochs" else {"max_steps": 13, "max_epochs": -1}
        path = tmp_path / "saved.ckpt"
        module = Tiny()
        trainer = trainer_for(data, length, [SaveAndStop(path, *stop)] if stop else [])
        try:
            trainer.fit(module, datamodule=data, ckpt_path=path if resume else None, weights_only=False)
        except Interrupted:
            assert stop
        return module

    return go


@pytest.mark.parametrize("by", ["epochs", "updates"])
@pytest.mark.parametrize("micro", [None, 32])
@pytest.mark.parametrize(
    "stop",
    [("batch", 1), ("batch", 8), ("batch", 5), ("validation", 5), ("validation", 10), ("epoch", 5), ("epoch", 10)],
)
def test_resuming_is_bit_exact(train, by, micro, stop):
    whole = train(by, micro)
    first = train(by, micro, stop=stop)
    second = train(by, micro, resume=True)
    assert 0 < len(first.seen) < len(whole.seen)
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.net.weight, whole.net.weight)
    if stop != ("batch", 5):  # saved between the last update of an epoch and its evaluation: Lightning forgets that one
        assert first.evaluated + second.evaluated == whole.evaluated


def test_micro_batches_give_the_same_gradient(train):
    whole, halves = train("updates", None), train("updates", 24)
    torch.testing.assert_close(halves.net.weight, whole.net.weight, rtol=1e-5, atol=1e-7)


def test_a_trainer_that_would_scale_gradients_wrongly_is_refused(make_spec):
    data = make_datamodule(make_spec(), Execution(micro_batch=16))
    whole = make_datamodule(make_spec(), Execution())
    with pytest.raises(DataError, match="accumulate_grad_batches=1, but an update of 64 samples is 4 micro-batches"):
        trainer_for(whole, {"max_epochs": 1}).fit(Tiny(), datamodule=data)
