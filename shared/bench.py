"""``make bench``: what the harness costs and gains, as ratios within one run of this very machine.

Both sides of a ratio are timed in turn, A B A B …, and the median of the pairwise ratios is printed: speed that drifts
moves both. Single-thread unless said otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional as F

from shared import bench_usual
from shared.bench_curvature import f1, sharpness_seconds
from shared.bench_optim import denormal_updates, lars_and_sgd
from shared.callbacks import Checkpoints, DivergenceStop, Recorder
from shared.optim import make_optimizer
from shared.paper import Paper
from shared.runs.synthetic import write_runs
from shared.runs.table import collate
from shared.spec import DataSpec, Execution, ModelSpec, RunSpec
from shared.training import arithmetic, assemble, trainer_for
from shared.workflow.suite import job_environment

ONE = Execution(accelerator="cpu")


def resnet(paper: Paper, batch: int = 128) -> RunSpec:
    """The reduced preset's net as a judged run has it: ghost batches of 32, its precision; crop and flip."""
    spec = next(s for s in paper.runs("reduced").values() if s.data.holdout == 0)
    data = DataSpec(name=spec.data.name, train_size=spec.data.train_size, augment="crop-flip")
    return spec.but(batch_size=batch, data=data, precise_bn=0, epochs=1)


def small_mlp(paper: Paper) -> RunSpec:
    """784-800-10 at batch 32 in float32, no augmentation: a step of a millisecond, all overhead shows."""
    model = ModelSpec(name="mlp", args={"hidden": "800", "batch_norm": False})
    data = DataSpec(name="fashion-mnist", train_size=16384)
    return resnet(paper, 32).but(model=model, data=data, bn_batch=None, precision="32-true")


def time_fit(spec: RunSpec, paper: Paper, log: Callable[[dict], None] | None = None) -> float:
    """Images a second inside ``Trainer.fit``, all callbacks on, between the first batch and the last."""
    module, data = assemble(spec, ONE, paper)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [DivergenceStop(), Recorder(log or (lambda row: None)), Checkpoints(Path(folder), 30.0), clock]
        trainer = trainer_for(spec, ONE, data, callbacks, Path(folder))
        trainer.fit(module, datamodule=data)
    return clock.images / clock.seconds


