"""Run a plan: start Snakemake, watch the runs finish, stop cleanly on Ctrl-C, say what failed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.workflow.plan import Plan, Task
from shared.workflow.suite import ATTEMPT, ERROR, REPO, EngineError, is_done, run_dir

HERE = Path(__file__).resolve().parent
PROFILES = ("local", "slurm")
STOP_S = 60.0
"""Time that jobs get to close their records after a stop signal, before they are killed."""
POLL_S = 1.0


@dataclass(frozen=True)
class Failure:
    run_id: str
    why: str
    log: Path


class Stopped(EngineError):
    """Ctrl-C (or SIGTERM, or a closed terminal) while jobs were running."""


def command(plan_file: Path, profile: str, jobs: int, threads: int, engine: list[str]) -> list[str]:
    """The Snakemake call. ``engine`` holds further arguments for it, such as a SLURM account."""
    width = ["--cores", str(jobs * threads)] if profile == "local" else ["--jobs", str(jobs)]
    if profile == "slurm":
        width += ["--slurm-logdir", str(plan_file.parent / "slurm")]
    return [
        *(sys.executable, "-m", "snakemake", "all"),
        *("--snakefile", str(HERE / "Snakefile")),
        *("--profile", str(HERE / "profiles" / profile)),
        *("--directory", str(plan_file.parent)),
        *width,
        *engine,
        *("--config", f"plan={plan_file}"),
    ]


def launch(
    plan: Plan,
    plan_file: Path,
    profile: str,
    watch: Callable[[set[str]], None],
    engine: list[str] | None = None,
) -> list[Failure]:
    """Run every pack; ``watch`` is called about once a second with the ids of the runs done so far.

    Returns the runs that are not done at the end. Raises Stopped when interrupted (all jobs have ended by then) and
    EngineError when Snakemake itself could not work.
    """
    folder = plan_file.parent
    (folder / "logs").mkdir(exist_ok=True)
    log = folder / "snakemake.log"
    threads = (plan.execution.threads + plan.execution.workers) * plan.execution.world_size
    call = command(plan_file, profile, plan.jobs, threads if profile == "local" else 1, engine or [])
    todo = plan.todo
    # what nohup has set to be ignored stays so
    heard = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is not signal.SIG_IGN]
    with _on_signals(heard, _raise), log.open("ab") as out:
        # a session of its own: Ctrl-C reaches the jobs through us, once, and in the right order
        child = subprocess.Popen(
            call, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, env=environment()
        )
        try:
            while child.poll() is None:
                watch(_finished(plan, todo))
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            stop(child, profile)
            raise Stopped(f"stopped; what is finished is kept, the rest resumes ({log})") from None
        except BaseException:  # nobody reads our output any more, or the disk is full: leave no job behind
            stop(child, profile)
            raise
    finished = _finished(plan, todo)
    watch(finished)
    failures = [_failure(plan, t, plan_file) for t in todo if t.spec.run_id not in finished]
    if child.returncode and not any((folder / "logs").iterdir()):
        raise EngineError(f"Snakemake could not start the sweep: {_last_line(log)} (all of it in {log})")
    return failures


def environment() -> dict[str, str]:
    """Ours, with the repository importable from the jobs' own working directory."""
    path = [str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])]
    mine = {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"}  # jobs have a W&B service of their own
    return {**mine, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def stop(child: subprocess.Popen, profile: str) -> None:
    """End Snakemake and its jobs, and wait for them.

    Locally the whole process group gets SIGTERM: Snakemake starts nothing new and the jobs close their records.
    On SLURM Snakemake gets SIGINT, upon which it cancels what it has submitted.
    """
    # an impatient second Ctrl-C, or a terminal that hangs up twice, must not orphan the jobs
    with _on_signals((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN):
        if profile == "local":
            _signal_group(child, signal.SIGTERM)
        else:
            child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_S
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        _signal_group(child, signal.SIGKILL)  # nothing is left of the group in the usual case
        child.wait()


@contextlib.contextmanager
def _on_signals(numbers: Iterable[signal.Signals], handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, kept in before.items():
            signal.signal(number, kept)


def _signal_group(child: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _raise(*_: object) -> None:
    raise KeyboardInterrupt


def _finished(plan: Plan, todo: list[Task]) -> set[str]:
    return {t.spec.run_id for t in todo if is_done(plan.results, t.spec)}


def _failure(plan: Plan, task: Task, plan_file: Path) -> Failure:
    run_id, home = task.spec.run_id, run_dir(plan.results, task.spec)
    number = next(p.index for p in plan.packs if any(t.spec.run_id == run_id for t in p.tasks))
    log = plan_file.parent / "logs" / f"pack-{number}.log"
    if (home / ERROR).exists() and (home / ERROR).stat().st_mtime >= plan_file.stat().st_mtime:  # of this command
        why = (home / ERROR).read_text().partition("\n")[0] or "no space left on the disk to say why; free some"
    elif (home / ATTEMPT).exists():
        why = "its process was killed (out of memory, or from outside)"
    else:
        why = f"never started: {_last_line(log)}"
    return Failure(run_id, why, log)


def _last_line(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "no output"
