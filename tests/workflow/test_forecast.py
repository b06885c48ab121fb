from __future__ import annotations

import json

import pytest
from toy import spec

from shared.spec import DataSpec, Execution, canonical
from shared.workflow.forecast import Rates, clock, samples
from shared.workflow.screen import Watch


def record(results, run, status="finished", rate=500.0, execution=None):
    home = results / "runs" / "toy" / "reduced" / run.run_id
    home.mkdir(parents=True)
    (home / "spec.json").write_text(canonical(run))
    (home / "execution.json").write_text(canonical(execution or Execution()))
    (home / "done.json").write_text(json.dumps({"run_id": run.run_id, "status": status, "images_per_s": rate}))


def test_finished_runs_of_the_same_kind_speak_first(tmp_path):
    for seed, rate in ((1, 400.0), (2, 500.0), (3, 900.0)):
        record(tmp_path, spec("toy", "a", seed, "reduced"), rate=rate)
    record(tmp_path, spec("toy", "a", 4, "reduced"), status="diverged", rate=1.0)
    rates = Rates(tmp_path)
    assert rates.get(spec("toy", "another-arm", 9, "reduced")) == 500.0
    assert rates.get(spec("toy", "a", 1, "reduced", batch=64)) is None


def test_runs_over_several_devices_do_not_speak_for_one(tmp_path):
    record(tmp_path, spec("toy", "a", 1, "reduced"), rate=4000.0, execution=Execution(devices=8))
    assert Rates(tmp_path).get(spec("toy", "a", 2, "reduced")) is None
    assert Rates(tmp_path).get(spec("toy", "a", 2, "reduced"), world_size=8) == 4000.0


def test_calibration_happens_once_per_kind_and_is_kept(tmp_path):
    calls = []

    def measure(run, execution):
        calls.append(run.batch_size)
        return 10.0 * run.batch_size

    specs = [spec("toy", "a", s, "reduced", b) for s in (1, 2) for b in (32, 64)]
    Rates(tmp_path).calibrate(specs, Execution(), measure)
    again = Rates(tmp_path)
    again.calibrate(specs, Execution(), measure)
    assert sorted(calls) == [32, 64]
    assert again.get(specs[1]) == 640.0


def test_seconds_grow_with_the_work_and_shrink_with_speed(tmp_path):
    run = spec("toy", "a", 1, "reduced")
    slow, fast = (Rates(tmp_path, given=g).seconds(run) for g in (100.0, 1000.0))
    assert samples(run) == 2 * (1437 // 32) * 32
    assert slow == pytest.approx(samples(run) / 100, rel=0.3)
    assert fast < slow / 4
    assert Rates(tmp_path).seconds(run) is None


def test_an_unknown_data_set_is_unknown_work_unless_the_length_is_given(tmp_path):
    run = spec("toy", "a", 1, "reduced").but(data=DataSpec(name="folder:x"))
    assert samples(run) is None
    assert samples(run.but(epochs=None, updates=10)) == 320


def test_a_damaged_throughput_file_only_costs_the_measurement(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "throughput.json").write_text('{"cut')
    assert Rates(tmp_path).get(spec("toy", "a", 1, "reduced")) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "unknown"), (40, "40 s"), (200, "3 min"), (3900, "1 h 05 min"), (3599, "1 h 00 min")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_the_eta_follows_the_sweep_more_than_the_forecast_as_runs_finish(tmp_path):
    from shared.workflow.plan import Pack, Plan, Task

    tasks = [Task(spec("toy", "a", s, "reduced"), "grid", False, 100.0) for s in range(10)]
    watch = Watch(Plan("reduced", tmp_path, Execution(), 1, tasks, [Pack(0, tasks, 1000.0)]))
    ids = [t.spec.run_id for t in tasks]
    assert watch.eta(set(), elapsed=0) == 1000.0
    assert watch.eta(set(), elapsed=100) == 900.0
    # twice as slow as forecast: after nine of ten runs the estimate is nearly that of the observed speed
    assert 180 < watch.eta(set(ids[:9]), elapsed=1800) <= 200
    assert watch.eta(set(ids), elapsed=2000) == 0
