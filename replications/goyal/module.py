"""Goyal et al. 2017 in Lightning: the shared classifier with §2.2's warm-up and §5.1's step schedule."""

from __future__ import annotations

from replications.goyal.experiments import GoyalSpec
from replications.goyal.method import learning_rate
from shared.module import ClassifierModule


class Module(ClassifierModule):
    """Linear scaling is in the spec's ``lr``; per-worker batch norm in its ``bn_batch``; this sets the rate."""

    spec: GoyalSpec

    def rate(self, update: int) -> float:
        s = self.spec
        return learning_rate(
            update,
            steps_per_epoch=self.steps_per_epoch,
            lr=s.lr,
            warmup=s.warmup,
            warmup_epochs=s.warmup_epochs,
            warmup_lr=s.warmup_lr,
            milestones=s.milestones,
            decay=s.decay,
        )
