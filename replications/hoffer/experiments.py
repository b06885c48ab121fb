"""What is run for Hoffer, Hubara and Soudry 2017: declarations only.

The main arms follow the released code in how it trains (momentum reset, mirrored digits, clipping) and the paper in
batches (|B_S| = 128, |B_L| = 4096), in the base of the √ rule and in regime adaptation.
What text and code do not agree on has arms of its own, each of which changes one thing. Net F1 runs at the paper's own
scale (preset ``paper``); ResNet44 and C1 run reduced, on 4,096 CIFAR-10 images.

    make replicate-hoffer                                          F1's table, the reduced nets: 2.1 hours on two cores
    make replicate-hoffer PRESET=paper ARGS="--sweep f1-ra-32"     F1 for 1,600 epochs, two seeds: 1.5 hours
    make replicate-hoffer PRESET=paper ARGS="--sweep r44-table1"   ResNet44 on CIFAR-10: a GPU
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import Any

from replications.hoffer import method
from shared.paper import Sweep
from shared.spec import FORWARD, DataSpec, Frozen, ModelSpec, OptimizerSpec, Preset, RunSpec

PROTOCOL = 1
MIXED = 2
"""Protocol of the reduced potential: the first images of a folder are of all classes since, not of one or two."""
SEEDS = (1, 2, 3, 4, 5)
CURVE_SEEDS = (1, 2, 3)
"""Of families of curves, and of arms of F1 that take back one thing: as many as two cores bear."""
LONG_SEEDS = (1, 2)
"""Of the runs of 1,600 epochs."""
PER_OCTAVE = 8
OWN_SCALE = ("f1-table1", "f1-momentum", "f1-lr-base", "f1-potential")
"""Sweeps of the paper preset that two cores bear beside ``reduced``; F1's others take twice as long (see README)."""


class Potential(Frozen):
    """The random-potential measurement: the loss at random points around the start."""

    images: int = 1000
    """Training images over which the loss is taken, the same at every point."""
    directions: int = 1000
    reach: float = 10.0
    """Distances are uniform between 0 and this."""
    bins: int = 10


class HofferSpec(RunSpec):
    """A run of Hoffer et al.: its regime, its noise, how it clips, and what it records of its way."""

    regime: tuple[tuple[int, float], ...]
    """``(epoch, factor)``: from that epoch on the rate is ``lr`` times the factor."""
    decay_until: int | None = None
    """Epoch from which there is no weight decay (AlexNet); None: decay to the end."""
    clip: float = method.CLIP
    """Largest L2 norm of the gradient, over all weights."""
    momentum_reset: bool = True
    """Empty the momentum buffers at the start of every epoch, as the released code does by accident."""
    noise: float = 0.0
    """σ² of the factors N(1, σ²) on the examples' losses; 0: none."""
    distances: int = PER_OCTAVE
    """Updates at which the distance from the start is recorded at the first rate, each time their number doubles."""
    compare_at: int | None = None
    """Update whose distance enters the summary, to compare batches at equal updates (Figure 2b)."""
    potential: Potential | None = None

    def extra_samples(self, train_size: int) -> float:
        p = self.potential
        return FORWARD * p.images * p.directions if p else 0.0


@dataclass(frozen=True)
class Net:
    """A row of Table 1 or 2 at one preset."""

    model: ModelSpec
    data: DataSpec
    images: int
    epochs: int
    regime: tuple[tuple[int, float], ...]
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_until: int | None = None
    small: int = method.SMALL
    large: int = 4096
    curves: int = 0
    """|B|/|B_S| up to which Figures 1 and 2 go, and batches are compared at equal updates; 0: none of this net."""


@dataclass(frozen=True)
class Arm:
    """A column of Table 1, or what departs from one."""

    ratio: int | None = None
    """|B|/|B_S|; None: |B_L|/|B_S|."""
    lr: bool = False
    ghost: bool = False
    stretch: bool = False
    noise: bool = False
    base: int = 1
    """Rates are scaled from this many times |B_S|."""
    early: bool = False
    longer: bool = False
    """SB's batch for the epochs of RA, so |B_L|/|B_S| times SB's updates."""


