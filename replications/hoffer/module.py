"""Hoffer et al. 2017 in Lightning: regime, clipping, noise, momentum resets, distances; and the random potential."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from replications.hoffer import method
from replications.hoffer.experiments import HofferSpec, Potential
from shared.callbacks.diffusion import COLUMNS, PATH, Diffusion
from shared.curvature.objective import Objective
from shared.datamodules.order import raw_stream, split
from shared.module import ClassifierModule
from shared.runs.schema import STEP
from shared.stats.rules import fits_better

Rows = list[dict[str, float]]
NOISE, DIRECTION = 301, 302
"""Names of random streams, apart from those of ``shared.datamodules.order``."""
FIT_FROM = 2
"""Epoch from which distances enter a fit, as in the digitised Figure 2."""
FEWEST = 6
"""Points that a fit needs."""
EARLY = 32
"""|B_L|/|B_S| of the paper: a window this many times earlier is the one in which |B_L| makes its updates."""


class Module(ClassifierModule):
    """The √ rule is in the spec's ``lr``, ghost batch norm in its ``bn_batch``, the adapted regime in its lengths."""

    spec: HofferSpec

    def configure_callbacks(self) -> list[pl.Callback]:
        self.diffusion = Diffusion(self.net, method.log_spaced(self.drop, self.spec.distances))
        return [self.diffusion]

    @property
    def drop(self) -> int:
        """Updates at the first rate."""
        regime, epochs = self.spec.regime, self.spec.epochs or 0
        return (regime[0][0] if regime else epochs) * self.steps_per_epoch

    def rate(self, update: int) -> float:
        return method.learning_rate(update, self.steps_per_epoch, self.spec.lr, self.spec.regime)

    def training_step(self, batch: tuple[Tensor, Tensor, float], batch_idx: int) -> Tensor:
        if not self.spec.noise:
            return super().training_step(batch, batch_idx)
        images, labels, weight = batch
        logits = self.net(images)
        losses = F.cross_entropy(logits, labels, reduction="none")
        self._count("train", losses.mean(), logits, labels)  # the record shows the loss without the noise
        return (losses * self._factors(batch_idx).to(losses)).mean() * weight

    def _factors(self, batch_idx: int) -> Tensor:
        """z of this micro-batch's examples; those of the whole batch are a function of seed and update alone."""
        s, trainer = self.spec, cast("Any", self.trainer)  # Lightning sets its datamodule
        z = method.noise_factors(raw_stream(s.batch_size, NOISE, s.seed, trainer.global_step), s.noise)
        parts = split(s.batch_size, s.bn_batch, trainer.world_size, trainer.datamodule.execution.micro_batch)
        return torch.from_numpy(z[parts[trainer.global_rank][batch_idx % trainer.accumulate_grad_batches]])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        super().on_before_optimizer_step(optimizer)
        s, update = self.spec, self.trainer.global_step
        if s.momentum_reset and update % self.steps_per_epoch == 0:
            optimizer.state.clear()
        if s.decay_until is not None and update >= s.decay_until * self.steps_per_epoch:
            for group in optimizer.param_groups:
                group["weight_decay"] = 0.0
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), s.clip)

    def summarise(self, rows: Rows) -> dict[str, float]:
        """The best epoch beside the last, distances from the start, and fits of their growth at the first rate."""
        if not rows:
            return {}
        best = min(rows, key=lambda row: row["val/error"])
        found = {"val/error_best": best["val/error"], "val/epoch_best": best["epoch"]}
        found |= {k: rows[-1][k] for k in COLUMNS}
        for column in PATH:
            found |= self._diffusion(column, column.removeprefix("path/"))
        return found

    def _diffusion(self, column: str, name: str) -> dict[str, float]:
        s, drop, first = self.spec, self.drop, FIT_FROM * self.steps_per_epoch
        points = [(row[STEP], row[column]) for row in self.diffusion.rows if math.isfinite(row[column])]
        t, d = np.array(points, dtype=float).reshape(-1, 2).T
        found: dict[str, float] = {}
        if end := method.interpolated(t, d, drop):  # none, or 0 where nothing has moved
            found |= {f"diffusion/{name}/high-lr": end, f"diffusion/{name}/ln-high-lr": math.log(end)}
        if s.compare_at and (there := method.interpolated(t, d, s.compare_at)):
            found[f"diffusion/{name}/ln-common"] = math.log(there)
        for window, scale in (("", 1), ("-early", EARLY)):
            inside = (t >= first / scale) & (t <= drop / scale)
            if inside.sum() >= FEWEST:
                found |= {f"diffusion/{name}/{k}{window}": v for k, v in _fits(t[inside], d[inside]).items()}
        return found


def _fits(t: np.ndarray, d: np.ndarray) -> dict[str, float]:
    """AICc(√t) − AICc(ln t), and slope or exponent and R² of the logarithm and of a free power of t."""
    slope, r2_log = method.log_fit(t, d)
    exponent, r2_power = method.power_fit(t, d)
    gain = fits_better(t.tolist(), d[None], "log", "sqrt").estimate
    return {"log-over-sqrt": gain, "slope": slope, "r2-log": r2_log, "exponent": exponent, "r2-power": r2_power}


# -- measurements without training: (module, data, folders of the parents) → rows, summary ----------------------------


def potential(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """std ≜ √E(L(w) − L(w₀))² against ‖w − w₀‖ in uniformly random directions from the net's start w₀.

    L is the loss over fixed images, batch norm with their statistics. A row for each bin of distances with the std that
    a first-order expansion of L predicts; the summary says which power of the distance the std follows.
    """
    p, seed = module.spec.potential or Potential(), module.spec.seed
    objective = Objective(module.net, *data.plain("train", p.images))
    x0 = objective.start()
    base, gradient = objective.value_and_gradient(x0)
    rng = np.random.default_rng([DIRECTION, seed])
    distance = p.reach * (np.arange(p.directions) + rng.random(p.directions)) / p.directions  # one in each stratum
    rise = np.empty(p.directions)
    for k, r in enumerate(distance):
        direction = rng.standard_normal(objective.n, dtype=np.float32)
        rise[k] = objective.value(x0 + r / np.linalg.norm(direction) * direction) - base
    r, std = method.spread_by_distance(distance, rise, p.reach, p.bins)
    slope = method.taylor_slope(float(np.linalg.norm(gradient)), objective.n)
    exponent, r2 = method.power_fit(r, std)
    rows = [{"distance": a, "potential/std": b, "potential/taylor": slope * a} for a, b in zip(r, std, strict=True)]
    gains = {name: fits_better(r.tolist(), std[None], "linear", name).estimate for name in ("sqrt", "square")}
    return rows, {
        "potential/exponent": exponent,
        "potential/r2": r2,
        "potential/linear-over-sqrt": gains["sqrt"],
        "potential/linear-over-square": gains["square"],
        "potential/std-near": float(std[0]),
        "potential/std-far": float(std[-1]),
        "potential/over-taylor": float(std[0] / (slope * r[0])),
        "potential/loss": base,
    }


TASKS = {"potential": potential}
