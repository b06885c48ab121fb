"""Curvature along a training: train and test loss on all images, distance from the start, sharpness."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from shared.curvature.declare import LAST, Measure, Sharp
from shared.curvature.distance import distance
from shared.curvature.objective import Objective
from shared.curvature.sharpness import fits, sharpness
from shared.curvature.subspace import Subspace


class Curvature(pl.Callback):
    """Adds the columns of ``Measure`` to the record after the epochs it names.

    ``full/{train,test}_{loss,accuracy}`` (mean cross-entropy in nats, percent; batch statistics), ``distance`` (‖x−x0‖₂
    from the weights that the net had when this callback was made), and for every ``Sharp`` its ``key`` (Metric 2.1, in
    percent) with ``/iterations``, ``/evaluations``, ``/status`` (of L-BFGS-B; −1 for the sign maximiser) and
    ``/at_bound`` (share of the coordinates that the maximiser puts at their bound). Under our Recorder the columns
    enter its row; in any other Trainer they go to its loggers. The datamodule must give ``plain(split, n)``. The net is
    left as it was.
    """

    def __init__(self, measure: Measure, net: Any):
        self.measure = measure
        self.x0 = _flat(net)
        if any(s.space == "full" and s.solver == "lbfgs" for s in measure.sharp):  # refused now, not after training
            fits(len(self.x0), workspace=1e9 * measure.gigabytes)

    def columns(self, trainer: pl.Trainer, pl_module: Any, row: dict[str, float], last: bool) -> dict[str, float]:
        lost = not math.isfinite(row["train/loss"] + row["val/loss"])  # the run is about to end as diverged
        if lost or not self._due(round(row["epoch"], 6), last):
            return {}
        data = trainer.datamodule  # type: ignore[attr-defined]  # a connector sets it
        return measured(pl_module.net, data, self.measure, self.x0, pl_module.spec.seed)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        last = trainer.current_epoch + 1 == trainer.max_epochs
        whole = not trainer.sanity_checking and trainer.is_last_batch  # not before training, nor within an epoch
        if whole and trainer.loggers and self._due(trainer.current_epoch + 1, last):
            net = getattr(pl_module, "net", pl_module)
            data = trainer.datamodule  # type: ignore[attr-defined]  # a connector sets it
            found = measured(net, data, self.measure, self.x0, seed=0)
            for logger in trainer.loggers:
                logger.log_metrics(found, step=trainer.global_step)

    def _due(self, epoch: float, last: bool) -> bool:
        return epoch in self.measure.at or (last and LAST in self.measure.at)


def measured(net: Any, data: Any, measure: Measure, x0: np.ndarray | None, seed: int) -> dict[str, float]:
    """Every column of a ``Measure`` at the net's present weights; ``seed`` draws subspaces and random starts."""
    device = next(net.parameters()).device
    whole = {split: tuple(t.to(device) for t in data.plain(split)) for split in ("train", "test")}
    found: dict[str, float] = {}
    for split, (images, labels) in whole.items():
        objective = Objective(net, images, labels, batch=measure.batch)
        found[f"full/{split}_loss"], found[f"full/{split}_accuracy"] = objective.score(objective.start())
    if x0 is not None:
        found["distance"] = distance(_flat(net), x0)
    images, labels = (t[: measure.images] for t in whole["train"])
    planes: dict[tuple[int, str], Subspace] = {}
    for sharp in measure.sharp:
        found |= of(sharp, measure, net, images, labels, seed, planes)
    return found


def of(
    sharp: Sharp, measure: Measure, net: Any, images: Tensor, labels: Tensor, seed: int, planes: dict
) -> dict[str, float]:
    """One sharpness over ``images`` and how it was found, in columns that start with ``measure.column(sharp)``.

    ``planes`` keeps subspaces, which take seconds to draw, from one call to the next.
    """
    objective = Objective(net, images, labels, batch=measure.batch, bn=sharp.bn, ceiling=sharp.ceiling)
    plane = None
    if sharp.space == "subspace":
        place = (sharp.p, sharp.scale)
        plane = planes.get(place) or Subspace(objective.n, sharp.p, seed=seed, scale=sharp.scale)
        planes[place] = plane
    found = sharpness(
        objective,
        objective.start(),
        sharp.eps,
        subspace=plane,
        solver=sharp.solver,
        start=sharp.start,
        seed=seed,
        gain=len(images) if sharp.loss == "sum" else 1.0,
        workspace=1e9 * measure.gigabytes,
    )
    key = measure.column(sharp)
    return {
        key: found.value,
        f"{key}/iterations": found.iterations,
        f"{key}/evaluations": found.evaluations,
        f"{key}/status": found.status,
        f"{key}/at_bound": found.at_bound,
    }


def _flat(net: Any) -> np.ndarray:
    return np.concatenate([p.detach().cpu().double().numpy().ravel() for p in net.parameters() if p.requires_grad])
