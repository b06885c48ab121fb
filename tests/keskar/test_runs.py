"""Runs that measure while they train, stop on a plateau, start from another run's iterate or train nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from replications.keskar import PAPER, experiments
from replications.keskar.method import plateaued
from shared import training
from shared.callbacks.snapshots import snapshot
from shared.curvature.command import measure_target
from shared.curvature.declare import Measure, Sharp
from shared.curvature.objective import CurvatureError
from shared.paper import Sweep
from shared.runs.read import read_run
from shared.spec import Execution
from shared.workflow.suite import is_done

CPU = Execution(accelerator="cpu")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def smoke(arm: str, **changes):
    """A small run on digits: batch 64 or 128 of 1,280 images, four epochs."""
    defaults = {"measure": None, "plateau": None}
    return experiments.smoke(experiments.tables("c1", arm, 1)).but(**{**defaults, **changes})


def paper_of(*specs):
    """The paper with these runs declared, so that they can be parents."""
    return replace(PAPER, sweeps=lambda preset: (Sweep("test", "test", specs),))


def run(spec, folder, paper=PAPER):
    status = training.run(spec, CPU, folder, paper)
    home = training.run_dir(folder, spec)
    return status, home, read_run(home)


def weights(home):
    return torch.load(home / "weights.pt", weights_only=True)


def test_measuring_adds_columns_at_its_epochs_and_leaves_the_training_alone(tmp_path):
    measure = Measure(at=(2, -1), sharp=(Sharp(eps=1e-2), Sharp(space="subspace", p=5)), images=1000)
    _, plain, _ = run(smoke("sb"), tmp_path)
    _, home, record = run(smoke("sb", measure=measure), tmp_path)
    value = "sharp1k/full@0.01"
    assert list(record.history["epoch"][record.history[value].notna()]) == [2, 4]
    assert record.summary[value] > 0
    assert record.summary[f"{value}/epoch-2"] == record.history[value].iloc[1]
    assert 10 ** record.summary[f"log10/{value}"] == pytest.approx(record.summary[value])
    assert record.summary["full/test_accuracy"] == pytest.approx(100 - record.summary["val/error"])
    for name, tensor in weights(plain).items():
        assert torch.equal(tensor, weights(home)[name]), name


def test_a_second_measurement_has_images_and_epochs_of_its_own(tmp_path):
    first = Measure(at=(1, 2, -1), sharp=(Sharp(),))
    second = Measure(at=(2,), sharp=(Sharp(solver="sign"),), images=1000)
    _, _, record = run(smoke("sb", measure=first, second=second), tmp_path)
    value = "sharp1k/full-sign@0.001"
    assert list(record.history["epoch"][record.history[value].notna()]) == [2]
    assert record.summary[f"{value}/epoch-2"] > 0
    assert list(record.history["epoch"][record.history["sharp/full@0.001"].notna()]) == [1, 2, 4]


def test_training_stops_on_a_plateau_and_stays_stopped_when_killed_before_its_end(tmp_path, monkeypatch):
    made = smoke("sb", epochs=40, plateau=2, plateau_delta=0.05)
    _, home, record = run(made, tmp_path / "whole")
    losses = list(record.history["train/loss"])
    stops = [k for k in range(1, len(losses) + 1) if plateaued(losses[:k], 2, 0.05)]
    assert 3 < len(losses) < 40
    assert stops == [len(losses)]

    save = training.save_weights
    monkeypatch.setattr(training, "save_weights", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        training.run(made, CPU.model_copy(update={"checkpoint_every_s": 0.0}), tmp_path / "killed", PAPER)
    monkeypatch.setattr(training, "save_weights", save)
    _, again, record = run(made, tmp_path / "killed")
    assert list(record.history["train/loss"]) == losses
    for name, tensor in weights(home).items():
        assert torch.equal(tensor, weights(again)[name]), name


def test_a_warm_start_trains_its_parent_first_and_begins_at_the_iterate(tmp_path):
    parent = smoke("sb", keep=(1, 2))
    child = smoke("lb", parents=(parent.run_id,), start_epoch=2, lr=0.0)
    _, home, _ = run(child, tmp_path, paper_of(parent, child))
    begun = torch.load(snapshot(training.run_dir(tmp_path, parent), 2), weights_only=True)
    assert (training.run_dir(tmp_path, parent) / "done.json").exists()
    for name, tensor in weights(home).items():
        if "running" not in name and "tracked" not in name:  # with a rate of 0 only the running statistics move
            assert torch.equal(tensor, begun[name]), name


def test_a_run_is_made_anew_after_its_parent_was(tmp_path):
    parent = smoke("sb", keep=(1,))
    child = smoke("lb", parents=(parent.run_id,), start_epoch=1)
    paper = paper_of(parent, child)
    _, home, first = run(child, tmp_path, paper)
    done = (home / "done.json").read_text()
    run(child, tmp_path, paper)
    assert (home / "done.json").read_text() == done
    shutil.rmtree(training.run_dir(tmp_path, parent))
    assert is_done(tmp_path, child)  # a parent that is gone is not missed
    run(parent, tmp_path, paper)
    assert not is_done(tmp_path, child)
    _, home, again = run(child, tmp_path, paper)
    assert is_done(tmp_path, child)
    assert (home / "done.json").read_text() != done
    assert list(again.history["train/loss"]) == list(first.history["train/loss"])


def test_a_lost_run_has_the_accuracy_of_chance_and_no_sharpness(tmp_path):
    measure = Measure(at=(1, -1), sharp=(Sharp(eps=1e-2),), images=1000)
    status, _, record = run(smoke("sb", lr=1e30, measure=measure), tmp_path)
    assert status == "diverged"
    assert (record.summary["full/test_accuracy"], record.summary["full/train_accuracy"]) == (10, 10)
    assert not [k for k in record.summary if k.startswith(("sharp", "log10"))]


def test_a_parent_that_cannot_serve_is_named(tmp_path):
    parent = smoke("sb", lr=1e30)
    child = smoke("lb", parents=(parent.run_id,), start_epoch=1)
    with pytest.raises(training.RunFailed, match=f"{parent.run_id} diverged"):
        training.run(child, CPU, tmp_path, paper_of(parent, child))
    with pytest.raises(training.RunFailed, match=f"{parent.run_id} is not declared"):
        training.run(child, CPU, tmp_path, paper_of(child))


def test_a_slice_passes_through_both_solutions(tmp_path):
    ends = Measure()
    pair = smoke("sb", measure=ends), smoke("lb", measure=ends)
    line = experiments.task("line", "c1-line", *pair)
    _, _, record = run(line, tmp_path, paper_of(*pair, line))
    rows = record.history.set_index("alpha")
    assert len(rows) == 25
    for alpha, spec in ((0.0, pair[0]), (1.0, pair[1])):
        there = read_run(training.run_dir(tmp_path, spec)).summary
        assert rows.loc[alpha, "train/loss"] == pytest.approx(there["full/train_loss"], rel=1e-6)
        assert rows.loc[alpha, "test/accuracy"] == pytest.approx(there["full/test_accuracy"])
    assert record.summary["rise_lb"] == pytest.approx(rows.loc[1.25, "train/loss"] - rows.loc[1.0, "train/loss"])


def test_the_rescaled_solution_is_the_same_function_and_looks_sharper(tmp_path):
    pair = smoke("sb"), smoke("lb")
    dinh = experiments.task("dinh", "f1-sb-dinh", *pair, measure=Measure(sharp=(Sharp(),)))
    _, _, record = run(dinh, tmp_path, paper_of(*pair, dinh))
    found = record.summary
    assert max(found["logit_difference"], found["logit_difference/lb-matched"]) < 0.1
    assert found["full/sb-rescaled"] > 5 * found["full/sb"]
    assert found["hessian/sb-rescaled"] > 5 * found["hessian/sb"]
    assert found["adaptive/sb-rescaled"] == pytest.approx(found["adaptive/sb"], rel=0.02)
    assert found["sharp/full@0.001"] == pytest.approx(found["full/sb-rescaled"], rel=1e-6)


def test_the_command_measures_runs_and_foreign_weights_alike(tmp_path):
    measure = Measure(sharp=(Sharp(),))
    spec = smoke("sb", measure=measure)
    _, home, record = run(spec, tmp_path)
    papers = {"keskar": PAPER}
    by_id = measure_target(spec.run_id, papers, tmp_path, measure)
    assert by_id["sharp/full@0.001"] == pytest.approx(record.summary["sharp/full@0.001"], rel=1e-6)
    foreign = tmp_path / "elsewhere.pt"
    torch.save({"state_dict": {f"net.{k}": v for k, v in weights(home).items()}}, foreign)
    by_file = measure_target(str(foreign), papers, tmp_path, measure, like=spec.run_id)
    assert {k: v for k, v in by_file.items() if k != "weights"} == {k: v for k, v in by_id.items() if k != "weights"}
    with pytest.raises(CurvatureError, match="give --like"):
        measure_target(str(foreign), papers, tmp_path, measure)
    declared = paper_of(spec)  # the smoke spec, by the name of its arm
    named = measure_target(str(foreign), {"keskar": declared}, tmp_path, measure, like=f"keskar/{spec.arm}")
    assert named["sharp/full@0.001"] == by_id["sharp/full@0.001"]
    with pytest.raises(CurvatureError, match="declares no arm 'f1-no'"):
        measure_target(str(foreign), papers, tmp_path, measure, like="keskar/f1-no")
    with pytest.raises(CurvatureError, match=r"no such file: elsewhere/missing\.pt"):
        measure_target("elsewhere/missing.pt", papers, tmp_path, measure)
    with pytest.raises(CurvatureError, match="no run 'nope'"):
        measure_target("nope", papers, tmp_path, measure)
    foreign.write_bytes(b"junk")
    with pytest.raises(CurvatureError, match=r"no file of weights that torch\.save wrote"):
        measure_target(str(foreign), papers, tmp_path, measure, like=spec.run_id)
    torch.save({"0.weight": torch.zeros(2)}, foreign)
    with pytest.raises(CurvatureError, match="does not fit"):
        measure_target(str(foreign), papers, tmp_path, measure, like=spec.run_id)
