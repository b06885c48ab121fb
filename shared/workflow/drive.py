"""From the words of a ``plan`` or ``run`` command to a plan, and from a plan to trained runs."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shlex
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console

from shared.spec import PRESETS, Execution, RunSpec, SpecError
from shared.workflow import gpu, screen, sources
from shared.workflow.forecast import Rates
from shared.workflow.launch import PROFILES, Stopped, launch
from shared.workflow.plan import Plan, choose, forecast, pack, write
from shared.workflow.suite import EngineError, Suite, cores, job_environment, results_dir

PACK_MINUTES = {"local": 6.0, "slurm": 60.0}
SLURM_JOBS = 100


def execution(
    preset: str,
    profile: str,
    devices: int,
    nodes: int,
    micro_batch: int | None,
    workers: int,
    threads: int,
    accelerator: str | None,
) -> Execution:
    """The checked ``Execution`` of a command. Without a choice the paper preset takes GPUs, on this machine where there
    are any, on SLURM always (the login node cannot tell); the small presets take cores, of which there are more."""
    if preset not in PRESETS:
        raise SpecError(f"unknown preset {preset!r}; there are: {', '.join(PRESETS)}")
    if profile not in PROFILES:
        raise EngineError(f"unknown profile {profile!r}; there are: {', '.join(PROFILES)}")
    if accelerator not in (None, "cpu", "gpu"):
        raise EngineError(f"unknown accelerator {accelerator!r}; there are: cpu, gpu")
    if nodes > 1 and profile != "slurm":
        raise EngineError(f"--nodes {nodes} needs --profile slurm: the local profile knows one machine")
    if nodes > 1 and devices == 1:
        raise EngineError("--nodes needs --devices of at least 2: SLURM's plugin refuses one task a node")
    if accelerator is None:
        accelerator = "gpu" if preset == "paper" and (profile == "slurm" or gpu.visible()) else "cpu"
    return Execution(
        accelerator="gpu" if accelerator == "gpu" else "cpu",
        devices=devices,
        nodes=nodes,
        micro_batch=micro_batch,
        workers=workers,
        threads=threads,
    )


def make_plan(
    suite: Suite,
    keys: Sequence[str],
    preset: str,
    profile: str,
    run_as: Execution,
    chosen: dict[str, Any],
    *,
    jobs: int | None,
    per_gpu: int,
    images_per_s: float | None,
    pack_minutes: float | None,
    tell: Callable[..., Any],
    must_train: bool = False,
) -> Plan:
    """Choose the runs of the papers, forecast them and pack them.

    What is missing of the data is told at once, and raises DataError when ``must_train`` and none of it is there.
    On SLURM nothing is looked for or measured: the login node says nothing about the others.
    """
    from shared.runs.record import wandb_mode

    wandb_mode()  # before any job finds out by itself
    results = results_dir()
    papers = [suite.paper(key) for key in dict.fromkeys(keys)]
    tasks = [t for p in papers for t in choose(p, preset, results, **chosen)]
    for p in papers if not chosen.get("sweep") else ():
        if left := sorted({s.data.name for s in p.runs(preset).values()} & set(p.unsourced)):
            tell(f"{p.key}: left out are runs on {', '.join(left)}, of which this suite has no source", markup=False)
        if (left := [s.name for s in p.select(preset) if s.by_name]) and not chosen.get("arms"):
            named = " ".join(f"--sweep {name}" for name in left)
            tell(f"{p.key}: left out is what runs by name only: {named}", markup=False)
    if chosen.get("assignments"):
        declared = [t.spec for p in papers for t in choose(p, preset, results, **{**chosen, "assignments": None})]
        if left := sorted({s.arm for s in declared if s.parents}):
            tell(f"left out with --set: {', '.join(left)}, which read other runs as declared", markup=False)
    rates = Rates(results, images_per_s, run_as.accelerator)
    todo = [t.spec for t in tasks if not t.done]
    _must_divide(todo, run_as.world_size)
    if jobs is None:
        jobs = SLURM_JOBS if profile == "slurm" else _slots(run_as, per_gpu)
    if profile == "local":
        missing = sources.missing(todo)
        if missing and must_train and len(missing) == len({s.data.name for s in todo}):
            raise next(iter(missing.values()))
        for problem in missing.values():
            tell(str(problem), style="red", markup=False)
        at_hand = [s for s in todo if s.data.name not in missing]
        # Smoke is over before a calibration would be; on a GPU it would take one from the jobs that have it.
        measurable = preset != "smoke" and run_as.world_size == 1 and run_as.accelerator == "cpu"
        if measurable and any(rates.get(s) is None for s in at_hand):
            for name, value in job_environment(run_as.threads).items():  # the processes that measure inherit it
                os.environ.setdefault(name, value)
            with _side_by_side(suite, jobs) as measure:
                rates.calibrate(at_hand, run_as, measure, tell)
    tasks = forecast(tasks, rates, run_as)
    plan = Plan(preset, results, run_as, jobs, tasks)
    limit = 60 * (pack_minutes or PACK_MINUTES[profile])
    blind = profile == "slurm" and any(t.seconds is None for t in plan.todo)
    # on SLURM as many jobs as the limit asks for, not as many as may be queued
    width = jobs if profile == "local" else 1
    plan.packs = pack(plan.todo, width, limit, single=run_as.world_size > 1 or blind)
    return plan


@contextmanager
def _side_by_side(suite: Suite, jobs: int) -> Iterator[Callable[[RunSpec, Execution], float]]:
    """Throughput of a run while others of its kind keep the other job slots busy: they share cache and memory, and two
    packed runs of a small net are each a fifth slower than one alone."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, _wait_at, (spawn.Barrier(jobs),)) as pool:
        one = partial(_calibrate, suite.module, suite.trainer)
        yield lambda spec, execution: statistics.mean(pool.map(one, [spec] * jobs, [execution] * jobs))


