"""Stands in for ``shared.training``: sleeps, counts its calls, fails and dies on demand (environment variables)."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from filelock import FileLock, Timeout

from shared.paper import Paper
from shared.spec import Execution, RunSpec, canonical


class RunLocked(RuntimeError):
    pass


class ToyError(RuntimeError):
    pass


def run(spec: RunSpec, execution: Execution, results: Path, paper: Paper, wait: bool = False) -> str:
    """TOY_SLEEP: seconds a run takes; TOY_FAIL: arms that raise (TOY_ERROR says what); TOY_DIE: arms whose first
    process is killed."""
    folder = results / "runs" / spec.paper / spec.preset / spec.run_id
    try:
        with FileLock(folder / "lock", timeout=-1 if wait else 0):
            with (folder / "calls").open("a") as calls:
                calls.write(f"{os.getpid()} threads={os.environ.get('OMP_NUM_THREADS')} ")
                calls.write(f"data={os.environ.get('DATA_DIR')} cache={os.environ.get('CACHE_DIR')}\n")
            if spec.arm in os.environ.get("TOY_FAIL", "").split(","):
                raise ToyError(os.environ.get("TOY_ERROR", f"{spec.arm} cannot work;\nremedy: do not ask for it"))
            if spec.arm in os.environ.get("TOY_DIE", "").split(",") and (folder / "calls").read_text().count("\n") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                time.sleep(float(os.environ.get("TOY_SLEEP", "0")))
            except KeyboardInterrupt:
                (folder / "closed").touch()
                raise
            (folder / "spec.json").write_text(canonical(spec))
            (folder / "execution.json").write_text(canonical(execution))
            done = {"run_id": spec.run_id, "status": "finished", "wall_s": 1.0, "images_per_s": 2000.0}
            (folder / ".done").write_text(json.dumps(done))
            os.replace(folder / ".done", folder / "done.json")
            return "finished"
    except Timeout:
        raise RunLocked(spec.run_id) from None


def calibrate(spec: RunSpec, execution: Execution, paper: Paper) -> float:
    with open(os.environ["TOY_CALIBRATIONS"], "a") as calls:
        calls.write(f"{spec.batch_size}\n")
    return 10.0 * spec.batch_size
