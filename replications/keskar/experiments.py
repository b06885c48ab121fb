"""What is run for Keskar et al. 2017: declarations only.

Net F1 on MNIST runs at the paper's own scale (preset ``paper``); C1 runs reduced, on 5,000 CIFAR-10 images; F1 on
Fashion-MNIST is a repeat on data that the authors never saw. F2 and C2–C4 are declared and left to a GPU.

    make replicate-keskar                               F1 at paper scale, C1 reduced, Fashion-MNIST
    make replicate-keskar PRESET=paper ARGS="--sweep c2-tables"   CIFAR-10, 15 M parameters
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from replications.keskar.arms import (
    BESIDE,
    BOTH_EPS,
    CROSS,
    FOUR,
    LR,
    MIXED,
    NETS,
    PROTOCOL,
    SMALL,
    WARM,
    KeskarSpec,
    as_written,
    conservative,
    paper_spec,
    path,
    tables,
    task,
    warm,
)
from replications.keskar.method import large_batch
from shared.curvature.declare import Measure, Sharp
from shared.paper import Sweep
from shared.spec import DataSpec, ModelSpec, Preset, RunSpec

SEEDS = (1, 2, 3, 4, 5)
PATH_SEEDS = (1, 2, 3, 4)
"""Two more than at first, decided when two had been seen and left K2, K8 and K10 open."""
WARM_SEEDS = (1, 2, 3)
"""One more, likewise."""
TUNE_SEED = 101
"""Of its own: nothing is chosen on a run that is judged."""
TUNE_LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TUNED = {"sb": 3e-3, "lb": 3e-3}
"""The rate with the lowest held-out error of the ``tune`` runs, for each batch; the same grid for both."""
CONV = ("c1", "c2", "c3", "c4")
BATCHES: dict[Preset, dict[str, tuple[int, ...]]] = {
    "paper": {"c1": (100, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 4000, 5000),
              "f2": (1500, 5000, 7500, 10000, 12500, 15000, 20000, 30000, 40000, 50000, 61500)},
    "reduced": {"c1": (10, 50, 100, 500)},
    "smoke": {"c1": (10, 50)},
}  # fmt: skip
"""Figure 4."""
WHOLE = Measure(sharp=(Sharp(),))
"""Over all images, as in Table 3: at one and the same solution the value over 10,000 may be another."""
EARLY = (1, 2, 5, 10, 20)
"""Epochs at which F1 is measured over all images before the plateau. SB reaches the paper's 99.66 % on the training set
at about 10, LB its 99.92 % between 5 and 10."""
EARLY_SEEDS = (1, 2, 3, 4, 5)
BESIDE_EARLY = Measure(at=(5, 10), sharp=(Sharp(space="subspace"), Sharp(solver="sign")))
"""Table 4's value there too: is its small ratio on F1 one of fitting the training set more closely than the paper's?
And a maximiser that leaves x in any case."""
MAXIMISERS = Measure(sharp=FOUR, images=10000)
"""Figure 5's drop may be the solver's: where the loss is flat, L-BFGS-B on the mean loss hardly leaves x."""
LONG = 7020
"""Updates of SB in 30 epochs, about where it stops."""
LONG_SEEDS = (1, 2, 3)
OPEN = Measure(
    sharp=(Sharp(), Sharp(bn="running"), Sharp(ceiling=16.118), Sharp(space="subspace"),
           Sharp(space="subspace", scale="uniform"), Sharp(space="subspace", scale="unit")),
    images=10000,
)  # fmt: skip
"""What the paper leaves open: batch-norm mode, the loss's ceiling, the scale of A."""
OWN_SCALE = ("f1-tables", "f1-slices", "f1-path", "f1-conservative", "f1-warm-start", "f1-warm-maximisers",
             "f1-early", "f1-open-choices", "f1-dinh", "tune", "f1-tuned", "f1-updates", "f1-noise")  # fmt: skip
"""Sweeps of the paper preset that two cores can bear."""