def _wait_at(barrier: Any) -> None:
    """Initialiser of a calibrating process: each has one measurement in hand before any begins."""
    global _begin
    _begin = barrier.wait


_begin: Callable[[], Any]


def _calibrate(module: str, trainer: str, spec: RunSpec, execution: Execution) -> float:
    papers, training = importlib.import_module(module).PAPERS, importlib.import_module(trainer)
    _begin()
    return training.calibrate(spec, execution, papers[spec.paper])


def _must_divide(specs: list[RunSpec], devices: int) -> None:
    """Raises EngineError with the arms whose batches cannot be cut over so many devices."""
    if devices == 1:
        return
    from shared.models import indivisible  # torch, which a plan for one device does without

    few = {s.arm for s in specs if s.batch_size // indivisible(s) < devices}
    if few:
        raise EngineError(
            f"{devices} devices are more than the chunks of {', '.join(sorted(few))} (batch_size / bn_batch; one where "
            "batch norm is over the whole batch); run these arms on fewer with --arm, and the others with --arm as well"
        )


def _slots(run_as: Execution, per_gpu: int) -> int:
    if run_as.accelerator == "gpu":
        # a run over several GPUs takes the first ones, so two of them would meet on the same
        return max(1, len(gpu.visible()) * per_gpu) if run_as.devices == 1 else 1
    return max(1, cores() // ((run_as.threads + run_as.workers) * run_as.devices))


def say_plan(plan: Plan, console: Console) -> None:
    console.print(screen.plan_table(plan))
    console.print(screen.plan_line(plan))


def train(suite: Suite, plan: Plan, profile: str, per_gpu: int, engine: str, console: Console) -> int:
    """Run a plan to its end and return how many runs failed; prints progress and the failures."""
    if not plan.todo:
        return 0
    plan_file = write(plan, suite, cluster=profile == "slurm", per_gpu=per_gpu)
    console.print("Ctrl-C stops cleanly; the same command goes on from there.")
    console.print(f"Engine log: {plan_file.parent / 'snakemake.log'}", markup=False)
    try:
        with screen.progress(plan, console) as watch:
            failed = launch(plan, plan_file, profile, watch, shlex.split(engine))
    except Stopped:
        console.print("stopped. What is finished is kept; the same command resumes the rest from its checkpoints.")
        raise SystemExit(130) from None
    if failed:
        screen.failures(failed, console)
    return len(failed)
