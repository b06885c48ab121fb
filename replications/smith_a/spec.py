"""What identifies a run of Smith and Le 2017."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replications.smith_a.method import momentum_gain
from shared.spec import FORWARD, Frozen, RunSpec


@dataclass(frozen=True)
class Convention:
    """What the paper leaves open and what decides whether small batches train at ε = 1."""

    form: Literal["averaging", "reference"] = "averaging"
    """Momentum as a running mean of the gradient (effective rate ε), or as its sum (ε/(1 − m))."""
    init: Literal["glorot", "he", "normal"] = "glorot"
    pixels: Literal["unit", "standardised"] = "unit"

    @property
    def name(self) -> str:
        return f"{'avg' if self.form == 'averaging' else 'acc'}-{self.init}-{self.pixels}"


class Evidence(Frozen):
    """Figures 1 and 2: logistic regression of zeros against ones, over a grid of λ."""

    labels: Literal["true", "random", "iid"] = "true"
    """``random``: a permutation of the true ones, so that both classes keep their size; ``iid``: a fair coin each."""
    train: int = 400
    test: int = 5000
    """Images of each class, all drawn from the training set: the test set has only 980 zeros."""
    lambdas: tuple[float, float, int] = (1e-9, 1e5, 57)
    """First, last and number of values, evenly spaced in their logarithm, for pixels between 0 and 1."""


class SmithASpec(RunSpec):
    """A run of Smith and Le: a training, or a measurement of its own or on finished runs."""

    held_out: int = 0
    """``b-opt``: training images outside the run's own on which the batch is chosen a second time."""
    axis: Literal["lr", "train_size", "momentum", "width"] | None = None
    """``fit``: what the runs behind its parents differ in."""
    evidence: Evidence | None = None
    """``evidence``: what is fitted."""

    # What the axes of figures are

    @property
    def images(self) -> int:
        """N."""
        return self.data.train_size or 0

    @property
    def width(self) -> int:
        """Hidden units; 0 for the linear model."""
        return int(self.model.args.get("hidden", 0))

    @property
    def gain(self) -> float:
        """1/(1 − m)."""
        return momentum_gain(self.optimizer.momentum)

    def extra_samples(self, train_size: int) -> float:
        """A λ costs about a second, and a parent of ``b-opt`` an evaluation."""
        if self.task == "evidence":
            return 1e5 * (self.evidence or Evidence()).lambdas[2]
        return FORWARD * self.held_out * len(self.parents) if self.task == "b-opt" else 0.0

    @property
    def takes_diverged(self) -> bool:
        """A batch that diverges is a point of the curve, at chance level."""
        return self.task == "b-opt"
