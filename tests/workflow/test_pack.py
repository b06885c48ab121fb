from __future__ import annotations

import signal
import threading
import time

import pytest
from filelock import FileLock
from toy import PAPER, PAPERS

from shared.spec import Execution
from shared.workflow import pack as packing
from shared.workflow.pack import run_pack
from shared.workflow.plan import Pack, Plan, choose, write
from shared.workflow.suite import EngineError, Suite, run_dir

SUITE = Suite(PAPERS, "toy", "toy.trainer")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(packing, "POLL_S", 0.05)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def planned(tmp_path):
    """One pack of all six runs: its plan file, and the folder of each run by (arm, seed)."""

    def make(execution=None):
        tasks = choose(PAPER, "reduced", tmp_path)
        plan = Plan("reduced", tmp_path, execution or Execution(accelerator="cpu"), 1, tasks)
        plan.packs = [Pack(0, tasks, 1.0)]
        path = write(plan, SUITE, cluster=False, per_gpu=1)
        return path, {(t.spec.arm, t.spec.seed): run_dir(tmp_path, t.spec) for t in tasks}

    return make


def test_one_failing_run_does_not_stop_the_others(planned, monkeypatch):
    path, homes = planned()
    monkeypatch.setenv("TOY_FAIL", "a-twice")
    assert run_pack(SUITE, path, 0) == 2
    for (arm, _), home in homes.items():
        assert (home / "done.json").exists() == (arm != "a-twice")
    error = (homes["a-twice", 1] / "error.txt").read_text()
    assert error.startswith("ToyError: a-twice cannot work; remedy: do not ask for it\n")
    assert "Traceback" in error


def test_a_broken_gpu_context_ends_the_process_and_not_the_runs_after_it(planned, monkeypatch):
    path, homes = planned()
    monkeypatch.setenv("TOY_FAIL", "a,a-twice,b")
    monkeypatch.setenv("TOY_ERROR", "CUDA error: an illegal memory access was encountered")
    with pytest.raises(SystemExit) as ended:
        run_pack(SUITE, path, 0)
    assert ended.value.code == 1
    assert sum((home / "error.txt").exists() for home in homes.values()) == 1


def test_success_removes_the_old_error_and_done_runs_are_not_trained_again(planned, monkeypatch):
    path, homes = planned()
    monkeypatch.setenv("TOY_FAIL", "b")
    run_pack(SUITE, path, 0)
    monkeypatch.delenv("TOY_FAIL")
    assert run_pack(SUITE, path, 0) == 0
    assert not (homes["b", 1] / "error.txt").exists()
    assert len((homes["a", 1] / "calls").read_text().splitlines()) == 1
    assert len((homes["b", 1] / "calls").read_text().splitlines()) == 2


def test_a_run_that_another_process_trains_comes_last(planned):
    path, homes = planned()
    taken = homes["a", 1]
    taken.mkdir(parents=True)
    lock = FileLock(taken / "lock", is_singleton=False)
    lock.acquire()
    result = []
    worker = threading.Thread(target=lambda: result.append(_without_signals(path)))
    worker.start()
    deadline = time.monotonic() + 10
    while not (homes["b", 2] / "done.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (homes["b", 2] / "done.json").exists()
    assert not (taken / "calls").exists()
    lock.release()
    worker.join(10)
    assert result == [0]
    assert (taken / "done.json").exists()


def _without_signals(path):
    """signal.signal works in the main thread alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing.signal, "signal", lambda *_: None)
        return run_pack(SUITE, path, 0)


def test_a_run_whose_process_died_comes_last_the_next_time(planned, capsys):
    path, homes = planned()
    homes["a", 1].mkdir(parents=True)
    (homes["a", 1] / ".attempt").touch()
    run_pack(SUITE, path, 0)
    finished = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.endswith(" finished")]
    assert finished[-1] == homes["a", 1].name
    assert not (homes["a", 1] / ".attempt").exists()


def test_ctrl_c_is_nobodys_failure(planned, monkeypatch):
    path, homes = planned()
    monkeypatch.setattr(SUITE.training(), "run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_pack(SUITE, path, 0)
    assert not list(homes["a", 1].glob("error.txt")) + list(homes["a", 1].glob(".attempt"))


def test_ranks_other_than_the_first_write_nothing(planned, monkeypatch):
    path, homes = planned(Execution(accelerator="cpu", devices=2))
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("TOY_FAIL", "a")
    assert run_pack(SUITE, path, 0) == 2
    assert not list(homes["a", 1].glob("error.txt")) + list(homes["b", 1].glob(".attempt"))


@pytest.mark.parametrize("spoil", [lambda p: p.unlink(), lambda p: p.write_text("{"), lambda p: None])
def test_a_bad_plan_is_one_clear_message(planned, spoil):
    path, _ = planned()
    spoil(path)
    with pytest.raises(EngineError, match=r"no pack 7 in .*plan\.json"):
        run_pack(SUITE, path, 7)
