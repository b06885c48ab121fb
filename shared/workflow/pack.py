"""The body of a job: train the runs of one pack, one after another, in this process."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.spec import Execution, RunSpec, parse
from shared.workflow import gpu
from shared.workflow.state import held
from shared.workflow.suite import ATTEMPT, ERROR, EngineError, Suite, is_done, run_dir

POLL_S = 2.0


def run_pack(suite: Suite, plan_file: Path, index: int) -> int:
    """Train pack ``index`` of a plan; returns how many of its runs failed.

    A failing run leaves ``error.txt`` in its folder and does not stop the others. A run that another process is
    training is left for the end and then waited for. SIGTERM stops like Ctrl-C.
    """
    plan = _load(plan_file, index)
    results, execution = Path(plan["results"]), Execution(**plan["execution"])
    specs = [_spec(suite, entry["spec"]) for entry in plan["pack"]["runs"]]
    signal.signal(signal.SIGTERM, _interrupt)
    if execution.world_size > 1:
        # every rank comes through here: whether a run is done or locked is for the training itself to decide
        return sum(_train(suite, s, execution, results, wait=True) is not True for s in specs)
    # on a cluster the scheduler has assigned the GPU
    gpus = gpu.visible() if execution.accelerator != "cpu" and not plan["cluster"] else []
    with gpu.slot(gpus, plan["per_gpu"]):
        return _train_all(suite, specs, execution, results)


def _train_all(suite: Suite, specs: list[RunSpec], execution: Execution, results: Path) -> int:
    # a run whose last process died without a word may take this one along, so it comes last
    waiting = sorted(specs, key=lambda s: (run_dir(results, s) / ATTEMPT).exists())
    failed = 0
    while waiting:
        busy = []
        for spec in waiting:
            if is_done(results, spec):
                continue
            outcome = None if held(run_dir(results, spec) / "lock") else _train(suite, spec, execution, results)
            if outcome is None:
                busy.append(spec)
            failed += outcome is False
        if busy:
            print(f"waiting for {len(busy)} runs that another process is training", flush=True)
            time.sleep(POLL_S)
        waiting = busy
    return failed


def _train(suite: Suite, spec: RunSpec, execution: Execution, results: Path, wait: bool = False) -> bool | None:
    """True: done; False: failed, and ``error.txt`` says why; None: another process took the run meanwhile, which with
    ``wait`` is waited for. A broken GPU context ends the process: what came after it would fail as well."""
    folder = run_dir(results, spec)
    folder.mkdir(parents=True, exist_ok=True)
    attempt, error = folder / ATTEMPT, folder / ERROR
    # the ranks that Lightning starts within one task of SLURM all have its SLURM_PROCID
    leader = all(int(os.environ.get(name, 0)) == 0 for name in ("SLURM_PROCID", "LOCAL_RANK"))
    if leader:
        attempt.touch()
        error.unlink(missing_ok=True)
    _say(f"{spec.run_id}")
    training = suite.training()
    try:
        status = training.run(spec, execution, results, suite.paper(spec.paper), wait=wait)
    except training.RunLocked:
        return None
    except Exception as problem:
        if leader:
            with suppress(OSError):  # the disk may be full; the reason then stands in the log, if that can be written
                error.write_text(f"{_one_line(problem)}\n\n{traceback.format_exc()}")
            attempt.unlink(missing_ok=True)
        _say(f"{spec.run_id} failed: {_one_line(problem)}")
        if "CUDA error" in str(problem):
            raise SystemExit(1) from problem
        return False
    except BaseException:  # Ctrl-C: not the run's fault
        if leader:
            attempt.unlink(missing_ok=True)
        raise
    if leader:
        attempt.unlink(missing_ok=True)
    _say(f"{spec.run_id} {status}")
    return True


def _say(text: str) -> None:
    with suppress(OSError):  # a log on a full disk must not cost the run
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _load(plan_file: Path, index: int) -> dict[str, Any]:
    try:
        plan = json.loads(plan_file.read_text())
        return {**plan, "pack": plan["packs"][index]}
    except (OSError, ValueError, LookupError) as problem:
        raise EngineError(f"no pack {index} in {plan_file} ({problem}); plans are written by the run command") from None


def _spec(suite: Suite, tree: dict[str, Any]) -> RunSpec:
    return parse(suite.paper(tree["paper"]).spec, json.dumps(tree))


def _one_line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text}"[:400]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
