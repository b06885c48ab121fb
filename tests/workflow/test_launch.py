"""What may happen to a sweep from outside: a terminal that hangs up, a reader that leaves, a disk that is full."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from commandline import call, finish, start
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from toy import PAPER, PAPERS

from shared import cli, training
from shared.callbacks import Checkpoints
from shared.files import write_atomically
from shared.spec import Execution
from shared.workflow import launch as module
from shared.workflow import plan as planning
from shared.workflow.launch import launch
from shared.workflow.suite import ATTEMPT, ERROR, Suite, run_dir

RUN = ("run", "toy", "--no-report", "--images-per-s", "20000", "--accelerator", "cpu", "--jobs", "2")


def homes(results: Path) -> list[Path]:
    return sorted((results / "runs" / "toy" / "reduced").glob("*-s*"))


def test_a_sweep_under_nohup_outlives_its_terminal(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does; a child inherits it
    try:
        running = start(tmp_path, *RUN, TOY_SLEEP="1")
    finally:
        signal.signal(signal.SIGHUP, before)
    deadline = time.monotonic() + 60
    while not homes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGHUP)
    code, said = finish(running)
    assert (code, "6/6 runs, 100 %" in said) == (0, True)


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A plan of the toy's runs and its file; in Snakemake's place stands whatever command a test sets."""
    tasks = planning.choose(PAPER, "reduced", tmp_path, seeds=1)
    plan = planning.Plan("reduced", tmp_path, Execution(accelerator="cpu"), 1, tasks)
    plan.packs = planning.pack(plan.todo, 1, 60, single=True)
    file = planning.write(plan, Suite(PAPERS, "toy", "toy.trainer"), cluster=False, per_gpu=1)

    def instead(*command: str) -> None:
        monkeypatch.setattr(module, "command", lambda *_: list(command))

    return plan, file, instead


def test_when_nobody_reads_the_progress_no_job_is_left_behind(planned, monkeypatch):
    plan, file, instead = planned
    instead("sleep", "600")
    children = []
    popen = module.subprocess.Popen
    monkeypatch.setattr(module.subprocess, "Popen", lambda *a, **k: children.append(popen(*a, **k)) or children[-1])

    def watch(done: set[str]) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        launch(plan, file, "local", watch)
    assert children[0].poll() is not None


def test_a_run_that_was_killed_is_not_explained_by_an_error_of_an_earlier_command(planned):
    plan, file, instead = planned
    instead("true")
    old, new, never = (run_dir(plan.results, task.spec) for task in plan.todo)
    for home in (old, new, never):
        home.mkdir(parents=True)
        (home / ERROR).write_text("DataError: no such folder\n\nTraceback")
    for home in (old, never):
        os.utime(home / ERROR, (1, 1))
    (old / ATTEMPT).touch()
    why = [failure.why for failure in launch(plan, file, "local", lambda done: None)]
    assert why[0] == "its process was killed (out of memory, or from outside)"
    assert why[1] == "DataError: no such folder"
    assert why[2].startswith("never started")


def test_relative_folders_are_those_of_the_user_for_the_jobs_too(tmp_path):
    code, said = call(tmp_path, *RUN, "--seeds", "1", DATA_DIR="tests/workflow", CACHE_DIR="tests/../tests")
    assert code == 0, said
    here = Path.cwd()
    for home in homes(tmp_path):
        assert f"data={here}/tests/workflow cache={here}/tests/../tests" in (home / "calls").read_text()


def test_a_folder_of_images_that_jobs_would_not_find_is_refused(tmp_path):
    code, said = call(tmp_path, *RUN, "--set", "data.name=folder:tests")
    assert code == 2
    assert f"jobs run in folders of their own; write folder:{Path.cwd()}/tests" in said
    code, said = call(tmp_path, *RUN, "--seeds", "1", DATA_DIR=str(tmp_path / "typo"))
    assert (code, f"DATA_DIR={tmp_path}/typo: no such folder" in said) == (2, True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_one_line(monkeypatch, capsys, number):
    def full() -> None:
        raise OSError(number, os.strerror(number), "results/report/report.md")

    monkeypatch.setattr(cli, "make_app", lambda suite: full)
    with pytest.raises(SystemExit) as stopped:
        cli.main(PAPERS, "toy", "toy.trainer")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert (len(said.splitlines()), "results/report/report.md" in said, "RESULTS_DIR" in said) == (1, True, True)


@pytest.mark.parametrize(
    ("tasks", "devices", "kind"),
    [(None, 4, LightningEnvironment), ("1", 4, LightningEnvironment), ("4", 4, SLURMEnvironment),
     ("4", 1, LightningEnvironment)],
)  # fmt: skip
def test_within_a_job_of_one_task_lightning_starts_the_ranks(monkeypatch, tasks, devices, kind):
    for name in ("SLURM_NTASKS", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    if tasks:
        monkeypatch.setenv("SLURM_NTASKS", tasks)
        monkeypatch.setenv("SLURM_NTASKS_PER_NODE", tasks)
    (made,) = training._environment(Execution(devices=devices))
    assert type(made) is kind


def test_a_checkpoint_is_written_beside_the_run_and_not_through_tmp(tmp_path):
    used = []

    def save(path: Path) -> None:
        used.append(tempfile.gettempdir())
        path.touch()

    Checkpoints(tmp_path, 0.0).save(SimpleNamespace(save_checkpoint=save, is_global_zero=True))
    assert used == [str(tmp_path)]
    assert tempfile.gettempdir() != str(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "done.json").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "done.json", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("done.json", "old")]
