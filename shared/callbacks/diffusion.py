"""How far the weights have moved, recorded densely at the start and ever more rarely (Hoffer et al. 2017, Figure 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from shared.callbacks.recorder import Recorder
from shared.runs.schema import STEP

COLUMNS = ("distance", "distance/first")
PATH = ("path/all", "path/first")


class Diffusion(pl.Callback):
    """‖w_t − w_0‖₂ over all trainable weights, and over their first tensor alone.

    w_0 are the weights that the net had when this callback was made. The columns ``distance`` and ``distance/first``
    stand in every evaluation's row; ``path/all`` and ``path/first``, the same, in rows of their own after each update
    of ``updates``, which go to the Recorder's sink. ``rows`` keeps the latter: they ride in the checkpoint and are
    written again on resume, as the Recorder's are.
    """

    def __init__(self, net: nn.Module, updates: Iterable[int]):
        self.start = [p.detach().clone() for p in net.parameters() if p.requires_grad]
        self.updates = frozenset(updates)
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        for row in self.rows:
            _write(trainer, row)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs, batch, batch_idx: int) -> None:
        step = trainer.global_step
        if step not in self.updates or (self.rows and self.rows[-1][STEP] >= step):
            return  # the second: a micro-batch after the update, which has not brought the next one yet
        row = {STEP: step, **dict(zip(PATH, self._distances(pl_module.net), strict=True))}
        self.rows.append(row)
        _write(trainer, row)

    def columns(self, trainer: pl.Trainer, pl_module: Any, row: dict[str, float], last: bool) -> dict[str, float]:
        return dict(zip(COLUMNS, self._distances(pl_module.net), strict=True))

    @torch.no_grad()
    def _distances(self, net: nn.Module) -> tuple[float, float]:
        weights = [p.detach() for p in net.parameters() if p.requires_grad]
        self.start = [s.to(w.device) for s, w in zip(self.start, weights, strict=True)]
        norms = [float(n) for n in torch._foreach_norm(torch._foreach_sub(weights, self.start))]
        return math.hypot(*norms), norms[0]

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]


def _write(trainer: pl.Trainer, row: dict[str, float]) -> None:
    for recorder in trainer.callbacks:  # type: ignore[attr-defined]  # a connector sets it
        if isinstance(recorder, Recorder) and recorder.sink:
            recorder.sink(row)
