"""What the command line works on: the papers, how a job calls back into them, and where results go."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from shared.paper import Paper
from shared.spec import RunSpec, SpecError

REPO = Path(__file__).resolve().parents[2]
ATTEMPT, ERROR, PROGRESS = ".attempt", "error.txt", ".progress"
"""Files of a run folder: there while a process trains the run (and after one that was killed); why it failed; how far
it is, from 0 to 1."""


class EngineError(RuntimeError):
    """The sweep cannot be planned, started or stopped as asked; the message says what to do."""


@dataclass(frozen=True)
class Suite:
    """The registry of papers, and the dotted names by which a job in another process finds everything again."""

    papers: dict[str, Paper]
    module: str = "replications"
    """``python -m <module> pack …`` is the body of a job."""
    trainer: str = "shared.training"
    """Holds ``run(spec, execution, results_dir, paper)``, ``calibrate(spec, execution, paper)``, ``RunLocked``."""
    reference: str = ""
    """Key of the paper whose nets ``bench`` times; the first one when empty."""

    def paper(self, key: str) -> Paper:
        if key not in self.papers:
            raise SpecError(f"unknown paper {key!r}; there are: {', '.join(self.papers)}")
        return self.papers[key]

    def training(self) -> ModuleType:
        return importlib.import_module(self.trainer)


def results_dir() -> Path:
    """``RESULTS_DIR``, or ``results/`` of the repository."""
    return Path(os.environ.get("RESULTS_DIR") or REPO / "results").resolve()


def run_dir(results: Path, spec: RunSpec) -> Path:
    """``<results>/runs/<paper>/<preset>/<run_id>``."""
    return results / "runs" / spec.paper / spec.preset / spec.run_id


def is_done(results: Path, spec: RunSpec) -> bool:
    """``done.json`` is written last and atomically, so its presence is enough, unless a parent was trained again since.

    Which parents were read stands in it under ``read``; one whose folder is gone is not missed.
    """
    home = run_dir(results, spec)
    done = home / "done.json"
    if not (spec.parents and done.exists()):
        return done.exists()
    try:
        read = json.loads(done.read_text()).get("read", {})
    except ValueError:  # damaged: whoever reads it says so
        return True
    return all(now in (None, then) for now, then in ((read_of(home.parent / p), then) for p, then in read.items()))


def read_of(home: Path) -> str | None:
    """What tells one training of a run from another: the digest of its ``done.json``, which has its time to the bit."""
    done = home / "done.json"
    return hashlib.sha256(done.read_bytes()).hexdigest()[:16] if done.exists() else None


def fraction(home: Path) -> float:
    """How far an unfinished run is, 0 to 1, as its training last wrote it down."""
    try:
        return min(1.0, float((home / PROGRESS).read_text()))
    except (OSError, ValueError):
        return 0.0


def cores() -> int:
    """Cores this process may use (containers and taskset respected)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def job_environment(threads: int) -> dict[str, str]:
    """Environment of a process that trains: its thread count, and memory that stays with it.

    glibc by default gives the memory of activations back to the kernel at every step and faults it in again; kept, a
    step of a small net takes a sixth less, and a gradient over 5,000 images of a convolutional net, whose blocks are
    larger than any threshold for ``mmap`` may be, almost half. Other allocators ignore the variables.
    """
    libraries = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")
    keep = {"MALLOC_MMAP_MAX_": 0, "MALLOC_TRIM_THRESHOLD_": 2**32, "MALLOC_TOP_PAD_": 2**28}
    return {**{f"{name}_NUM_THREADS": str(threads) for name in libraries}, **{k: str(v) for k, v in keep.items()}}
