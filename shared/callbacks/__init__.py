"""Callbacks of every run: the record, the checkpoints, the divergence stop."""

from shared.callbacks.checkpoints import Checkpoints
from shared.callbacks.divergence import DivergenceStop
from shared.callbacks.recorder import Recorder

__all__ = ["Checkpoints", "DivergenceStop", "Recorder"]
