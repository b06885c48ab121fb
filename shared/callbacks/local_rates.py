"""The local learning rates of LARS along training (You et al. 2017, Figure 2)."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


class LocalRates(pl.Callback):
    """``local_rate/<tensor>`` in every evaluation's row: λ of the update before it, without the global rate.

    The optimizer must be ``shared.optim.LARS``; tensors that it does not adapt have no column.
    """

    def columns(self, trainer: pl.Trainer, pl_module: Any, row: dict[str, float], last: bool) -> dict[str, float]:
        names = {parameter: name for name, parameter in pl_module.net.named_parameters()}
        layers = trainer.optimizers[0].layers()  # type: ignore[attr-defined]
        return {f"local_rate/{names[layer.parameter]}": layer.local_rate for layer in layers}