def _slices(net: str, seeds: Iterable[int]) -> tuple[KeskarSpec, ...]:
    pairs = [(tables(net, "sb", s), tables(net, "lb", s)) for s in seeds]
    return tuple(task(kind, f"{net}-{kind}", *pair) for kind in ("line", "curve") for pair in pairs)


@functools.cache
def _paper_sweeps() -> tuple[Sweep, ...]:
    found = []
    for net in NETS:
        f1 = net == "f1"
        both = tuple(tables(net, arm, s) for arm in ("sb", "lb") for s in SEEDS)
        paths = tuple(path(net, arm, s) for arm in ("sb", "lb") for s in PATH_SEEDS)
        found += [
            Sweep(f"{net}-tables", "Small against large batch: accuracy and sharpness (Tables 2-4)", both),
            Sweep(f"{net}-slices", "Loss along the line and the curve between the two solutions (Fig 3, 7)",
                  _slices(net, SEEDS)),
            Sweep(f"{net}-path", "Accuracy and sharpness along training (Fig 2, 6)", paths),
            Sweep(f"{net}-conservative", "Proximal large-batch training, and three plain steps a batch (Table 7)",
                  tuple(x for s in SEEDS for x in (conservative(net, s, 1e-3, "lb-conservative"),
                                                   conservative(net, s, 0.0, "lb-3-steps")))),
        ]  # fmt: skip
        if net in ("f1", "f2", "c1"):
            ks = tuple(k for k in WARM if k <= NETS[net].path_epochs)
            found.append(Sweep(f"{net}-warm-start", "Large batch from small-batch iterates (Fig 5)",
                               tuple(warm(net, k, s) for k in ks for s in WARM_SEEDS)))  # fmt: skip
        if net in BATCHES["paper"]:
            found.append(Sweep(f"{net}-batches", "Accuracy and sharpness against batch size (Fig 4)",
                               tuple(paper_spec(net, b, f"batch-{b}", s, plateau=None, measure=BOTH_EPS)
                                     for b in BATCHES["paper"][net] for s in SEEDS)))  # fmt: skip
        if net in CONV:
            data = DataSpec(name=NETS[net].data, pixels="unit", augment="flip-rotate-shift")
            found.append(Sweep(f"{net}-augmented", "Both batches with augmented data (Table 6)",
                               tuple(tables(net, arm, s, data=data, second=None).but(arm=f"{net}-{arm}-aug")
                                     for arm in ("sb", "lb") for s in SEEDS)))  # fmt: skip
            found.append(Sweep(f"{net}-text", "As the appendix has the net, where the released code differs (App. B)",
                               tuple(as_written(net, arm, s) for arm in ("sb", "lb") for s in SEEDS)))  # fmt: skip
        if f1:
            found += _beyond()
    return tuple(found)


