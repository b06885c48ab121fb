"""Data of a run: found, checked, decoded once, put into batches whose order depends on (seed, epoch) alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.datamodules.errors import DataError
from shared.datamodules.order import EpochBatches, ResumeError, SplitError, accumulation
from shared.datamodules.sources import SOURCES, Arrays, load

if TYPE_CHECKING:
    from shared.datamodules.module import make_datamodule

__all__ = [
    "SOURCES",
    "Arrays",
    "DataError",
    "EpochBatches",
    "ResumeError",
    "SplitError",
    "accumulation",
    "load",
    "make_datamodule",
]


def __getattr__(name: str) -> Any:
    # Lightning takes seconds to import, and reading data does not need it.
    if name == "make_datamodule":
        from shared.datamodules.module import make_datamodule

        return make_datamodule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