class _Clock(pl.Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.images, self._start = 0, time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.images += len(batch[1])
        self.seconds = time.perf_counter() - self._start


def time_bare(spec: RunSpec, paper: Paper) -> float:
    """Images a second of the same updates over the same batches in a plain loop: no Trainer, no record."""
    module, data = assemble(spec, ONE, paper)
    net, optimizer = module.net, make_optimizer(module.net, spec.optimizer, spec.lr)
    net.train()
    images, start = 0, time.perf_counter()
    for x, y, _ in data.train_dataloader():
        with torch.autocast("cpu", torch.bfloat16, enabled=spec.precision == "bf16-mixed"):
            loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        images += len(y)
    return images / (time.perf_counter() - start)


def paired(a: Callable[[], float], b: Callable[[], float], rounds: int) -> dict[str, float]:
    """Medians of a, of b and of a/b over rounds in turn, after one round that does not count."""
    a(), b()
    pairs = [(a(), b()) for _ in range(rounds)]
    return {
        "ours": statistics.median(x for x, _ in pairs),
        "other": statistics.median(y for _, y in pairs),
        "ratio": statistics.median(x / y for x, y in pairs),
    }


@arithmetic(1)
def _worker(spec: RunSpec, paper: Paper, barrier: Any, out: Any) -> None:
    time_fit(spec, paper)
    barrier.wait()
    out.put(statistics.median(time_fit(spec, paper) for _ in range(3)))


def time_packed(spec: RunSpec, paper: Paper, processes: int) -> float:
    """Images a second of so many single-thread processes at once, summed; all start on a barrier."""
    context = multiprocessing.get_context("spawn")
    barrier, out = context.Barrier(processes), context.Queue()
    children = [context.Process(target=_worker, args=(spec, paper, barrier, out)) for _ in range(processes)]
    for child in children:
        child.start()
    total = sum(out.get(timeout=300) for _ in children)
    for child in children:
        child.join()
    return total


def time_usual(spec: RunSpec, workers: int) -> float:
    """Images a second the usual way on all cores, in a process without our jobs' environment."""
    ours = {name: os.environ.pop(name) for name in job_environment(1) if name in os.environ}
    try:
        out = multiprocessing.get_context("spawn").Queue()
        child = multiprocessing.get_context("spawn").Process(target=bench_usual.report, args=(spec, workers, out))
        child.start()
        rate = out.get(timeout=300)
        child.join()
    finally:
        os.environ |= ours
    return rate


def collate_seconds(paper: Paper, runs: int) -> dict[str, float]:
    """Seconds to collate so many finished runs into tables, from W&B's files and then from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        write_runs(Path(folder), paper, runs)
        took = []
        for _ in range(2):
            start = time.perf_counter()
            rows, _ = collate(Path(folder), paper.key)
            took.append(time.perf_counter() - start)
            if len(rows) != runs:
                raise RuntimeError(f"collated {len(rows)} of {runs} runs")
    return {"first_s": took[0], "cached_s": took[1]}


@arithmetic(1)
def ratios(paper: Paper, rounds: int = 4) -> list[dict[str, Any]]:
    """Every measured ratio with its bound, if it has one: ``{name, ours, other, ratio, bound, unit}``."""
    net, mlp = resnet(paper), small_mlp(paper)
    found = []
    for name, spec, bound in (("fit / bare loop, reduced ResNet, batch 128", net, 0.95),
                              ("fit / bare loop, 784-800-10, batch 32", mlp, 0.85)):  # fmt: skip
        pair = paired(partial(time_fit, spec, paper), partial(time_bare, spec, paper), 2 * rounds)  # of seconds: noisy
        found.append({"name": name, **pair, "bound": bound, "unit": "images/s"})
    workers = max((0, 1, 2), key=lambda count: time_usual(net, count))
    packed: dict[str, list[float]] = {"one": [], "two": [], "usual": []}
    for _ in range(rounds + 1):
        packed["one"].append(time_packed(net, paper, 1))
        packed["two"].append(time_packed(net, paper, 2))
        packed["usual"].append(time_usual(net, workers))
    for name, other, bound in (("packed sweep / the usual way, both cores", "usual", 4.0),
                               ("two packed runs / one", "one", 1.8)):  # fmt: skip
        pairs = zip(packed["two"], packed[other], strict=True)
        found.append({"name": name, "ours": statistics.median(packed["two"]), "bound": bound, "unit": "images/s",
                      "other": statistics.median(packed[other]),
                      "ratio": statistics.median(a / b for a, b in pairs)})  # fmt: skip
    one = f1(net, "32-true")
    pair = paired(lambda: time_fit(f1(net, "bf16-mixed"), paper), lambda: time_fit(one, paper), rounds)
    found.append({"name": "F1 in bf16 / in float32, batch 256", **pair, "bound": None, "unit": "images/s"})
    pair = paired(*lars_and_sgd(), 5 * rounds)
    found.append({"name": "LARS / SGD, one step on AlexNet's tensors", **pair, "bound": 1.3, "unit": "s",
                  "lower": True})  # fmt: skip
    pair = paired(*denormal_updates(), 5 * rounds)
    found.append({"name": "update of a trained 784-800-10, denormals as 0 / kept", **pair, "bound": None, "unit": "s",
                  "lower": True})  # fmt: skip
    took = sharpness_seconds()
    found.append({"name": "full-space sharpness of F1, 60,000 images / 2 min", "ours": took, "other": 120.0,
                  "ratio": took / 120, "bound": 1.0, "unit": "s", "lower": True})  # fmt: skip
    times = collate_seconds(paper, 300)
    found.append({"name": "collating 300 runs, first time / 30 s", "ours": times["first_s"], "other": 30.0,
                  "ratio": times["first_s"] / 30, "bound": 1.0, "unit": "s", "lower": True})  # fmt: skip
    found.append({"name": "collating 300 runs, cached / 3 s", "ours": times["cached_s"], "other": 3.0,
                  "ratio": times["cached_s"] / 3, "bound": 1.0, "unit": "s", "lower": True})  # fmt: skip
    return found
