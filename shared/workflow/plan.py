"""Which runs a command means, what is left to do, and how that is cut into jobs ("packs")."""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import heapq
import json
import math
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.paper import Paper
from shared.spec import Execution, RunSpec, SpecError, override
from shared.workflow.forecast import PACK_S, Rates, samples
from shared.workflow.suite import EngineError, Suite, is_done, run_dir
from shared.workflow.vet import vet


@dataclass(frozen=True)
class Task:
    spec: RunSpec
    sweep: str
    done: bool
    seconds: float | None = None
    """Forecast of one core (or one GPU); None when no throughput is known."""


@dataclass(frozen=True)
class Pack:
    index: int
    tasks: list[Task]
    seconds: float | None


@dataclass
class Plan:
    preset: str
    results: Path
    execution: Execution
    jobs: int
    tasks: list[Task]
    packs: list[Pack] = field(default_factory=list)

    @property
    def papers(self) -> list[str]:
        """Keys, in the order in which they were asked for."""
        return list(dict.fromkeys(t.spec.paper for t in self.tasks))

    @property
    def todo(self) -> list[Task]:
        return [t for t in self.tasks if not t.done]

    @property
    def seconds(self) -> float | None:
        """Wall time with ``jobs`` packs at once, the long ones first."""
        return makespan([p.seconds for p in self.packs], self.jobs)

    def summary(self) -> dict[str, Any]:
        """What ``plan --json`` prints."""
        sweeps: dict[tuple[str, str], dict[str, Any]] = {}
        for task in self.tasks:
            key = task.spec.paper, task.sweep
            start = {"paper": key[0], "sweep": key[1], "runs": 0, "done": 0, "core_seconds": 0.0}
            row = sweeps.setdefault(key, start)
            row["runs"] += 1
            row["done"] += task.done
            if not task.done:
                known = row["core_seconds"] is not None and task.seconds is not None
                row["core_seconds"] = row["core_seconds"] + task.seconds if known else None
        return {
            "papers": self.papers,
            "preset": self.preset,
            "runs": len(self.tasks),
            "done": len(self.tasks) - len(self.todo),
            "todo": [t.spec.run_id for t in self.todo],
            "jobs": self.jobs,
            "packs": len(self.packs),
            "seconds": self.seconds,
            "sweeps": list(sweeps.values()),
        }


def choose(
    paper: Paper,
    preset: str,
    results: Path,
    *,
    seeds: int | None = None,
    sweep: str | Collection[str] | None = None,
    arms: list[str] | None = None,
    assignments: list[str] | None = None,
    missing: bool = False,
) -> list[Task]:
    """The runs that are meant, each once, under the first sweep that holds it.

    ``arms`` are names or patterns (``kn-*-warmup``); ``assignments`` are ``a.b=c`` overrides, which make runs of their
    own (sweep ``ad-hoc``); those that read other runs, which are declared, are left out. With ``missing`` what the
    snapshot holds is done as well. Whose weights or summaries a run to do reads is among them, unless its folder is
    here. Raises SpecError before anything starts.
    """
    specs = paper.planned(preset, seeds, sweep, by_name=bool(arms))
    if not specs:
        raise SpecError(f"{paper.key} declares no run for preset {preset!r}")
    if arms:
        known = list(dict.fromkeys(s.arm for s in specs.values()))
        if unknown := [a for a in arms if not fnmatch.filter(known, a)]:
            raise SpecError(f"{paper.key} {preset} has no arm {unknown[0]!r}; there are: {', '.join(known)}")
        specs = {i: s for i, s in specs.items() if any(fnmatch.fnmatchcase(s.arm, a) for a in arms)}
    home = {s.run_id: sw.name for sw in reversed(paper.select(preset, None, True)) for s in sw.specs}
    changed = [override(s, assignments) if assignments else s for s in specs.values()]
    if assignments:
        if not (changed := [s for s in changed if not s.parents]):
            raise SpecError("--set: each of these runs reads others as they are declared; override those, with --arm")
        vet(changed)  # what is declared is built by the tests
    unique = {s.run_id: s for s in changed}
    stored = _in_snapshot(results, paper.key) if missing else ()
    done = {i: i in stored or is_done(results, s) for i, s in unique.items()}
    unread = _unread(paper, (s for i, s in unique.items() if not done[i]), results)
    return [Task(s, home.get(i, "ad-hoc"), done.get(i, False) and i not in unread)
            for i, s in (unread | unique).items()]  # fmt: skip


