"""What a run records of itself."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from replications.goyal import PAPER
from shared import training
from shared.callbacks import Recorder
from shared.models.ghost import ghost_layers, set_deferred
from shared.runs.read import read_run
from shared.spec import Execution
from tests.training import runs

CPU = Execution(accelerator="cpu")


def test_the_summary_has_the_median_of_the_last_five_evaluations_not_the_best_or_the_last():
    recorder = Recorder(None)
    errors = [10.0, 90, 24, 23, 27, 25, 29]
    recorder.rows = [{"val/error": e, "trainer/global_step": i, "images_per_s": 1.0} for i, e in enumerate(errors)]
    assert recorder.summary()["val/error_last5_median"] == 25


def test_the_seconds_of_an_earlier_session_count():
    recorder = Recorder(None)
    recorder.load_state_dict({"rows": [], "wall_s": 100.0, "train_s": 50.0})
    assert 100 <= recorder.elapsed() < 101
    assert recorder.state_dict()["train_s"] >= 50


def test_the_precise_error_is_that_of_statistics_taken_anew(tmp_path):
    """Running averages with momentum 1/k over the same chunks are the plain means that precise statistics ask for."""
    made = runs.spec(precise_bn=128, epochs=1, milestones=())
    training.run(made, CPU, tmp_path, PAPER)
    home = training.run_dir(tmp_path, made)
    module, data = training.assemble(made, CPU, PAPER)
    net = module.net
    net.load_state_dict(torch.load(home / "weights.pt"))
    set_deferred(net, False)
    ((images, _),) = data.train_batches_for_statistics(128, 128)
    with torch.no_grad():
        for k, chunk in enumerate(images.split(16), 1):
            for layer in ghost_layers(net):
                layer.momentum = 1 / k
            net.train()(chunk)
        images, labels = data.plain("test")
        error = 100 * (net.eval()(images).argmax(1) != labels).double().mean().item()
    row = read_run(home).history.iloc[-1]
    assert row["val/error_precise_bn"] == pytest.approx(error)
    assert row["val/error_precise_bn"] != row["val/error"]


@pytest.mark.parametrize("micro", [None, 24], ids=["whole", "unequal parts"])
def test_losses_errors_and_gradient_in_the_record_are_those_of_the_images(tmp_path, micro):
    made = runs.spec("bn-free", epochs=1, lr=0.0, warmup_lr=0.0, milestones=())
    training.run(made, Execution(accelerator="cpu", micro_batch=micro), tmp_path, PAPER)
    row = read_run(training.run_dir(tmp_path, made)).history.iloc[-1]
    module, data = training.assemble(made, CPU, PAPER)
    for split, key in (("train", "train"), ("test", "val")):
        images, labels = data.plain(split)
        logits = module.net(images)
        assert row[f"{key}/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
        assert row[f"{key}/error"] == pytest.approx(100 * (logits.argmax(1) != labels).double().mean().item())
    images, labels, _ = list(data.train_dataloader())[-1]
    F.cross_entropy(module.net(images), labels).backward()
    norm = sum(float(p.grad.norm()) ** 2 for p in module.net.parameters()) ** 0.5
    assert row["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_the_norm_recorded_is_that_of_the_weights(tmp_path):
    made = runs.spec("bn-free", epochs=1, lr=0.0, milestones=(), warmup_lr=0.0)
    training.run(made, CPU, tmp_path, PAPER)
    module, _ = training.assemble(made, CPU, PAPER)
    norm = sum(float(w.norm()) ** 2 for w in module.net.parameters()) ** 0.5
    assert read_run(training.run_dir(tmp_path, made)).history["weight_norm"].iloc[-1] == pytest.approx(norm, rel=1e-5)
