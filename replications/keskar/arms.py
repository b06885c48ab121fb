"""The runs of Keskar et al. 2017, one function for each kind: what a net is trained with and what is measured on it."""

from __future__ import annotations

from dataclasses import dataclass

from replications.keskar.method import large_batch
from shared.curvature.declare import POINTS, Measure, Sharp
from shared.spec import FORWARD, DataSpec, ModelSpec, OptimizerSpec, RunSpec

PROTOCOL = 1
MIXED = 2
"""Protocol of the reduced C1: a folder of images is evaluated in mixed order since. It has them class by class, so that
batch norm by the evaluated batch saw half of the classes at a time."""
SMALL = 256
LR = 1e-3
"""Keras' default for Adam, which the released code uses; the paper states no rate."""
WARM = (1, 2, 5, 10, 20, 40)
"""Small-batch epochs before the switch to the large batch (Fig 5, thinned)."""


class KeskarSpec(RunSpec):
    """A run of Keskar et al.: when it stops, how it treats a batch, where it starts and what it measures."""

    plateau: int | None = None
    """Stop when the epoch's mean training loss has not improved for so many epochs; None: run all epochs."""
    plateau_delta: float = 1e-4
    """Smallest fall of that loss, in nats, which counts as an improvement."""
    inner_steps: int = 1
    """Adam steps on each batch (App. E.2: 3)."""
    proximal: float = 0.0
    """λ of the conservative sub-problem (App. E.2: 1e-3)."""
    start_epoch: int | None = None
    """Start from the weights that the first parent had after this epoch; None: from scratch."""
    keep: tuple[int, ...] = ()
    """Epochs after which the weights are kept for other runs to start from."""
    measure: Measure | None = None
    second: Measure | None = None
    """Further measurements, on other images or at other epochs than ``measure`` has."""

    def extra_samples(self, train_size: int) -> float:
        measures = (m for m in (self.measure, self.second) if m)
        again = float((self.inner_steps - 1) * train_size * (self.epochs or 0))
        if self.task in ("line", "curve"):
            again += FORWARD * POINTS * train_size
        return again + sum(m.samples(train_size, self.epochs or 1) for m in measures)


@dataclass(frozen=True)
class Net:
    """A row of the paper's tables."""

    model: ModelSpec
    data: str
    train_size: int
    path_epochs: int = 100
    """Epochs of Figures 2, 4, 5 and 6."""

    @property
    def large(self) -> int:
        return large_batch(self.train_size)


def _conv(name: str) -> ModelSpec:
    return ModelSpec(name=name, args={"bn_eval": "batch"})


NETS: dict[str, Net] = {
    "f1": Net(ModelSpec(name="mlp-bn", args={"bn_eval": "batch"}), "mnist", 60000, path_epochs=50),
    "f2": Net(ModelSpec(name="mlp-bn", args={"bn_eval": "batch", "layers": 7}), "timit", 721329),
    "c1": Net(_conv("shallownet"), "cifar10", 50000),
    "c2": Net(_conv("deepnet"), "cifar10", 50000),
    "c3": Net(_conv("shallownet"), "cifar100", 50000),
    "c4": Net(_conv("deepnet"), "cifar100", 50000),
}

_EPS = (1e-3, 5e-4)
TABLES = Measure(sharp=tuple(Sharp(eps=e, space=s) for s in ("full", "subspace") for e in _EPS))
"""Tables 3 and 4, over the whole training set."""
FOUR = (Sharp(), Sharp(start="random"), Sharp(loss="sum"), Sharp(solver="sign"))
"""The same value by L-BFGS-B from x, from inside the box and on the summed loss, and by the sign maximiser."""
ENDS = Measure(sharp=FOUR, images=10000)
BOTH_EPS = Measure(sharp=tuple(Sharp(eps=e) for e in _EPS))
CROSS = Measure(sharp=(*FOUR, Sharp(eps=5e-4)), images=10000)
BESIDE = {"measure": BOTH_EPS, "second": CROSS}
"""What a solution is worth by Table 3's metric, and by maximisers that leave x in any case."""
PATH = (1, 2, 5, 10, 20, 35, 50, 70, 100)


