"""What a run that measures others takes from them: the record, and how well their last weights do."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from shared.runs.read import read_run
from shared.runs.schema import RunRecord

if TYPE_CHECKING:
    from shared.module import ClassifierModule


def finished(folder: Path) -> RunRecord:
    """The record of a parent; RuntimeError with the remedy when it is damaged."""
    record = read_run(folder)
    if record.problem:
        raise RuntimeError(f"{record.problem}; delete that folder and run it again")
    return record


@torch.no_grad()
def accuracy(module: ClassifierModule, folder: Path, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Percent of the images ``(images, labels)`` that a finished run's last weights, put into ``module``, get right.

    Chance level where the run diverged.
    """
    if json.loads((folder / "done.json").read_text())["status"] == "diverged":
        return 100.0 / module.classes
    module.net.load_state_dict(torch.load(folder / "weights.pt", map_location="cpu", weights_only=True))
    module.net.eval()
    right = seen = 0
    for images, labels in batches:
        right += int((module.net(images.to(module.device)).argmax(1).cpu() == labels).sum())
        seen += len(labels)
    return 100.0 * right / seen
