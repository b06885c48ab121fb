"""Smith and Le 2017 as a LightningModule, and its measurements: evidence, gradients and the best batch of a curve."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kstest, kurtosis, norm, skew
from torch import Tensor, nn
from torch.nn import functional as F

from replications.smith_a import evidence, laws, method
from replications.smith_a.spec import Evidence, SmithASpec
from shared.datamodules.module import subset
from shared.module import ClassifierModule
from shared.runs.finished import accuracy, finished
from shared.spec import parse

Rows = list[dict[str, float]]
EVERY, LAST = 10, 3
"""End values are means over the evaluations after 8, 9 and 10 tenths of training, however many more there are."""
MILESTONES = (100, 200, 500, 1000, 2000, 5000)
"""Updates at which error and loss enter the summary, where the run evaluates there."""
CLOSE = 0.5
"""Points above its end error within which a run counts as converged."""
DRAWS = 10_000
"""Mini-batches of Figure 9."""
EDGES = np.linspace(-6, 6, 61)
"""Of the bins of its histograms, in standard deviations from the mean; the outer bins hold what lies beyond."""


class Module(ClassifierModule):
    """The paper's net at a constant rate; the summary says how a run ends and how it got there."""

    spec: SmithASpec
    net: nn.Sequential

    def summarise(self, rows: Rows) -> dict[str, float]:
        """``end/error``, ``end/accuracy`` (percent) and ``end/loss`` (nats): means over the last fifth of training.

        ``end/trained`` (1 or 0), ``error@<update>``, ``loss@<update>``. Of means over a tenth of the evaluations, so
        that no single lucky one counts: ``end/loss_min`` and ``end/loss_rise`` (the last minus the lowest) and
        ``end/converged_at`` (updates until within half a point of the end). A run that stopped short of its length has
        diverged: chance level, and no loss.
        """
        length = self.spec.updates or 0
        found: dict[str, float] = {}
        for row in rows:
            if row["trainer/global_step"] in MILESTONES:
                step = row["trainer/global_step"]
                found |= {f"error@{step}": row["val/error"], f"loss@{step}": row["val/loss"]}
        whole = bool(rows) and rows[-1]["trainer/global_step"] == length and math.isfinite(rows[-1]["val/loss"])
        if not whole:
            error = 100.0 * (1 - 1 / self.classes)
            return found | {"end/error": error, "end/accuracy": 100 - error, "end/trained": 0.0}
        parts = [(EVERY * r["trainer/global_step"] / length, r) for r in rows]
        last = [r for part, r in parts if part == round(part) and part > EVERY - LAST]
        error, loss = (float(np.mean([r[k] for r in last])) for k in ("val/error", "val/loss"))
        width = max(1, len(rows) // EVERY)
        losses, errors = (smooth([r[k] for r in rows], width) for k in ("val/loss", "val/error"))
        near = rows[width - 1 + int(np.argmax(errors <= errors[-1] + CLOSE))]["trainer/global_step"]
        return found | {
            "end/error": error,
            "end/accuracy": 100 - error,
            "end/loss": loss,
            "end/loss_min": float(losses.min()),
            "end/loss_rise": float(losses[-1] - losses.min()),
            "end/trained": float(100 - error >= method.TRAINED),
            "end/converged_at": float(near),
        }


def smooth(values: list[float], width: int) -> np.ndarray:
    """Means over ``width`` values in a row, float64 [n − width + 1]."""
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


# -- measurements: (module, data, folders of the parents) → rows, summary ----------------------------------------------


def _evidence(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """Figures 1 and 2 for one draw of images and labels: a row for every λ."""
    spec = module.spec.evidence or Evidence()
    images, labels = data.plain("train")
    keep = labels < 2
    drawn = evidence.draw(images[keep].numpy(), labels[keep].numpy(), spec, module.spec.seed)
    rows = evidence.along(drawn, spec)
    return rows, evidence.features(rows)


def _gradients(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """Figure 9: ∂(−ln p)/∂W of one softmax weight at the start, over single images and over means of B of them.

    Rows are bins: ``gradient`` (their middle, in standard deviations from the mean of each distribution, since weights
    differ in scale), ``example/density`` and ``batch/density``. The summary has each distribution's ``skew``, excess
    ``kurtosis`` and ``ks``, its largest distance from the normal of equal mean and sd.
    """
    images, labels = data.plain("train")
    single = one_weight(module.net.cpu(), images, labels, module.spec.seed)
    rng = np.random.default_rng([module.spec.seed, 3])
    batch = module.spec.batch_size
    means = np.array([rng.choice(single, batch, replace=False).mean() for _ in range(DRAWS)])
    rows: Rows = [{"gradient": float(middle)} for middle in (EDGES[:-1] + EDGES[1:]) / 2]
    found: dict[str, float] = {}
    for name, values in (("example", single), ("batch", means)):
        z = np.clip((values - values.mean()) / values.std(), EDGES[0], EDGES[-1])
        for row, density in zip(rows, np.histogram(z, EDGES, density=True)[0], strict=True):
            row[f"{name}/density"] = float(density)
        found |= {f"{name}/{k}": float(v) for k, v in shape(values).items()}
    return rows, found


@torch.no_grad()
def one_weight(net: nn.Sequential, images: Tensor, labels: Tensor, seed: int) -> np.ndarray:
    """∂(−ln p)/∂W_kj = (p_k − [y = k])·h_j of every image, float64 [N], for a random class k and hidden unit j.

    A unit that no image activates is not drawn: its gradient is 0 for all.
    """
    hidden, last = net[:-1](images).double(), net[-1]
    assert isinstance(last, nn.Linear)
    rng = np.random.default_rng([seed, 2])
    alive = np.flatnonzero((hidden > 0).any(0).numpy())
    j, k = int(rng.choice(alive)), int(rng.integers(last.out_features))
    p = torch.softmax(F.linear(hidden, last.weight.double(), last.bias.double()), 1)[:, k]
    return ((p - (labels == k).double()) * hidden[:, j]).numpy()


def shape(values: np.ndarray) -> dict[str, float]:
    """Skewness, excess kurtosis and the Kolmogorov distance from the normal of equal mean and deviation."""
    z = (values - values.mean()) / values.std()
    return {"skew": skew(z), "kurtosis": kurtosis(z), "ks": kstest(z, norm.cdf).statistic}


def _b_opt(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """The curve of error against B over the parents, on the test set and on ``held_out`` other training images, and
    its peak: see ``laws.peak_of``."""
    runs = sorted((_parent(folder) for folder in parents), key=lambda run: run[0].batch_size)
    held = _held_out(module.spec, data) if module.spec.held_out else None
    rows: Rows = []
    for spec, summary, folder in runs:
        row = {"batch_size": float(spec.batch_size), "end/error": summary["end/error"]}
        if held is not None:
            batches = zip(*(part.split(1000) for part in held), strict=True)
            row["held_out/error"] = 100.0 - accuracy(module, folder, batches)
        rows.append(row)
    of = runs[0][0]
    averaging = of.optimizer.momentum_form == "averaging"
    return rows, laws.peak_of(rows, of.lr, data.train_size, of.optimizer.momentum, averaging)


TASKS = {"evidence": _evidence, "gradient-histogram": _gradients, "b-opt": _b_opt}


def _parent(folder: Path) -> tuple[SmithASpec, dict[str, Any], Path]:
    """Spec, summary and folder of a parent."""
    return parse(SmithASpec, (folder / "spec.json").read_text()), finished(folder).summary, folder


def _held_out(spec: SmithASpec, data: Any) -> tuple[Tensor, Tensor]:
    """``spec.held_out`` training images that no run of this seed trains on."""
    wanted = spec.data.model_copy(update={"holdout": spec.held_out})
    _, ids = subset(len(data.arrays.train_x), wanted, spec.seed)
    images = np.moveaxis(data.arrays.train_x, 1, -1)[ids]
    return data.normalise(images), torch.from_numpy(np.array(data.arrays.train_y[ids], np.int64))
