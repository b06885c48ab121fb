"""Whether overridden runs can be built at all: told when they are planned, not by the first job that fails."""

from __future__ import annotations

from collections.abc import Iterable

from shared.datasets import KNOWN
from shared.spec import RunSpec, SpecError


def vet(specs: Iterable[RunSpec]) -> None:
    """Build net and optimizer of each kind of run once, on data of known shape.

    Raises SpecError for an unknown model, optimizer or argument, or one that the other settings exclude.
    """
    from shared.models import build  # torch, which a plan without overrides does without
    from shared.optim import make_optimizer

    kinds: dict[tuple, RunSpec] = {}
    for s in specs:
        if s.data.name in KNOWN:
            kinds.setdefault((s.model.model_dump_json(), s.optimizer.model_dump_json(), s.bn_batch, s.data.name), s)
    for spec in kinds.values():
        try:
            data = KNOWN[spec.data.name]
            net = build(spec.model, data.classes, data.shape, spec.bn_batch)
            make_optimizer(net, spec.optimizer, spec.lr)
        except SpecError as error:
            raise SpecError(f"--set: {spec.arm}: {error}") from None
