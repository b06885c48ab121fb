"""Short runs through the Trainer: schedule, divergence, local rates; and the measurements."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from replications.you import PAPER
from replications.you.cells import LARGE, SMALL, Cell, made
from replications.you.experiments import _norms, trials
from replications.you.module import TASKS
from shared.runs.read import read_run
from shared.spec import Execution
from shared.training import assemble, run
from shared.workflow.suite import run_dir

CPU = Execution(accelerator="cpu")


@pytest.fixture
def trained(tmp_path):
    def go(spec):
        run(spec, CPU, tmp_path, PAPER)
        return read_run(run_dir(tmp_path, spec))

    return go


def tiny(cell: Cell, **changes):
    spec = made(cell, "smoke")
    data = spec.data.model_copy(update={"train_size": 512})
    return spec.but(**{"data": data, "arm": "x", "epochs": 2, "batch_size": 64, **changes})


def test_a_run_records_accuracy_local_rates_and_the_rate_of_the_schedule(trained):
    record = trained(tiny(Cell("alexnet-bn", LARGE, "lars"), local_rates=True, lr=8.0, warmup_epochs=0.5))
    s, h = record.summary, record.history
    assert s["val/accuracy"] == pytest.approx(100 - h["val/error"].iloc[-1])
    assert s["log2_lr"] == 3.0
    assert h["lr"].iloc[-1] == pytest.approx(8 * (1 - 15 / 16) ** 2)
    assert h["loss_gap"].iloc[-1] == pytest.approx(abs(h["val/loss"] - h["train/loss"]).iloc[-1])
    rates = [c for c in h if c.startswith("local_rate/")]
    assert {"local_rate/conv1.weight", "local_rate/fc8.bias"} <= set(rates)
    assert len(rates) == 16
    for name in rates:
        assert s[f"peak/{name}"] == pytest.approx(h[name].max())
        assert 0 < h[name].max() <= 2.0 + 1e-6  # η/β


def test_a_diverged_run_has_the_accuracy_of_chance(trained):
    record = trained(tiny(Cell("alexnet", SMALL), lr=1e6, warmup_epochs=0.0))
    assert record.summary["status"] == "diverged"
    assert record.summary["val/accuracy"] == 10.0


def test_norms_of_the_first_update_are_those_of_the_net_and_its_gradient():
    spec = _norms("smoke", (1,))[0]
    module, data = assemble(spec, CPU, PAPER)
    start = {n: p.detach().clone() for n, p in module.net.named_parameters()}
    rows, found = TASKS["norms"](module, data, [])
    assert len(rows) == len(start) == 16
    ratios = []
    for name, parameter in module.net.named_parameters():
        w, g = start[name].norm().item(), parameter.grad.norm().item()
        assert found[f"weight_norm/{name}"] == pytest.approx(w, rel=1e-5)
        assert found[f"gradient_norm/{name}"] == pytest.approx(g, rel=1e-5)
        ratios.append(w / g)
    assert found["log10_spread/all"] == pytest.approx(math.log10(max(ratios) / min(ratios)), rel=1e-4)


def test_norms_are_of_the_whole_batch_whatever_a_device_takes_at_a_time(tmp_path):
    spec = _norms("smoke", (1,))[0]
    cut = Execution(accelerator="cpu", micro_batch=spec.batch_size // 4)
    for execution, name in ((CPU, "whole"), (cut, "cut")):
        run(spec, execution, tmp_path / name, PAPER)
    whole, parts = (read_run(run_dir(tmp_path / name, spec)).summary for name in ("whole", "cut"))
    assert whole["log10_spread/all"] == parts["log10_spread/all"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> tuple[Path, list]:
    """Four trials of LARS in a results folder."""
    results = tmp_path_factory.mktemp("results")
    parents = trials("lars", "smoke")
    for spec in parents:
        run(spec, CPU, results, PAPER)
    return results, list(parents)


def test_best_of_k_judges_on_test_images_what_was_chosen_on_held_out_ones(searched):
    results, parents = searched
    spec = next(s for s in PAPER.runs("smoke").values() if s.arm == "needed-lars-best-of")
    module, data = assemble(spec, CPU, PAPER)
    folders = [run_dir(results, p) for p in parents]
    rows, found = TASKS["best-of"](module, data, folders)
    held = [read_run(f).summary["val/accuracy"] for f in folders]
    best = folders[held.index(max(held))]
    module.net.load_state_dict(torch.load(best / "weights.pt", weights_only=True))
    module.net.eval()
    images, labels = data.plain("test")
    with torch.no_grad():
        accuracy = 100.0 * (module.net(images).argmax(1) == labels).double().mean().item()
    assert [row["k"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["accuracy"] == found["best-of/4"] == pytest.approx(accuracy)
    assert found["diverged"] == 100.0 * sum(h == 10.0 for h in held) / 4
    _, four = TASKS["best-of-4"](module, data, folders)
    assert four["best-of-4"] == pytest.approx(accuracy)