def _unread(paper: Paper, todo: Iterable[RunSpec], results: Path) -> dict[str, RunSpec]:
    """The parents, and theirs, of runs to do that have no folder here: they are trained on the way."""
    found: dict[str, RunSpec] = {}
    waiting = [s for s in todo if s.parents]
    declared = {preset: paper.runs(preset) for preset in {s.preset for s in waiting}}
    while waiting:
        spec = waiting.pop()
        for name in spec.parents:
            parent = declared[spec.preset].get(name)
            if parent and name not in found and not is_done(results, parent):
                found[name] = parent
                waiting.append(parent)
    return found


def _in_snapshot(results: Path, paper: str) -> set[str]:
    """Run ids of the committed table, read without pandas, whose import would be felt."""
    file = results / "snapshot" / f"{paper}.csv"
    if not file.exists():
        return set()
    with file.open(newline="", encoding="utf-8") as text:
        rows = csv.DictReader(text)
        if "run_id" not in (rows.fieldnames or ()):
            raise EngineError(f"{file} has no column run_id; restore it: git checkout -- {file.name}")
        return {row["run_id"] for row in rows}


def forecast(tasks: list[Task], rates: Rates, execution: Execution) -> list[Task]:
    return [Task(t.spec, t.sweep, t.done, rates.seconds(t.spec, execution.world_size)) for t in tasks]


def pack(tasks: list[Task], jobs: int, limit_s: float, single: bool = False) -> list[Pack]:
    """Balanced packs of at most about ``limit_s``, the longest first.

    Importing everything costs seconds, so tiny runs share a process; short packs keep all cores busy to the end.
    Where no forecast exists there is one pack a job slot, balanced by samples. ``single`` puts every run in a job of
    its own, as a run over several devices needs.
    """
    if not tasks:
        return []
    cost = costs(tasks)
    known = all(t.seconds is not None for t in tasks)
    if single:
        count = len(tasks)
    elif not known:
        count = min(jobs, len(tasks))
    else:
        count = max(jobs, math.ceil(sum(cost) / limit_s))
        count = min(len(tasks), math.ceil(count / jobs) * jobs)
    bins: list[list[int]] = [[] for _ in range(count)]
    heap = [(0.0, b) for b in range(count)]
    for i in sorted(range(len(tasks)), key=lambda i: -cost[i]):  # longest first, into the emptiest pack
        load, b = heapq.heappop(heap)
        bins[b].append(i)
        heapq.heappush(heap, (load + cost[i], b))
    bins.sort(key=lambda members: -sum(cost[i] for i in members))
    return [
        Pack(n, [tasks[i] for i in members], PACK_S + sum(cost[i] for i in members) if known else None)
        for n, members in enumerate(bins)
    ]


def costs(tasks: list[Task]) -> list[float]:
    """Forecast seconds, or samples where no forecast exists: only their ratios matter then."""
    if all(t.seconds is not None for t in tasks):
        return [float(t.seconds or 0) for t in tasks]
    return [float(samples(t.spec) or 1) for t in tasks]


def makespan(seconds: list[float | None], jobs: int) -> float | None:
    """Time until the last of the jobs is done, taken in order by ``jobs`` workers; None if any is unknown."""
    workers = [0.0] * max(1, min(jobs, len(seconds)))
    for s in seconds:
        if s is None:
            return None
        heapq.heapreplace(workers, workers[0] + s)
    return max(workers)


def write(plan: Plan, suite: Suite, *, cluster: bool, per_gpu: int) -> Path:
    """Put ``plan.json`` in a folder of its own, under ``.plan/`` beside the run folders, and return its path.

    The folder is Snakemake's working directory; its name holds the process id, so two invocations never share one.
    """
    packs = [
        {
            "index": p.index,
            "runs": [{"sweep": t.sweep, "spec": t.spec.model_dump(mode="json")} for t in p.tasks],
            "seconds": p.seconds,
        }
        for p in plan.packs
    ]
    content = {
        "papers": plan.papers,
        "preset": plan.preset,
        "module": suite.module,
        "results": str(plan.results),
        "execution": plan.execution.model_dump(mode="json"),
        "cluster": cluster,
        "per_gpu": per_gpu,
        "packs": packs,
    }
    ids = ",".join(t.spec.run_id for t in plan.todo)
    name = f"{hashlib.sha256(ids.encode()).hexdigest()[:8]}-{os.getpid()}"
    folder = run_dir(plan.results, plan.todo[0].spec).parent / ".plan" / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "plan.json"
    path.write_text(json.dumps(content, indent=1))
    return path
