"""A loss that is no longer finite ends the run; the run is then an outcome, not missing data."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl


class DivergenceStop(pl.Callback):
    """Looks at the summed training loss every ``every`` batches; ``diverged`` says what it found.

    A NaN or an infinity stays in the sum, so a look now and then misses none; on a GPU each look is a
    synchronisation, hence not every batch.
    """

    def __init__(self, every: int = 20):
        self.every = every
        self.diverged = False

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs, batch, batch_idx: int) -> None:
        if (trainer.fit_loop.total_batch_idx + 1) % self.every == 0:  # counted over epochs, which may be shorter
            self._look(trainer, pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._look(trainer, pl_module)  # the row of the record that follows empties the sum

    def _look(self, trainer: pl.Trainer, pl_module: Any) -> None:
        bad = not math.isfinite(float(pl_module.totals("train")[0]))
        if trainer.world_size > 1:  # ranks must agree, or one of them waits for ever in the next all-reduce
            bad = trainer.strategy.reduce_boolean_decision(bad, all=False)
        if bad:
            self.diverged = True
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"diverged": self.diverged}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.diverged = state["diverged"]
