"""How long runs will take, from throughput measured on this machine: finished runs first, else a short calibration."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.datasets import KNOWN
from shared.files import write_atomically
from shared.pace import Pace
from shared.spec import FORWARD, Execution, RunSpec, flatten

PACK_S, RUN_S = 12.0, 2.0
"""Seconds to import everything, once a process, and to open and close one run's record."""


def sizes(spec: RunSpec) -> tuple[int, int] | None:
    """Images trained on per epoch and images evaluated; None for a data set whose size is not known beforehand."""
    known = KNOWN.get(spec.data.name)
    train, test = (known.train, known.test) if known else (None, None)
    if spec.data.train_size:
        train = spec.data.train_size
    elif train:
        train -= spec.data.holdout
    test = spec.data.holdout or test
    return (train, test) if train and test else None


def samples(spec: RunSpec) -> int | None:
    """Training samples of the whole run, or None when unknown."""
    if spec.updates:
        return spec.updates * spec.batch_size
    known = sizes(spec)
    if spec.task != "train":
        return 0
    if not (known and spec.epochs) or max(spec.batches) > known[0]:
        return None
    pace = Pace(known[0], spec)
    return pace.samples(pace.before(spec.epochs))


def key(spec: RunSpec, world_size: int = 1, accelerator: str = "cpu") -> str:
    """Runs with the same key have the same throughput on one machine."""
    flat = flatten(spec)
    wanted = ("data.name", "data.augment", "batch_size", "bn_batch", "precision")
    parts = {k: v for k, v in flat.items() if k in wanted or k.startswith("model.")}
    return json.dumps({**parts, "world_size": world_size, "accelerator": accelerator}, sort_keys=True)


class Rates:
    """Images per second by ``key``."""

    def __init__(self, results: Path, given: float | None = None, accelerator: str = "cpu"):
        """``given`` is the user's own figure; it overrides every measurement."""
        self.accelerator = accelerator
        self.file = results / "runs" / "throughput.json"
        self.given = given
        self.measured = _of_finished_runs(results / "runs")
        self.host = platform.node()
        self.calibrated: dict[str, float] = _read(self.file).get(self.host, {})

    def get(self, spec: RunSpec, world_size: int = 1) -> float | None:
        k = key(spec, world_size, self.accelerator)
        return self.given or self.measured.get(k) or self.calibrated.get(k)

    def calibrate(
        self,
        specs: Iterable[RunSpec],
        execution: Execution,
        measure: Callable[[RunSpec, Execution], float],
        tell: Callable[[str], Any] = lambda _: None,
    ) -> None:
        """Measure each throughput that is not known yet, once, and keep it in ``runs/throughput.json``."""
        world, kind = execution.world_size, self.accelerator
        missing = {key(s, world, kind): s for s in specs if self.get(s, world) is None}
        for number, (k, spec) in enumerate(missing.items(), 1):
            tell(f"measuring throughput {number}/{len(missing)}: {spec.model.name}, batch {spec.batch_size}")
            self.calibrated[k] = float(measure(spec, execution))
            stored = {**_read(self.file), self.host: self.calibrated}
            with suppress(OSError):  # a plan is of use too where nothing can be written
                self.file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self.file, json.dumps(stored, indent=1, sort_keys=True))

    def seconds(self, spec: RunSpec, world_size: int = 1) -> float | None:
        """Training, evaluations and the record's own cost; None when nothing is known."""
        rate, total, known = self.get(spec, world_size), samples(spec), sizes(spec)
        if not rate or total is None:
            return None
        length = spec.epochs or spec.updates or 1
        evaluations = length // spec.eval_every
        evaluated = evaluations * (known[1] if known else 0) * (2 if spec.precise_bn else 1)
        extra = spec.extra_samples(known[0]) if known else 0.0
        return (total + extra + FORWARD * (evaluated + spec.precise_bn * evaluations)) / rate + RUN_S


def _of_finished_runs(runs: Path) -> dict[str, float]:
    rates: dict[str, list[float]] = {}
    for done in runs.glob("*/*/*/done.json"):
        facts, spec, execution = (_read(done.parent / n) for n in ("done.json", "spec.json", "execution.json"))
        if not (facts.get("status") == "finished" and facts.get("images_per_s") and spec):
            continue
        world = execution.get("devices", 1) * execution.get("nodes", 1)
        try:
            kind = "gpu" if execution.get("accelerator") == "gpu" else "cpu"
            rates.setdefault(_key_of_json(spec, world, kind), []).append(float(facts["images_per_s"]))
        except (KeyError, TypeError, ValueError):
            continue  # a record of an older spec says nothing about this one
    return {k: statistics.median(v) for k, v in rates.items()}


def _key_of_json(spec: dict[str, Any], world: int, accelerator: str) -> str:
    fields = {k: spec[k] for k in RunSpec.model_fields if k in spec}
    return key(RunSpec.model_validate_json(json.dumps(fields)), world, accelerator)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def clock(seconds: float | None) -> str:
    """``1 h 05 min``, ``3 min``, ``40 s``; ``unknown`` for None."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{abs(seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
