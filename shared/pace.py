"""How updates add up to epochs when the batch may be another one in every epoch: closed forms, no state."""

from __future__ import annotations

from itertools import pairwise

from shared.spec import RunSpec


class Pace:
    """Counts of a run over ``n`` training samples, ``spec.batch_at(e)`` of them an update in epoch e (from 0).

    An epoch has as many updates as it has whole batches. Past the declared length the last epoch's batch goes on.
    Raises ValueError when the data do not fill a batch.
    """

    def __init__(self, n: int, spec: RunSpec):
        epochs = range(spec.epochs or 1)
        changes = [0, *(b for a, b in pairwise(epochs) if spec.batch_at(a) != spec.batch_at(b))]
        self.stretches: list[tuple[int, int, int, int, int]] = []
        """(first epoch, first update, samples before, batch, updates an epoch) of each stretch of equal batches."""
        update = samples = 0
        for start, end in zip(changes, [*changes[1:], None], strict=True):
            batch = spec.batch_at(start)
            if not n // batch:
                raise ValueError(
                    f"a batch of {batch} (epoch {start}) exceeds the {n} training samples; use at most {n}"
                )
            self.stretches.append((start, update, samples, batch, n // batch))
            if end is not None:
                done = (end - start) * (n // batch)
                update, samples = update + done, samples + done * batch

    def before(self, epoch: int) -> int:
        """Updates in the epochs 0 … epoch − 1: the length of a run of so many epochs."""
        start, update, _, _, each = next(s for s in reversed(self.stretches) if s[0] <= epoch)
        return update + (epoch - start) * each

    def epoch(self, update: int) -> int:
        """The epoch that update number ``update`` (from 0) is part of."""
        start, first, _, _, each = self._stretch(update)
        return start + (update - first) // each

    def epochs(self, updates: int) -> float:
        """Epochs that so many updates take."""
        start, first, _, _, each = self._stretch(updates)
        return start + (updates - first) / each

    def samples(self, updates: int) -> int:
        """Training samples, repeats counted, in so many updates."""
        _, first, before, batch, _ = self._stretch(updates)
        return before + (updates - first) * batch

    def _stretch(self, update: int) -> tuple[int, int, int, int, int]:
        return next(s for s in reversed(self.stretches) if s[1] <= update)
