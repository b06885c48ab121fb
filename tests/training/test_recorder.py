"""What a run records of itself."""

from __future__ import annotations

import pytest

from replications.goyal import PAPER
from replications.goyal.method import median_of_last
from shared import training
from shared.callbacks import Recorder
from shared.datamodules.module import RunData
from shared.runs.read import read_run
from shared.spec import Execution
from tests.training import runs

CPU = Execution(accelerator="cpu")


def test_the_summary_has_the_median_of_the_last_five_evaluations():
    recorder = Recorder(None)
    errors = [10.0, 90, 24, 23, 27, 25, 29]
    recorder.rows = [{"val/error": e, "trainer/global_step": i, "images_per_s": 1.0} for i, e in enumerate(errors)]
    assert recorder.summary()["val/error_last5_median"] == median_of_last(errors) == 25


def test_the_seconds_of_an_earlier_session_count():
    recorder = Recorder(None)
    recorder.load_state_dict({"rows": [], "wall_s": 100.0, "train_s": 50.0})
    assert 100 <= recorder.elapsed() < 101
    assert recorder.state_dict()["train_s"] >= 50


def test_precise_statistics_are_of_as_many_images_as_the_spec_says(tmp_path, monkeypatch):
    asked, original = [], RunData.train_batches_for_statistics
    monkeypatch.setattr(
        RunData, "train_batches_for_statistics", lambda self, n, batch: asked.append(n) or original(self, n, batch)
    )
    training.run(runs.spec(precise_bn=128, epochs=1, milestones=()), CPU, tmp_path, PAPER)
    assert asked == [128]


def test_the_norm_recorded_is_that_of_the_weights(tmp_path):
    made = runs.spec("bn-free", epochs=1, lr=0.0, milestones=(), warmup_lr=0.0)
    training.run(made, CPU, tmp_path, PAPER)
    module, _ = training.assemble(made, CPU, PAPER)
    norm = sum(float(w.norm()) ** 2 for w in module.net.parameters()) ** 0.5
    assert read_run(training.run_dir(tmp_path, made)).history["weight_norm"].iloc[-1] == pytest.approx(norm, rel=1e-5)
