"""Keskar et al. 2017 as a LightningModule, and the measurements on finished solutions."""

from __future__ import annotations

import copy
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from replications.keskar import method
from replications.keskar.arms import KeskarSpec
from shared.callbacks.curvature import Curvature, measured
from shared.callbacks.snapshots import Snapshots, snapshot
from shared.curvature import hessian, paths, rescale
from shared.curvature.declare import Measure
from shared.curvature.objective import Objective
from shared.curvature.sharpness import sharpness
from shared.module import ClassifierModule
from shared.optim.conservative import ConservativeAdam
from shared.spec import SpecError

Rows = list[dict[str, float]]
FLOOR = 1e-6
"""Smallest sharpness, in percent, whose logarithm is recorded: below it the solver has not left its start."""
ALPHA = 0.1
"""Factor of the weights before each batch norm of the SB solution: its curvature there grows by 1/α²."""
RHO = 0.05
"""Half-width of the adaptive box, as a share of each weight."""
HESSIAN_IMAGES = 2000


class Module(ClassifierModule):
    """Cross-entropy by Adam at a fixed rate; stops on a plateau, starts from another run's iterate, measures."""

    spec: KeskarSpec
    _counted: tuple[int, int] | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        # Inner steps compute one batch's loss again and again; the record has it as it was before the first.
        key = (self.current_epoch, batch_idx)
        if self.spec.inner_steps > 1 and key == self._counted:
            images, labels, weight = batch
            return F.cross_entropy(self.net(images), labels) * weight
        self._counted = key
        return super().training_step(batch, batch_idx)

    def configure_callbacks(self) -> list[pl.Callback]:
        spec = self.spec
        found: list[pl.Callback] = [Curvature(m, self.net) for m in (spec.measure, spec.second) if m]
        if spec.keep:
            found.append(Snapshots(Path(self.trainer.default_root_dir), spec.keep))
        return found

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.spec.inner_steps == 1:
            return super().configure_optimizers()
        return ConservativeAdam(
            self.net.parameters(),
            self.spec.lr,
            inner_steps=self.spec.inner_steps,
            proximal=self.spec.proximal,
            betas=(self.spec.optimizer.momentum, 0.999),
        )

    def inherit(self, folders: list[Path]) -> None:
        if self.spec.start_epoch is not None:
            kept = snapshot(folders[0], self.spec.start_epoch)
            self.net.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True))

    def finished(self, rows: Rows) -> bool:
        losses = [row["train/loss"] for row in rows]
        patience = self.spec.plateau
        return bool(patience and method.plateaued(losses, patience, self.spec.plateau_delta))

    def summarise(self, rows: Rows) -> dict[str, float]:
        """The values at the end, those of each measured epoch of a path, and log10 of every sharpness."""
        found: dict[str, float] = {}
        columns: dict[str, float] = {}
        for row in rows:
            columns = {k: v for k, v in row.items() if k.startswith(("full/", "sharp", "distance"))}
            if self.spec.measure and len(self.spec.measure.at) > 1:
                found |= {f"{k}/epoch-{row['epoch']:g}": v for k, v in columns.items() if k.count("/") < 2}
        found |= columns
        return found | _logarithms(found)

    def lost(self, error: float) -> dict[str, float]:
        return {f"full/{split}_accuracy": 100 - error for split in ("train", "test")}


def _logarithms(columns: dict[str, float]) -> dict[str, float]:
    about = ("/iterations", "/evaluations", "/status", "/at_bound")
    values = {k: v for k, v in columns.items() if k.startswith("sharp") and not k.endswith(about)}
    return {f"log10/{k}": math.log10(max(v, FLOOR)) for k, v in values.items()}


# -- measurements on finished runs: (module, data, folders of the parents) → rows, summary --------------------------


def _slice(path: Any, module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """Loss and accuracy on 25 points of a path from the SB to the LB solution (Fig 3, 7)."""
    small, large = (_solution(module, folder) for folder in parents)
    objectives = {split: Objective(module.net, *data.plain(split)) for split in ("train", "test")}
    rows = paths.along(partial(path, small, large), objectives)
    return rows, paths.features(rows)


def _measure(module: Module) -> Measure:
    if module.spec.measure is None:
        raise SpecError(f"{module.spec.run_id}: task {module.spec.task!r} needs measure")
    return module.spec.measure


def _remeasure(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """``spec.measure`` at the first parent's solution."""
    _solution(module, parents[0])
    found = measured(module.net, data, _measure(module), None, module.spec.seed)
    return [found], found | _logarithms(found)


def _dinh(module: Module, data: Any, parents: list[Path]) -> tuple[Rows, dict[str, float]]:
    """Metric 2.1 of the SB solution with its BN-preceded weights times ALPHA, and measures that do not see that.

    The summary holds ``spec.measure`` of the rescaled SB solution; for ``sb``, ``sb-rescaled``, ``lb`` and
    ``lb-matched`` (LB rescaled to SB's norms) the full-space value and the share of weights that it took to their
    bounds, the value by sign ascent, the adaptive one and the top Hessian eigenvalue; and the largest difference
    between the logits of SB and its rescaling, and of LB and its own.
    """
    measure = _measure(module)
    images, labels = data.plain("train", measure.images)
    nets = {name: copy.deepcopy(_loaded(module, f).net) for name, f in zip(("sb", "lb"), parents, strict=True)}
    nets["sb-rescaled"] = rescale.scale_bn_preceded(nets["sb"], ALPHA)
    nets["lb-matched"] = rescale.match_norms(nets["lb"], nets["sb"])
    found = measured(nets["sb-rescaled"], data, measure, None, module.spec.seed)
    found |= _logarithms(found)
    found["logit_difference"] = rescale.logit_difference(nets["sb"], nets["sb-rescaled"], images)
    found["logit_difference/lb-matched"] = rescale.logit_difference(nets["lb"], nets["lb-matched"], images)
    rows = []
    for index, (name, net) in enumerate(nets.items()):
        objective = Objective(net, images, labels)
        x = objective.start()
        small = Objective(net, images[:HESSIAN_IMAGES], labels[:HESSIAN_IMAGES])
        full = sharpness(objective, x, 1e-3)
        row = {
            "full": full.value,
            "at_bound": full.at_bound,
            "sign": sharpness(objective, x, 1e-3, solver="sign").value,
            "adaptive": rescale.adaptive_sharpness(objective, x, RHO).value,
            "hessian": float(hessian.top_eigenvalues(small, x, k=1)[0]),
        }
        rows.append({"net": index, **row})
        found |= {f"{metric}/{name}": value for metric, value in row.items()}
    return rows, found


TASKS = {
    "line": partial(_slice, paths.linear),
    "curve": partial(_slice, paths.curved),
    "dinh": _dinh,
    "remeasure": _remeasure,
}


def _solution(module: Module, folder: Path) -> np.ndarray:
    """The weights of a finished run, float64 [n], which are also put into the module's net."""
    trained = (p for p in _loaded(module, folder).net.parameters() if p.requires_grad)
    return np.concatenate([p.detach().double().cpu().numpy().ravel() for p in trained])


def _loaded(module: Module, folder: Path) -> Module:
    module.net.load_state_dict(torch.load(folder / "weights.pt", map_location="cpu", weights_only=True))
    return module