def _beyond() -> list[Sweep]:
    """On F1, what the paper does not ask: is the gap one of tuning, of updates, of noise, of parametrisation?"""
    held_out = DataSpec(name="mnist", pixels="unit", holdout=10000)
    aside = {"data": held_out, "measure": MAXIMISERS, "second": None}
    tune = tuple(
        tables("f1", arm, TUNE_SEED, lr=lr, **aside).but(arm=f"tune-f1-{arm}-lr-{lr:g}")
        for arm in ("sb", "lb")
        for lr in TUNE_LRS
    )
    tuned = tuple(
        tables("f1", arm, s, lr=TUNED[arm], **BESIDE).but(arm=f"f1-{arm}-tuned") for arm in ("sb", "lb") for s in SEEDS
    )
    updates = tuple(
        tables("f1", "lb", s, epochs=None, plateau=None, updates=LONG, eval_every=LONG // 30, **BESIDE).but(
            arm=f"f1-lb-{LONG}-updates"
        )
        for s in LONG_SEEDS
    )
    ratio = NETS["f1"].large / SMALL
    noise = tuple(
        tables("f1", arm, s, lr=lr, measure=MAXIMISERS, second=None).but(arm=f"f1-{arm}-{name}")
        for arm, name, lr in (("lb", "noise", LR * ratio), ("sb", "noise", LR / ratio), ("lb", "root", LR * ratio**0.5))
        for s in SEEDS
    )
    pairs = [(tables("f1", "sb", s), tables("f1", "lb", s)) for s in SEEDS]
    open_ = tuple(task("remeasure", f"f1-{arm}-open-choices", spec, measure=OPEN)
                  for pair in pairs[:2] for arm, spec in zip(("sb", "lb"), pair, strict=True))  # fmt: skip
    maximisers = tuple(task("remeasure", f"f1-maximisers-from-{k}", warm("f1", k, s), measure=MAXIMISERS)
                       for k in WARM if k <= NETS["f1"].path_epochs for s in WARM_SEEDS)  # fmt: skip
    early = tuple(
        tables("f1", arm, s, epochs=EARLY[-1], plateau=None, second=BESIDE_EARLY,
               measure=WHOLE.model_copy(update={"at": EARLY})).but(arm=f"f1-{arm}-early")
        for arm in ("sb", "lb") for s in EARLY_SEEDS
    )  # fmt: skip
    part = BOTH_EPS.model_copy(update={"images": 10000})
    dinh = tuple(task("dinh", "f1-sb-dinh", *pair, measure=part) for pair in pairs)
    return [
        Sweep("f1-warm-maximisers", "Figure 5's solutions by other maximisers: is its fall the solver's?", maximisers),
        Sweep("f1-early", "Metric 2.1 over all images before the plateau: is the order Table 3's there?", early),
        Sweep("f1-open-choices", "What the paper leaves open: batch-norm mode, scale of A, loss ceiling", open_),
        Sweep("f1-dinh", "The same function, other sharpness: rescaled solutions (Dinh et al. 2017)", dinh),
        Sweep("tune", "Adam's rate for each batch of F1, on a held-out split, with equal budget", tune),
        Sweep("f1-tuned", "Each batch at its own best rate: is the gap one of tuning?", tuned),
        Sweep("f1-updates", "LB for about as many updates as SB: is the gap one of updates?", updates),
        Sweep("f1-noise", "Each batch at the other's ratio of rate to batch: is sharpness one of the noise?", noise),
    ]


# -- smaller presets ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """Where a smaller preset puts a net of the paper."""

    model: ModelSpec
    data: str
    train_size: int
    small: int
    epochs: int


SMALL_CONV = ModelSpec(name="shallownet", args={"bn_eval": "batch", "width": 16})
TINY = ModelSpec(name="mlp-bn", args={"bn_eval": "batch", "layers": 2, "width": 32})
SCALES: dict[Preset, Scale] = {
    "reduced": Scale(SMALL_CONV, "cifar10-any", 5000, 25, 100),  # LB stays 10 % of the images and SB 0.5 %
    "smoke": Scale(TINY, "digits", 1280, 64, 4),
}


def reduced(spec: KeskarSpec) -> KeskarSpec:
    """C1 on 5,000 CIFAR-10 images with 16 filters."""
    return _shrunk(spec, "reduced")


def smoke(spec: KeskarSpec) -> KeskarSpec:
    """A tiny net on digits, seconds: it shows that the plumbing works and nothing else."""
    return _shrunk(spec, "smoke")


SHRINK = {"reduced": reduced, "smoke": smoke}


def _shrunk(spec: KeskarSpec, preset: Preset) -> KeskarSpec:
    scale, net = SCALES[preset], NETS[spec.arm[:2]]
    place = {SMALL: scale.small, net.large: large_batch(scale.train_size)}
    figure4 = re.fullmatch(r"c1-batch-(\d+)", spec.arm)
    batch = int(figure4[1]) if figure4 else place[spec.batch_size]
    data = spec.data.model_copy(update={"name": scale.data, "train_size": scale.train_size})
    epochs = {"epochs": scale.epochs} if spec.epochs else {}
    protocol = MIXED if preset == "reduced" else PROTOCOL
    return spec.but(preset=preset, protocol=protocol, model=scale.model, data=data, batch_size=batch, second=None,
                    **epochs)  # fmt: skip


