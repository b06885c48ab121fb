"""Writing a run: values survive, and so do rows when the process does not."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.runs import record
from shared.runs.read import read_run
from shared.spec import Execution
from tests.conftest import REPO
from tests.runs import toy

INF = float("inf")


def start_writer(run_dir: Path, how: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.runs.writer", str(run_dir), how]
    child = subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.PIPE, text=True, env=os.environ | environment, start_new_session=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "logged\n"
    return child


def wait(child: subprocess.Popen) -> str:
    out, _ = child.communicate(timeout=30)
    return out


def services_of(pid: int) -> list[str]:
    """W&B's service processes that a process started and that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--pid" in words and words[words.index(b"--pid") + 1] == str(pid).encode():
            found.append(path.parent.name)
    return found


def test_values_come_back_as_they_were_logged(tmp_path):
    logged = [
        {"trainer/global_step": 1, "val/error": math.nan, "flag": True, "name": "größer ✓", "deep": {"a": {"b": 2}}},
        {"trainer/global_step": 2, "val/error": INF, "flag": False, "name": "", "deep": {"a": {"b": 3}}},
        {"trainer/global_step": 3, "val/error": -INF, "flag": True, "name": 'a "b"\n', "deep": {"a": {"b": 4.5}}},
        {"trainer/global_step": 4, "val/error": 0.1 + 0.2, "flag": True, "name": "x", "samples": 2**40},
    ]
    extra = {"whole": 3.0, "small": 1e-300, "many": [1.0, 2.0], "mixed": [1, "a", None], "text": "é", "yes": True}
    toy.write(tmp_path, toy.spec(), logged, extra=extra)
    got = read_run(tmp_path)
    assert got.problem is None
    assert got.finished
    assert got.run_id == toy.spec().run_id
    errors = list(got.history["val/error"])
    assert math.isnan(errors[0])
    assert errors[1:] == [INF, -INF, 0.1 + 0.2]
    assert list(got.history["flag"]) == [True, False, True, True]
    assert got.history["flag"].dtype == bool
    assert list(got.history["name"]) == ["größer ✓", "", 'a "b"\n', "x"]
    assert list(got.history["deep.a.b"])[:3] == [2, 3, 4.5]
    assert got.history["samples"].iloc[3] == 2**40
    for key, value in extra.items():
        assert (got.config[key], type(got.config[key])) == (value, type(value)), key
    assert [type(v) for v in got.config["many"]] == [float, float]
    assert type(got.config["lr"]) is float
    assert type(got.config["batch_size"]) is int
    assert got.config["optimizer.decay_skip"] == ["bn", "bias"]
    assert got.config["updates"] is None
    assert got.config["provenance.git_dirty"] is False
    assert got.config["sweep"] == "main"
    assert got.config["model.args.width"] == 8
    assert got.config["execution.devices"] == 1
    assert got.summary["updates"] == 40
    assert type(got.summary["wall_s"]) is float
    assert not [k for k in {*got.config, *got.summary, *got.history.columns} if k.startswith("_") or k == "float_keys"]


def test_many_runs_in_one_process_are_cheap_and_apart(tmp_path):
    took = []
    for seed in range(1, 7):
        begin = time.perf_counter()
        toy.write(tmp_path / str(seed), toy.spec(seed), toy.rows(seed))
        took.append(time.perf_counter() - begin)
    assert sorted(took)[3] < 1.0
    for seed in range(1, 7):
        got = read_run(tmp_path / str(seed))
        assert got.finished
        assert got.config["seed"] == seed
        assert len(got.history) == seed


def test_a_run_left_open_is_closed_as_failed_by_the_next(tmp_path):
    left = record.start(toy.spec(1), Execution(), tmp_path / "a", "main", toy.FACTS)
    left.log(toy.rows(1)[0])
    toy.write(tmp_path / "b", toy.spec(2), toy.rows(2))
    first, second = read_run(tmp_path / "a"), read_run(tmp_path / "b")
    assert not first.finished
    assert len(first.history) == 1
    assert second.finished
    assert len(second.history) == 2


def test_closing_twice_changes_nothing(tmp_path):
    run = record.start(toy.spec(), Execution(), tmp_path, "main", toy.FACTS)
    record.finish(run, {"status": "finished"})
    record.finish(run, None, exit_code=1)
    assert read_run(tmp_path).finished


def test_what_cannot_be_recorded_is_refused_by_name(tmp_path, monkeypatch):
    with pytest.raises(record.RecordError, match="'lr' would hide"):
        record.start(toy.spec(), Execution(), tmp_path, "main", toy.FACTS, {"lr": 2.0})
    (tmp_path / "file").write_text("")
    with pytest.raises(record.RecordError, match=r"could not start a run in .*file.*writable"):
        record.start(toy.spec(), Execution(), tmp_path / "file" / "run", "main", toy.FACTS)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(record.RecordError, match=r"WANDB_MODE='disabled'.*offline or online"):
        record.start(toy.spec(), Execution(), tmp_path, "main", toy.FACTS)


def test_sigkill_keeps_rows_and_config_but_not_the_title_of_finished(tmp_path):
    child = start_writer(tmp_path, "wait")
    time.sleep(1.5)
    os.kill(child.pid, signal.SIGKILL)
    wait(child)
    got = read_run(tmp_path)
    assert len(got.history) == 20
    assert got.config["batch_size"] == 32
    assert not got.finished


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "Terminated"), (signal.SIGINT, "KeyboardInterrupt")])
def test_a_signal_lets_the_run_be_closed_and_leaves_no_process(tmp_path, number, name):
    home = tmp_path / "home"
    home.mkdir()
    own = dict.fromkeys((f"WANDB_{n}_DIR" for n in ("CACHE", "DATA", "ARTIFACT", "CONFIG")), "")
    child = start_writer(tmp_path / "runs" / "run", "wait", HOME=str(home), **own)
    if number == signal.SIGINT:
        os.killpg(child.pid, number)  # as the terminal does
    else:
        os.kill(child.pid, number)
    wait(child)
    assert child.returncode == 143
    got = read_run(tmp_path / "runs" / "run")
    assert got.summary["status"] == name
    assert len(got.history) == 20
    assert not got.finished
    for _ in range(50):
        if not services_of(child.pid):
            break
        time.sleep(0.1)
    assert services_of(child.pid) == []
    assert list(home.rglob("*")) == []


def test_sigterm_handler_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), record.sigterm_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_is_one_clear_error(tmp_path):
    child = start_writer(tmp_path, "full-disk")
    out = wait(child)
    assert child.returncode == 3
    assert "MiB free" in out
    assert str(tmp_path) in out
    assert not read_run(tmp_path).finished
