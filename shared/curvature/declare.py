"""Which curvature measurements a run takes, and when: part of its spec (no torch here)."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from shared.spec import Frozen

POINTS = 25
"""Points on a line or curve between two solutions, as in Keskar's code (``paths.ALPHAS``)."""
LAST = -1
"""In ``Measure.at``: the end of training, wherever that is."""


class Sharp(Frozen):
    """One sharpness value: Metric 2.1 of Keskar et al. 2017 (eq. 3-4) and the choices that the paper leaves open."""

    eps: float = 1e-3
    space: Literal["full", "subspace"] = "full"
    solver: Literal["lbfgs", "sign"] = "lbfgs"
    start: Literal["x", "random"] = "x"
    loss: Literal["mean", "sum"] = "mean"
    """What L-BFGS-B is given; the value is of the mean either way, but the solver's steps depend on the unit."""
    scale: Literal["normal", "uniform", "unit"] = "normal"
    """Entries of the subspace's matrix A: N(0, 1), U(-1, 1), or N(0, 1) with columns of norm 1."""
    p: int = 100
    bn: Literal["batch", "running"] = "batch"
    ceiling: float | None = None
    """Cap of the loss of an example; Keras' clipping of probabilities amounts to 16.118."""

    @property
    def key(self) -> str:
        """Column of the record: ``sharp/full@0.001``, ``sharp/full-random@0.001``, ``sharp/subspace-unit@0.0005``."""
        parts: list[str] = [self.space]
        parts += [self.scale] * (self.space == "subspace" and self.scale != "normal")
        parts += [f"p{self.p}"] * (self.space == "subspace" and self.p != 100)
        parts += ["sign"] * (self.solver == "sign") + ["random"] * (self.start == "random")
        parts += ["sum"] * (self.loss == "sum")
        parts += ["running"] * (self.bn == "running") + ["capped"] * (self.ceiling is not None)
        return f"sharp/{'-'.join(parts)}@{self.eps:g}"


class Measure(Frozen):
    """Measurements during training, each taken after the evaluations of ``at``."""

    at: tuple[int, ...] = (LAST,)
    """Epochs, counted from 1; ``LAST`` is the end."""
    sharp: tuple[Sharp, ...] = ()
    images: int | None = None
    """Training images over which the loss is taken: the first so many of the training set; None: all."""
    batch: int = 5000
    """Images that share batch statistics while measuring."""
    gigabytes: float = 1.0
    """What L-BFGS-B may take: 1.5 million weights need 0.5, 15 million 5."""

    @model_validator(mode="after")
    def _sensible(self):
        if any(e != LAST and e < 1 for e in self.at):
            raise ValueError(f"at={self.at}: epochs count from 1, and {LAST} is the end")
        if len({s.key for s in self.sharp}) < len(self.sharp):
            raise ValueError("two measurements would share a column of the record")
        return self

    def column(self, sharp: Sharp) -> str:
        """Where the record holds a value: ``sharp/…``, or ``sharp10k/…`` for a loss over the first 10,000 images."""
        n = self.images
        label = "" if n is None else f"{n // 1000}k" if n % 1000 == 0 else str(n)
        return sharp.key.replace("sharp/", f"sharp{label}/", 1)

    def samples(self, train_size: int, epochs: int) -> float:
        """About how many samples of training the measurements cost: 14 passes a value, each near an epoch."""
        points = len({epochs if e == LAST else e for e in self.at if e <= epochs})
        return 14.0 * points * len(self.sharp) * min(self.images or train_size, train_size)