def _small_sweeps(preset: Preset) -> tuple[Sweep, ...]:
    small = SHRINK[preset]
    seeds = SEEDS if preset == "reduced" else SEEDS[:2]

    def made(arm: str, seed: int, name: str = "", **changes) -> KeskarSpec:
        return small(tables("c1", arm, seed, **changes)).but(arm=name or f"c1-{arm}")

    both = tuple(made(arm, s) for arm in ("sb", "lb") for s in seeds)
    data = DataSpec(name=NETS["c1"].data, pixels="unit",
                    augment="flip-rotate-shift" if preset == "reduced" else "none")  # fmt: skip
    augmented = tuple(made(arm, s, f"c1-{arm}-aug", data=data) for arm in ("sb", "lb") for s in seeds[:3])
    batches = tuple(
        small(paper_spec("c1", SMALL, f"batch-{b}", s, plateau=None, measure=BOTH_EPS)).but(
            eval_every=20 if preset == "reduced" else 1
        )
        for b in BATCHES[preset]["c1"]
        for s in seeds[:3]
    )
    lines = tuple(task("line", "c1-line", *(made(arm, s) for arm in ("sb", "lb"))) for s in seeds)
    maximisers = tuple(task("remeasure", f"{spec.arm}-maximisers", spec, measure=Measure(sharp=FOUR)) for spec in both)
    sweeps = (
        Sweep("tables", "Small against large batch: accuracy and sharpness of C1 (Tables 2-4)", both),
        Sweep("slices", "Loss along the line between the two solutions of C1 (Fig 3)", lines),
        Sweep("maximisers", "Metric 2.1 of C1's solutions by other maximisers", maximisers),
        Sweep("augmented", "Both batches with augmented data (Table 6)", augmented),
        Sweep("batches", "Accuracy and sharpness against batch size (Fig 4)", batches),
    )
    return (*sweeps, Sweep("fashion", "F1 on Fashion-MNIST: does the story hold on unseen data?", _fashion())) \
        if preset == "reduced" else sweeps  # fmt: skip


def _fashion() -> tuple[KeskarSpec, ...]:
    data = DataSpec(name="fashion-mnist", pixels="unit")
    part = CROSS.model_copy(update={"sharp": (*CROSS.sharp, Sharp(space="subspace"))})
    return tuple(
        tables("f1", arm, s, data=data, measure=WHOLE, second=part).but(arm=f"fashion-{arm}", preset="reduced")
        for arm in ("sb", "lb")
        for s in SEEDS
    )


def sweeps(preset: Preset) -> tuple[Sweep, ...]:
    """Every sweep of a preset, in the order in which they should run."""
    return _paper_sweeps() if preset == "paper" else _small_sweeps(preset)


def roles(preset: Preset) -> dict[str, str | tuple[str, ...]]:
    """Names for the arm templates of claims and figures."""
    return {
        "net": tuple(NETS) if preset == "paper" else ("c1",),
        "conv": CONV if preset == "paper" else ("c1",),
        "batch": tuple(map(str, BATCHES[preset]["c1"])),
        "warm": tuple(map(str, WARM)),
    }


def counterpart(spec: RunSpec) -> RunSpec | None:
    """The paper-preset spec that an arm stands for; None for what the paper does not have."""
    if spec.preset == "paper":
        ours = re.compile(r"(tune|f1-maximisers)-.*|f1-.*-(tuned|dinh|updates|noise|root|open-choices|3-steps|early)")
        return None if ours.fullmatch(spec.arm) else spec
    if spec.arm.startswith("fashion-"):
        return tables("f1", spec.arm[8:], spec.seed)
    arm = re.sub(r"(?<=^c1-batch-)\d+", lambda b: str(int(b[0]) * 10), spec.arm)  # the same share of the data
    return _of_paper().get((arm, spec.seed))


@functools.cache
def _of_paper() -> dict[tuple[str, int], RunSpec]:
    return {(s.arm, s.seed): s for sweep in _paper_sweeps() for s in sweep.specs}