def paper_spec(net: str, batch: int, arm: str, seed: int, **changes) -> KeskarSpec:
    """§2 and App. B: Adam at Keras' defaults, no decay, uniform start, trained until the loss stops improving."""
    n = NETS[net]
    fields = {
        "model": n.model,
        "data": DataSpec(name=n.data, pixels="unit"),
        "epochs": 100,
        "plateau": 5,
        "lr": LR,
        **changes,
    }
    fields |= {name: _roomy(fields.get(name), net) for name in ("measure", "second")}
    return KeskarSpec(
        paper="keskar", arm=f"{net}-{arm}", preset="paper", seed=seed, protocol=PROTOCOL, batch_size=batch,
        optimizer=OptimizerSpec(name="adam", momentum=0.9, fused=True), **fields,
    )  # fmt: skip


def tables(net: str, arm: str, seed: int, **changes) -> KeskarSpec:
    """Tables 2–4: the small or the large batch, both solutions from the same start."""
    batch = SMALL if arm == "sb" else NETS[net].large
    return paper_spec(net, batch, arm, seed, **{"measure": TABLES, "second": ENDS, **changes})


def _roomy(measure: Measure | None, net: str) -> Measure | None:
    """15 million weights need 5 GB for L-BFGS-B."""
    return measure and (measure.model_copy(update={"gigabytes": 6.0}) if net in ("c2", "c4") else measure)


def path(net: str, arm: str, seed: int) -> KeskarSpec:
    """Figures 2 and 6: a run of fixed length, sharpness along it; SB keeps the weights that Figure 5 starts from."""
    epochs = NETS[net].path_epochs
    at = tuple(e for e in PATH if e <= epochs)
    keep = tuple(k for k in WARM if k <= epochs) if arm == "sb" else ()
    measure = Measure(at=at, sharp=(*FOUR, Sharp(eps=5e-4)), images=_part(net))
    spec = tables(net, arm, seed, epochs=epochs, plateau=None, keep=keep, measure=measure, second=None)
    return spec.but(arm=f"{net}-{arm}-path")


def _part(net: str) -> int | None:
    """Images of a measurement that is repeated along F1's figures, which two cores have to bear; None: all."""
    return 10000 if net == "f1" else None


def warm(net: str, k: int, seed: int) -> KeskarSpec:
    """Figure 5: large-batch training from the small-batch iterate after k epochs; of F1 until its plateau."""
    measure = BOTH_EPS.model_copy(update={"images": _part(net)})
    length = {} if net == "f1" else {"plateau": None}
    return tables(net, "lb", seed, start_epoch=k, parents=(path(net, "sb", seed).run_id,), measure=measure,
                  second=None, **length).but(arm=f"{net}-lb-from-{k}")  # fmt: skip


def as_written(net: str, arm: str, seed: int) -> KeskarSpec:
    """A convolutional net as Appendix B has it, where the released code differs."""
    model = NETS[net].model
    model = model.model_copy(update={"args": {**model.args, "variant": "text"}})
    return tables(net, arm, seed, model=model, second=None).but(arm=f"{net}-{arm}-text")


def conservative(net: str, seed: int, proximal: float, arm: str) -> KeskarSpec:
    """Table 7, and with λ = 0 the control that visits every batch as often."""
    return tables(net, "lb", seed, inner_steps=3, proximal=proximal, **BESIDE).but(arm=f"{net}-{arm}")


def task(name: str, arm: str, *parents: KeskarSpec, measure: Measure | None = None) -> KeskarSpec:
    """A measurement on the solutions of finished runs."""
    first = parents[0]
    return first.but(arm=arm, task=name, parents=tuple(p.run_id for p in parents), epochs=None, plateau=None,
                     measure=measure, second=None)  # fmt: skip