ARMS = {
    "sb": Arm(ratio=1),
    "lb": Arm(),
    "lr": Arm(lr=True),
    "gbn": Arm(lr=True, ghost=True),
    "ra": Arm(lr=True, ghost=True, stretch=True),
    "ra-8": Arm(ratio=8, lr=True, ghost=True, stretch=True),
    "ra-16": Arm(ratio=16, lr=True, ghost=True, stretch=True),
    "gbn-8k": Arm(ratio=32, lr=True, ghost=True),
    "ra-8k": Arm(ratio=32, lr=True, ghost=True, stretch=True),
    "noise": Arm(noise=True),
    "lr-base-x2": Arm(lr=True, base=2),
    "lr-2048": Arm(ratio=16, lr=True, base=2),
    "sb-early": Arm(ratio=1, early=True),
    "sb-long": Arm(ratio=1, longer=True),
}
COLUMNS = ("sb", "lb", "lr", "gbn")
"""Table 1 without its last column, which costs |B_L|/|B_S| times as much."""
CHANGES = ("kept", "unflipped", "replaced", "bf16")
"""Endings of arms that change one thing: momentum kept, digits not mirrored, examples drawn with replacement, bfloat16
in place of float32."""
BY_BATCH = re.compile(r"(gbn-)?batch-(\d+)")
OURS = re.compile(
    r".*-(kept|unflipped|replaced|bf16|lr-base-x2|sb-early|sb-long)|f1-(ra-8|batch-2048|lr-2048|(gbn-)?batch-1024)"
)
"""Arms that the paper does not have."""

_STEP = ((81, 0.1), (122, 0.01), (164, 0.001))
_WRN = ((60, 0.2), (120, 0.04), (140, 0.001))
_C = ((60, 10.0), (120, 1.0), (180, 0.1))
_ALEXNET = ((10, 0.5), (15, 0.1), (20, 0.05), (25, 0.01))


def _model(name: str, **args: Any) -> ModelSpec:
    return ModelSpec(name=name, args={"bn_running": "sequential", **args})


def _cifar(name: str) -> DataSpec:
    return DataSpec(name=name, augment="grey-crop-flip")


_DIGITS = DataSpec(name="mnist", augment="shift-flip", pixels="centred")
_SHALLOW: dict[str, Any] = {"lr": 1e-3, "momentum": 0.0, "weight_decay": 5e-4}
PAPER = {
    "f1": Net(_model("hoffer-f1"), _DIGITS, 60000, 50, ((10, 0.1), (20, 0.01), (30, 0.001))),
    "c1": Net(_model("hoffer-shallow"), _cifar("cifar10"), 50000, 200, _C, **_SHALLOW),
    "r44": Net(_model("hoffer-resnet"), _cifar("cifar10"), 50000, 100, _STEP, curves=16),
    "vgg": Net(_model("deepnet"), _cifar("cifar10"), 50000, 100, _STEP),
    "c3": Net(_model("hoffer-shallow"), _cifar("cifar100"), 50000, 200, _C, **_SHALLOW),
    "wrn": Net(_model("hoffer-resnet", blocks=2, width=64), _cifar("cifar100"), 50000, 160, _WRN),
    "alexnet": Net(_model("hoffer-alexnet"), DataSpec(name="imagenet", augment="imagenet"), 1281167, 30, _ALEXNET,
                   lr=0.01, weight_decay=5e-4, decay_until=15, small=256),
}  # fmt: skip


def _shrunk(net: Net, model: ModelSpec, data: DataSpec, epochs: int, curves: int = 0) -> Net:
    """|B_S| = 16 and |B_L| = 128; ResNet44's regime, one drop after 81 % of training, and its rate by the √ rule."""
    return replace(
        net, model=model, data=data, images=data.train_size or 0, epochs=epochs, lr=0.035, momentum=0.9,
        regime=((round(0.81 * epochs), 0.1),), small=16, large=128, curves=curves,
    )  # fmt: skip


def _residual(**args: Any) -> ModelSpec:
    return _model("hoffer-resnet", blocks=1, **args)


_SOME = DataSpec(name="cifar10-any", train_size=4096, augment="grey-crop-flip")
_TOY = DataSpec(name="digits", train_size=640, augment="flip")
NETS: dict[Preset, dict[str, Net]] = {
    "paper": PAPER,
    # |B_S| is 0.4 % of the images (paper: 0.3 %) and |B_L| 3 % (8 %): 4,096 updates against 512, C1 3,072 against 384.
    # At the paper's ratio, 32, regime adaptation would take four times as long, and |B_L| hardly learn in its 128.
    "reduced": {
        "r44": _shrunk(PAPER["r44"], _residual(width=8, stem_stride=2), _SOME, 16, curves=16),
        "c1": _shrunk(PAPER["c1"], _model("hoffer-shallow", width=16), _SOME, 12),
    },
    "smoke": {"r44": _shrunk(PAPER["r44"], _residual(width=4, stem_stride=2), _TOY, 3, curves=16)},
}


