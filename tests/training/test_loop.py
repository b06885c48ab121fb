"""Our loop over an epoch's batches takes Lightning's steps: same calls in the same order, same bits, same progress."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from replications.goyal import PAPER
from shared import loop, training
from shared.callbacks import Checkpoints, DivergenceStop, Recorder
from shared.optim.conservative import ConservativeAdam
from shared.spec import Execution
from tests.training import runs

CPU = Execution(accelerator="cpu")


class Spy(training.pl.Callback):
    """Notes every hook of a batch that Lightning offers, with what it is told."""

    def __init__(self, heard: list):
        self.heard = heard


def _listen(name):
    def hook(self, trainer, pl_module, *told):
        self.heard.append((name, trainer.global_step, *(_bits(x) for x in told)))

    return hook


def _bits(told):
    if isinstance(told, torch.Tensor):
        return told.detach().sum().item()
    if isinstance(told, dict):
        return {k: _bits(v) for k, v in told.items()}
    if isinstance(told, list | tuple):
        return [_bits(x) for x in told]
    return told if isinstance(told, int | float) else type(told).__name__


for name in loop.HOOKS:
    setattr(Spy, name, _listen(name))


def fitted(made, tmp_path, **module_hooks):
    module, data = training.assemble(made, CPU, PAPER)
    heard, recorder = [], Recorder(None)
    for name, method in module_hooks.items():
        setattr(module, name, method.__get__(module))
    callbacks = [DivergenceStop(), recorder, Checkpoints(tmp_path, 1e9), Spy(heard)]
    trainer = training.trainer_for(made, CPU, data, callbacks, tmp_path)
    trainer.fit(module, datamodule=data)
    rows = [{k: v for k, v in row.items() if k != "images_per_s"} for row in recorder.rows]
    return module.net.state_dict(), rows, heard, trainer.fit_loop.state_dict()


def several_steps_a_batch(self):
    return ConservativeAdam(self.net.parameters(), 1e-3, inner_steps=2, proximal=0.1)


@pytest.mark.parametrize(
    ("length", "hooks"),
    [
        ({}, {}),
        ({"epochs": None, "updates": 12, "eval_every": 4}, {}),
        ({"precision": "bf16-mixed", "epochs": 1}, {}),
        ({"precision": "64-true", "epochs": 1}, {}),
        ({"epochs": 2}, {"configure_optimizers": several_steps_a_batch}),
    ],
    ids=["epochs", "updates", "bf16", "double", "closure twice"],
)
def test_a_step_is_lightnings(length, hooks, tmp_path, monkeypatch):
    made = runs.spec(**length)
    ours = fitted(made, tmp_path, **hooks)
    monkeypatch.setattr(loop, "simple", lambda trainer: False)
    weights, rows, heard, progress = fitted(made, tmp_path, **hooks)
    assert all(torch.equal(ours[0][k], weights[k]) for k in weights)
    assert len(rows) > 0
    assert ours[1] == rows
    assert {name for name, *_ in heard} == set(loop.HOOKS)
    assert ours[2] == heard
    assert ours[3] == progress


def test_a_batch_that_somebody_changes_on_its_way_is_trained_on_changed(tmp_path):
    def black(self, batch, dataloader_idx):
        return torch.zeros_like(batch[0]), *batch[1:]

    made = runs.spec("bn-free", epochs=1)
    assert fitted(made, tmp_path)[1] != fitted(made, tmp_path, on_after_batch_transfer=black)[1]


def test_logging_through_lightning_is_refused_not_lost(tmp_path):
    def step(self, batch, batch_idx):
        self.log("train/loss", 0.0)

    with pytest.raises(MisconfigurationException, match=r"self\.log"):
        fitted(runs.spec("bn-free"), tmp_path, training_step=step)


def test_sums_do_not_depend_on_when_they_are_looked_at():
    """A checkpoint or a look at the loss in between must not move the record's last bit."""
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.rand(n, 10, generator=generator), torch.randint(10, (n,), generator=generator))
               for n in (7, 64, 64, 900, 64, 5)]  # fmt: skip
    seen, unseen = (training.assemble(runs.spec("bn-free"), CPU, PAPER)[0] for _ in range(2))
    for logits, labels in batches:
        loss = torch.nn.functional.cross_entropy(logits, labels)
        for module in (seen, unseen):
            module._count("train", loss, logits, labels)
        seen.totals("train")
    wrong = sum(int((logits.argmax(1) != labels).sum()) for logits, labels in batches)
    loss = sum(torch.nn.functional.cross_entropy(x, y, reduction="sum").item() for x, y in batches)
    assert seen.totals("train")[0].item() == pytest.approx(loss)
    assert torch.equal(seen.totals("train"), unseen.totals("train"))
    assert seen.totals("train").tolist()[1:] == [wrong, 7 + 64 + 64 + 900 + 64 + 5]
