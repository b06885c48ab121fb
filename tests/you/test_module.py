"""You et al.'s rates, update by update, and the searches of their trials."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from replications.you import PAPER, method
from replications.you import module as you
from replications.you.module import Module


@pytest.mark.parametrize("jump", [True, False])
def test_every_update_has_the_rate_of_its_spec(jump):
    spec = next(iter(PAPER.runs("reduced").values())).but(
        epochs=4, eval_every=4, warmup_epochs=1.5, warmup_lr=0.01, lr=0.4, jump=jump
    )
    module = Module(spec, nn.Linear(1, 1), steps_per_epoch=10)
    plan = [
        method.learning_rate(t, steps=40, lr=0.4, warmup_steps=15.0, warmup_lr=0.01, power=spec.power, jump=jump)
        for t in range(40)
    ]
    assert [module.rate(t) for t in range(40)] == plan
    assert plan[0] == 0.01


def test_each_seed_searches_among_trials_of_its_own(monkeypatch):
    monkeypatch.setattr(you, "_held_out", lambda folder: (folder, "finished"))
    monkeypatch.setattr(you, "accuracy", lambda module, folder, batches: folder)
    base = next(s for s in PAPER.runs("reduced").values() if s.task == "best-of-4")
    data = SimpleNamespace(val_dataloader=list)
    found = [
        you.TASKS["best-of-4"](you.Module(base.but(seed=s), nn.Linear(1, 1), 1), data, list(range(32)))[1]["best-of-4"]
        for s in (1, 2, 8, 9)
    ]
    assert found == [3, 7, 31, 3]


def test_updates_to_the_target_are_those_of_the_first_evaluation_that_reaches_it():
    spec = next(iter(PAPER.runs("reduced").values())).but(epochs=4, eval_every=1)
    module = Module(spec, nn.Linear(1, 10), steps_per_epoch=10)

    def reached(*errors):
        rows = [{"trainer/global_step": 10.0 * i, "epoch": float(i), "val/error": e, "val/loss": 1.0, "loss_gap": 0.0}
                for i, e in enumerate(errors, 1)]  # fmt: skip
        return module.summarise(rows).get("updates_to/75")

    assert reached(60, 25, 30, 20) == 20
    assert reached(24, 26, 26, 26) == 10
    assert reached(60, 50, 40, 25.1) is None
    assert reached(60, 20, 20) is None  # stopped short: it has diverged