def arm(preset: Preset, net: str, kind: str, seed: int) -> HofferSpec:
    """The run of an arm ``<net>-<kind>``; a kind is a key of ARMS, ``batch-<b>`` (SB's settings) or ``gbn-batch-<b>``
    (+LR+GBN) with a batch, or one of these with an ending of CHANGES."""
    n = NETS[preset][net]
    plain, _, change = kind.rpartition("-") if kind.endswith(CHANGES) else (kind, "", "")
    if by_batch := BY_BATCH.fullmatch(plain):
        with_lr = by_batch[1] is not None
        a, batch = Arm(lr=with_lr, ghost=with_lr), int(by_batch[2])
    else:
        a = ARMS[plain]
        batch = n.large if a.ratio is None else a.ratio * n.small
    adapted_to = batch if a.stretch else n.large if a.longer else n.small
    stretch = adapted_to // n.small
    regime = ((n.regime[0][0] // 2, n.regime[0][1]), *n.regime[1:]) if a.early else n.regime
    epochs, regime = method.adapted(n.epochs, tuple(r for r in regime if r[0] < n.epochs), stretch)
    data = n.data
    if change == "unflipped":
        data = data.model_copy(update={"augment": "shift"})
    elif change == "replaced":
        data = data.model_copy(update={"draw": "replacement", "augment_per": "place"})
    return HofferSpec(
        paper="hoffer",
        arm=f"{net}-{kind}",
        preset=preset,
        seed=seed,
        protocol=PROTOCOL,
        model=n.model,
        data=data,
        batch_size=batch,
        bn_batch=min(n.small, batch) if a.ghost else None,
        epochs=epochs,
        eval_every=stretch,
        lr=method.sqrt_scaled(n.lr, batch, a.base * n.small) if a.lr else n.lr,
        optimizer=OptimizerSpec(momentum=n.momentum, weight_decay=n.weight_decay, fused=True),
        regime=regime,
        decay_until=n.decay_until and n.decay_until * stretch,
        momentum_reset=change != "kept",
        noise=method.noise_variance(batch, n.small) if a.noise else 0.0,
        # the longest runs take under half as long in it; arms ending in -bf16 show what it does to others
        precision="bf16-mixed" if change == "bf16" or (net == "f1" and a.stretch) else "32-true",
        compare_at=_common(n) if batch <= n.curves * n.small and stretch == 1 and not a.noise else None,
    )


def _common(n: Net) -> int:
    """The last update at which all batches up to ``curves`` are at their first rate."""
    return n.regime[0][0] * (n.images // (n.small * n.curves))


def potential(preset: Preset, net: str, seed: int) -> HofferSpec:
    """The random-potential measurement around a net's start; trains nothing."""
    # 10 is a seventh of the norm of ResNet44's weights at the start, 3 of that of the small net's
    size = {"paper": Potential(), "reduced": Potential(images=500, reach=3.0),
            "smoke": Potential(images=200, directions=100, reach=3.0)}  # fmt: skip
    return arm(preset, net, "sb", seed).but(
        arm=f"{net}-potential", task="potential", epochs=None, eval_every=1, compare_at=None, potential=size[preset],
        protocol=MIXED if preset == "reduced" else PROTOCOL,
    )  # fmt: skip


def grid(preset: Preset) -> tuple[int, ...]:
    """The batches of Figures 1 and 2 without |B_S| and |B_L| themselves; half of |B_S| only in the paper."""
    n = NETS[preset]["r44"]
    ratios = ((0.5,) if preset == "paper" else ()) + tuple(2**k for k in range(1, n.curves.bit_length()))
    return tuple(b for b in (int(n.small * r) for r in ratios) if b != n.large)


def family(preset: Preset) -> tuple[str, ...]:
    """SB, LB and the batches of Figures 1 and 2 above SB, as kinds of arms, rising."""
    n = NETS[preset]["r44"]
    batches = {n.small: "sb", n.large: "lb"} | {b: f"batch-{b}" for b in grid(preset) if b > n.small}
    return tuple(batches[b] for b in sorted(batches))


def _arms(preset: Preset, net: str, kinds: tuple[str, ...], seeds: tuple[int, ...] = SEEDS) -> tuple[HofferSpec, ...]:
    return tuple(arm(preset, net, kind, seed) for kind in kinds for seed in seeds)


@functools.cache
def _paper_sweeps() -> tuple[Sweep, ...]:
    def of(net: str, name: str, says: str, kinds: tuple[str, ...], seeds: tuple[int, ...] = SEEDS) -> Sweep:
        return Sweep(f"{net}-{name}", says, _arms("paper", net, kinds, seeds))

    table, ra = "Small and large batch, +LR and +GBN (Table 1)", "Regime adaptation: as many updates (Table 1)"
    momentum = "Momentum kept over the epochs, which the released code resets"
    unflipped, replaced = "Digits not mirrored, unlike in the released code", "Examples drawn with replacement"
    batches, *rest = _residual_sweeps("paper")
    sweeps = [
        of("f1", "table1", table, COLUMNS),
        of("f1", "momentum", momentum, ("lb-kept",), CURVE_SEEDS),
        of("f1", "lr-base", "Rates scaled from 256 as in main_normal.py, not from |B_S| = 128", ("lr-base-x2",),
           CURVE_SEEDS),
        of("f1", "unflipped", unflipped, ("sb-unflipped", "lb-unflipped"), CURVE_SEEDS),
        of("f1", "batch-1024", "|B_L|/|B_S| = 8: LB and +LR +GBN, beside regime adaptation there",
           ("batch-1024", "gbn-batch-1024")),
        of("f1", "ra-8", "Regime adaptation at |B_L|/|B_S| = 8: 400 epochs", ("ra-8",)),
        of("f1", "ra-32", f"{ra}: 1,600 epochs", ("ra",), LONG_SEEDS),
        of("f1", "bf16", "SB and +LR +GBN in bfloat16, in which RA trains", ("sb-bf16", "gbn-bf16")),
        of("f1", "noise", "Multiplicative noise in place of the √ rule", ("noise",)),
        of("f1", "unflipped-rest", unflipped, ("lr-unflipped", "gbn-unflipped"), CURVE_SEEDS),
        of("f1", "unflipped-ra-8", f"{unflipped}, in the adapted regime", ("ra-8-unflipped",), CURVE_SEEDS),
        of("f1", "momentum-rest", momentum, ("sb-kept", "lr-kept", "gbn-kept"), CURVE_SEEDS),
        of("f1", "scripts", "LB and +LR as in the released scripts: 2048, rates scaled from 256",
           ("batch-2048", "lr-2048")),
        of("f1", "replacement", replaced, ("sb-replaced", "lb-replaced"), CURVE_SEEDS),
        Sweep("f1-potential", "The loss at random points around the start",
              tuple(potential("paper", "f1", s) for s in CURVE_SEEDS)),
    ]  # fmt: skip
    for net in ("r44", "c1", "vgg", "c3", "wrn"):
        sweeps += [of(net, "table1", table, COLUMNS), of(net, "ra", ra, ("ra",))]
    sweeps += [
        batches,
        of("r44", "fig3", "Regime adaptation at 2048 (Fig 3)", ("ra-16",)),
        *rest,
        of("alexnet", "table2", "ImageNet at 4096 and 8192 (Table 2)", (*COLUMNS, "ra", "gbn-8k", "ra-8k")),
    ]  # fmt: skip
    return tuple(sweeps)


def _by_batch(preset: Preset) -> tuple[str, ...]:
    return tuple(f"{kind}batch-{b}" for kind in ("", "gbn-") for b in grid(preset))


def _residual_sweeps(
    preset: Preset, seeds: tuple[int, ...] = SEEDS, few: tuple[int, ...] = CURVE_SEEDS
) -> tuple[Sweep, ...]:
    """What every preset asks of ResNet44 beside Table 1; the batches of Figures 1 and 2 come first."""
    confounds = (*(f"{kind}-kept" for kind in COLUMNS), "lr-base-x2", "sb-early")
    return (
        Sweep("r44-batches", "Error and distance from the start by batch, as is and +LR+GBN (Fig 1, 2)",
              _arms(preset, "r44", ("sb", *_by_batch(preset)), few)),
        Sweep("r44-noise", "Multiplicative noise in place of the √ rule", _arms(preset, "r44", ("noise",), seeds)),
        Sweep("r44-confounds", "Momentum kept; rates scaled from 2·|B_S|; the rate dropped early",
              _arms(preset, "r44", confounds, seeds)),
        Sweep("r44-replacement", "Examples drawn with replacement",
              _arms(preset, "r44", ("sb-replaced", "lb-replaced"), seeds), by_name=preset == "reduced"),
        Sweep("r44-longer", "SB for as many epochs as regime adaptation takes",
              _arms(preset, "r44", ("sb-long",), seeds), by_name=preset == "reduced"),
        Sweep("r44-potential", "The loss at random points around the start",
              tuple(potential(preset, "r44", s) for s in few)),
    )  # fmt: skip


def _small_sweeps(preset: Preset) -> tuple[Sweep, ...]:
    seeds, few = (SEEDS, CURVE_SEEDS) if preset == "reduced" else (SEEDS[:2], SEEDS[:1])
    sweeps = [
        Sweep("r44-table1", "Table 1 with |B_L|/|B_S| = 8, a small residual net",
              _arms(preset, "r44", (*COLUMNS, "ra"), seeds)),
        *_residual_sweeps(preset, seeds, few),
    ]  # fmt: skip
    if "c1" in NETS[preset]:
        c1 = _arms(preset, "c1", (*COLUMNS, "ra"), seeds)
        sweeps.insert(1, Sweep("c1-table1", "Table 1 with |B_L|/|B_S| = 8, C1", c1))
    return tuple(sweeps)


def sweeps(preset: Preset) -> tuple[Sweep, ...]:
    """Every sweep of a preset, in the order in which they should run."""
    return _paper_sweeps() if preset == "paper" else _small_sweeps(preset)


def reduced(spec: HofferSpec) -> HofferSpec:
    """The arm on a small net and 4,096 CIFAR-10 images, with batches of 16 and 128."""
    return _at("reduced", spec)


def smoke(spec: HofferSpec) -> HofferSpec:
    """The arm on digits in a second or two: it shows that the plumbing works and nothing else."""
    return _at("smoke", spec)


def _at(preset: Preset, spec: RunSpec) -> HofferSpec:
    """The same arm at another preset: a batch of the grid keeps its ratio to |B_S|."""
    net, kind = spec.arm.split("-", 1)
    if kind == "potential":
        return potential(preset, net, spec.seed)
    there, here = NETS[spec.preset][net], NETS[preset][net]
    if BY_BATCH.fullmatch(kind):
        kind = re.sub(r"\d+", lambda b: str(int(b[0]) * here.small // there.small), kind)
    return arm(preset, net, kind, spec.seed)


def counterpart(spec: RunSpec) -> HofferSpec | None:
    """The paper-preset spec that an arm stands for; None for what the paper does not have."""
    return None if OURS.fullmatch(spec.arm) else _at("paper", spec)


def roles(preset: Preset) -> dict[str, str | tuple[str, ...]]:
    """Names for the arm templates of claims and figures: kinds of ResNet44's arms, by batch.

    ``x2`` to ``x16`` and ``gbn_x2`` to ``gbn_x16`` are those of one batch, |B|/|B_S| = 2 to 16; ``half`` and
    ``gbn_half`` are |B_S|/2.
    """
    kinds, n = family(preset), NETS[preset]["r44"]
    reaching = tuple(k for k in kinds[1:] if arm(preset, "r44", k, 1).compare_at)
    named = {n.small: "sb", n.large: "lb"}
    by_ratio = {r: named.get(r * n.small, f"batch-{r * n.small}") for r in (2, 4, 8, 16)}
    return {
        **{f"x{r}": kind for r, kind in by_ratio.items()},
        **{f"gbn_x{r}": "gbn" if kind == "lb" else f"gbn-{kind}" for r, kind in by_ratio.items()},
        "half": f"batch-{n.small // 2}",
        "gbn_half": f"gbn-batch-{n.small // 2}",
        "net": tuple(NETS[preset]),
        "rising": kinds,
        "falling": kinds[::-1],
        "between": kinds[1:-1],
        "largest": kinds[-1],
        "common": reaching,
        "adapted": tuple("gbn" if k == "lb" else f"gbn-{k}" for k in reaching),
        "small": str(n.small),
        "large": str(n.large),
    }
