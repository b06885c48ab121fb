"""You et al. 2017 in Lightning: the schedule, what the record adds, norms at the first update, and best-of-k searches.

LARS itself is ``shared.optim.LARS``, chosen by the spec's optimizer.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.nn import functional as F

from replications.you import method
from replications.you.cells import NETS
from replications.you.experiments import GROUP
from replications.you.spec import YouSpec
from shared.callbacks.local_rates import LocalRates
from shared.models import build
from shared.module import ClassifierModule
from shared.optim import make_optimizer
from shared.runs.finished import accuracy, finished
from shared.runs.schema import STEP

Rows = list[dict[str, float]]
TARGET = 75.0
"""Percent of accuracy whose first update the summary names."""
RANDOM = (1000, (3, 227, 227))
"""Classes and shape of the authors' images."""
RESAMPLES = 1000


class Module(ClassifierModule):
    """Poly-2 with a warm-up; ``loss_gap`` at every evaluation, local rates where the spec asks for them."""

    spec: YouSpec

    def configure_callbacks(self) -> list[pl.Callback]:
        return [LossGap(), *([LocalRates()] if self.spec.local_rates else [])]

    def rate(self, update: int) -> float:
        s, n = self.spec, self.steps_per_epoch
        return method.learning_rate(
            update,
            steps=(s.epochs or 1) * n,
            lr=s.lr,
            warmup_steps=s.warmup_epochs * n,
            warmup_lr=s.warmup_lr,
            power=s.power,
            jump=s.jump,
        )

    def summarise(self, rows: Rows) -> dict[str, float]:
        """``val/accuracy`` in percent (see ``method.final_accuracy``), ``log2_lr``, ``loss_gap``; ``updates_to/75``.

        Of local rates those at the end and ``peak/…``, the highest along training. A run that stopped short of its
        length, or whose loss is no number, has diverged: accuracy at chance level.
        """
        found = {"log2_lr": math.log2(self.spec.lr)}
        end = (self.spec.epochs or 1) * self.steps_per_epoch
        whole = bool(rows) and rows[-1][STEP] == end and math.isfinite(rows[-1]["val/loss"])
        if not whole:
            return found | {"val/accuracy": 100.0 / self.classes}
        errors = {row["epoch"]: row["val/error"] for row in rows}
        found |= {
            "val/accuracy": method.final_accuracy(errors, self.spec.epochs or 1),
            "loss_gap": rows[-1]["loss_gap"],
        }
        reached = [row[STEP] for row in rows if 100.0 - row["val/error"] >= TARGET]
        found |= {f"updates_to/{TARGET:g}": float(reached[0])} if reached else {}
        for name in (k for k in rows[-1] if k.startswith("local_rate/")):
            found |= {name: rows[-1][name], f"peak/{name}": max(row[name] for row in rows)}
        return found


class LossGap(pl.Callback):
    """``loss_gap``: |validation loss − training loss|, the latter over the batches since the last evaluation, as they
    were trained on: those of one epoch in the arms that are compared by it."""

    def columns(self, trainer: pl.Trainer, pl_module: Any, row: dict[str, float], last: bool) -> dict[str, float]:
        return {"loss_gap": abs(row["val/loss"] - row["train/loss"])}


# -- measurements: (module, data, folders of the parents) → rows, summary ----------------------------------------------


def _norms(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """Table 2: ‖w‖, ‖∇L‖ and their ratio for every tensor at the first update, as LARS sees them.

    Columns ``weight_norm/<tensor>``, ``gradient_norm/…``, ``norm_ratio/…``; ``log10_spread/weight``, ``…/bias`` and
    ``…/all`` of the ratios, over tensors that are not 0. A row for each tensor in the order of the net.
    """
    spec, net = module.spec, module.net
    if not spec.random_net:
        images, labels, _ = next(iter(data.train_dataloader()))
    else:
        torch.manual_seed(spec.seed)
        classes, shape = RANDOM
        full = NETS[spec.random_net].full
        assert full is not None
        net = build(full, classes, shape, spec.bn_batch)
        images, labels = torch.randn(spec.batch_size, *shape), torch.randint(classes, (spec.batch_size,))
    net.to(module.device)
    optimizer = make_optimizer(net, spec.optimizer, spec.lr)
    net.train()
    F.cross_entropy(net(images.to(module.device)), labels.to(module.device)).backward()
    optimizer.step()
    layers = {id(layer.parameter): layer for layer in optimizer.layers()}  # type: ignore[attr-defined]
    rows: Rows = []
    found: dict[str, float] = {}
    ratios: dict[str, list[float]] = {"all": [], "weight": [], "bias": []}
    for name, parameter in net.named_parameters():
        layer = layers[id(parameter)]
        w, g = layer.weight_norm, layer.gradient_norm
        row = {"weight_norm": w, "gradient_norm": g, "norm_ratio": w / g if g else math.nan}
        rows.append(row)
        found |= {f"{column}/{name}": value for column, value in row.items() if math.isfinite(value)}
        if w and g:
            for kind in ("all", name.rpartition(".")[2]):
                ratios[kind].append(w / g)
    return rows, found | {f"log10_spread/{k}": math.log10(max(v) / min(v)) for k, v in ratios.items() if v}


def _best_of(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """Expected test accuracy of the best of k = 1 … n trials, chosen on held-out images.

    ``accuracy`` with ``accuracy/low`` and ``…/high``, the middle 90 % over resampled trials, against ``k``. Summary:
    ``diverged`` in percent of the trials, ``best-of/<k>`` at powers of two.
    """
    errors, statuses = zip(*map(_held_out, parents), strict=True)
    held = np.array(errors)
    worth = np.array([accuracy(module, folder, data.val_dataloader()) for folder in parents])
    curve = method.expected_best(held, worth)
    rng, n = np.random.default_rng(module.spec.seed), len(parents)
    drawn = (rng.integers(n, size=n) for _ in range(RESAMPLES))
    low, high = np.quantile([method.expected_best(held[i], worth[i]) for i in drawn], (0.05, 0.95), axis=0)
    rows = [
        {"k": float(k), "accuracy": a, "accuracy/low": b, "accuracy/high": c}
        for k, (a, b, c) in enumerate(zip(curve, low, high, strict=True), 1)
    ]
    lost = np.mean([status == "diverged" for status in statuses])
    found = {f"best-of/{k}": curve[k - 1] for k in (1, 2, 4, 8, 16, 32) if k <= n}
    return rows, found | {"diverged": 100.0 * float(lost)}


def _best_of_4(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """A search of four trials of its own for each seed: ``best-of-4``, test accuracy of the best on held-out images."""
    first = (module.spec.seed - 1) * GROUP % len(parents)
    group = parents[first : first + GROUP]
    found = {"best-of-4": accuracy(module, max(group, key=lambda folder: _held_out(folder)[0]), data.val_dataloader())}
    return [found], found


TASKS = {"norms": _norms, "best-of": _best_of, "best-of-4": _best_of_4}


def _held_out(folder: Path) -> tuple[float, str]:
    """Accuracy of a finished trial on the images held out from it, and its status."""
    summary = finished(folder).summary
    return float(summary["val/accuracy"]), str(summary["status"])
