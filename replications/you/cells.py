"""The conditions of You et al. 2017 at every scale: nets, batches, rates printed and chosen, and the specs they make.

A *cell* is a net, a batch of the paper, an optimizer and a variant of its rate or length. The same cells make the
paper's arms and the reduced ones, whose batches are the paper's divided by 32: 16 in place of 512, 1,024 of 32K.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from replications.you.method import scaled_lr
from replications.you.spec import YouSpec
from shared.spec import DataSpec, ModelSpec, OptimizerSpec, Preset, Scalar

PROTOCOL = 1
SMALL, MID, LARGE, HUGE, MOST = BATCHES = (512, 4096, 8192, 16384, 32768)
SHRINK = 32
EPOCHS: dict[Preset, int] = {"paper": 100, "reduced": 16, "smoke": 1}
IMAGES = {"reduced": 4096, "smoke": 1024}

# Chosen on the `tune` runs of the reduced preset by `method.chosen_rates`, on held-out images alone: the rate with the
# lowest error in each cell (net, batch, optimizer); a tie goes to the smaller rate.
CHOSEN: dict[str, float] = {
    "alexnet-16": 0.005, "alexnet-128": 0.02, "alexnet-256": 0.02, "alexnet-512": 0.08, "alexnet-1k": 0.08,
    "alexnet-16-lars": 4.0, "alexnet-128-lars": 16.0, "alexnet-256-lars": 16.0, "alexnet-512-lars": 32.0,
    "alexnet-1k-lars": 32.0,
    "alexnet-bn-16": 0.01, "alexnet-bn-128": 0.04, "alexnet-bn-256": 0.08, "alexnet-bn-512": 0.08,
    "alexnet-bn-1k": 0.16,
    "alexnet-bn-16-lars": 4.0, "alexnet-bn-128-lars": 8.0, "alexnet-bn-256-lars": 16.0, "alexnet-bn-512-lars": 16.0,
    "alexnet-bn-1k-lars": 16.0,
    "plain-256": 0.02,
    "plain-256-lars": 16.0,
    "resnet-50-32": 0.8, "resnet-50-256": 0.8, "resnet-50-1k": 1.6,
    "resnet-50-32-lars": 16.0, "resnet-50-256-lars": 64.0, "resnet-50-1k-lars": 64.0,
    "cifar-alexnet-256": 0.04,
    "cifar-alexnet-256-lars": 16.0,
    "cifar-alexnet-bn-256": 0.16,
    "cifar-alexnet-bn-256-lars": 16.0,
    "cifar-plain-256": 0.04,
    "cifar-plain-256-lars": 8.0,
    "cifar-resnet-50-256": 1.6,
    "cifar-resnet-50-256-lars": 64.0,
}  # fmt: skip
BEST_TRIAL = {"nesterov": 29, "lars": 20, "adam": 28}
"""The trial with the lowest error of each optimizer's ``pilot`` runs on held-out images: ``method.chosen_trials``."""

PRINTED: dict[str, float] = {
    "alexnet-512": 0.02, "alexnet-4k": 0.05, "alexnet-8k": 0.03,
    "alexnet-bn-512": 0.02, "alexnet-bn-4k": 0.18, "alexnet-bn-8k": 0.3,
    "alexnet-512-lars": 2.0, "alexnet-4k-lars": 10.0, "alexnet-8k-lars": 10.0, "alexnet-16k-lars": 14.0,
    "alexnet-32k-lars": 14.0,
    "alexnet-bn-256-lars": 2.0, "alexnet-bn-512-lars": 2.0, "alexnet-bn-1k-lars": 2.0, "alexnet-bn-4k-lars": 10.0,
    "alexnet-bn-8k-lars": 14.0, "alexnet-bn-16k-lars": 23.0, "alexnet-bn-32k-lars": 22.0,
    "resnet-50-256-lars": 4.0, "resnet-50-1k-lars": 9.0, "resnet-50-8k-lars": 30.0, "resnet-50-16k-lars": 33.0,
    "resnet-50-32k-lars": 40.0,
}  # fmt: skip
"""Best rates of Tables 1, 3 and 4 (ICLR); 256 and 1K of Figure 2 have that of 512, as the solvers name it for 1K."""
PRINTED_SIDES = {
    ("alexnet", MID): (0.04, 0.06, 0.07), ("alexnet", LARGE): (0.02, 0.04, 0.05),
    ("alexnet-bn", MID): (0.16, 0.21, 0.3), ("alexnet-bn", LARGE): (0.23, 0.32, 0.41),
}  # fmt: skip
"""Table 1's other rates: one below the best and two above."""
SIDES = {"below": 0.5, "above": 2.0, "far": 4.0}
"""The same for the reduced preset, in units of the chosen rate."""


@dataclass(frozen=True)
class Net:
    """A net at both scales, its warm-up as a share of training, and where its grids of rates start."""

    full: ModelSpec | None
    small: ModelSpec
    warmup: Mapping[str, float]
    grid: float
    """Of SGD; each of RATES rates is twice the one before."""
    lars_grid: float = 0.5
    data: str = "fashion-mnist"
    normalised: bool = True


def _small(normalise: str, scale: float) -> ModelSpec:
    args: dict[str, Scalar] = {
        "normalise": normalise,
        "width": 4,
        "hidden": 128,
        "stem_stride": 2,
        "input_scale": scale,
    }
    return ModelSpec(name="alexnet-small", args=args)


_RESNET = ModelSpec(name="resnet-small", args={"width": 8, "zero_gamma": False, "bn_eps": 1e-4})
_LRN, _BN, _RES = {"sgd": 0.025, "lars": 0.02}, {"sgd": 0.0, "lars": 0.05}, {"sgd": 0.05, "lars": 0.05}
NETS = {
    "alexnet": Net(ModelSpec(name="alexnet", args={"input_scale": 58.0}), _small("lrn", 90.0), _LRN, 0.0025,
                   normalised=False),
    "alexnet-bn": Net(ModelSpec(name="alexnet-bn", args={"input_scale": 0.225, "bn_eps": 1e-4}), _small("bn", 0.35),
                      _BN, 0.005),
    "plain": Net(None, _small("none", 90.0), _LRN, 0.0025, normalised=False),
    "resnet-50": Net(
        ModelSpec(name="resnet-50", args={"zero_gamma": False, "stride_in_1x1": True, "msra": True, "bn_eps": 1e-4}),
        _RESNET, _RES, 0.025, 1.0),
    "cifar-alexnet": Net(None, _small("lrn", 63.0), _LRN, 0.0025, data="cifar10-any", normalised=False),
    "cifar-alexnet-bn": Net(None, _small("bn", 0.25), _BN, 0.005, data="cifar10-any"),
    "cifar-plain": Net(None, _small("none", 63.0), _LRN, 0.0025, data="cifar10-any", normalised=False),
    "cifar-resnet-50": Net(None, _RESNET, _RES, 0.025, 1.0, data="cifar10-any"),
}  # fmt: skip
"""The AlexNets' pixels are on the authors' scale: 255 (LRN) or 255/256 (BN) times the standard deviation of the data.

The residual net's grids were moved up by a factor of two after their first run, whose best rates at the batch for 32K
lay at their upper ends, for SGD and for LARS.
"""
RATES = 8
START = {"sgd": 0.001, "lars": 1.0}
"""Rates at which warm-ups start, or at the run's own where that is lower."""


@dataclass(frozen=True)
class Cell:
    """One condition, at whatever scale: at most one arm for each preset."""

    net: str
    batch: int
    """The paper's."""
    optimizer: str = "sgd"
    variant: str = ""
    """Empty: the best rate. ``below above far linear``: another one (Table 1). ``x2``, ``lr-13``: another γ (Figure 4).
    ``200%``: a longer run (Table 5). ``v3 aug poly``: rows of Table 4."""

    @property
    def times(self) -> float:
        return float(self.variant[:-1]) / 100 if self.variant.endswith("%") else 1.0


def size(batch: int) -> str:
    """The paper's way to write a batch: 8K = 8192."""
    return f"{batch // 1024}k" if batch % 1024 == 0 else str(batch)


def batch_of(cell: Cell, preset: Preset) -> int:
    return cell.batch if preset == "paper" else cell.batch // SHRINK


def best(cell: Cell, preset: Preset) -> float | None:
    """The paper's best rate of this net, batch and optimizer, or the chosen one; None where there is none."""
    cells = PRINTED if preset == "paper" else CHOSEN
    return cells.get(f"{cell.net}-{size(batch_of(cell, preset))}" + ("-lars" if cell.optimizer == "lars" else ""))


V3 = {(256, "poly"): 0.2, (LARGE, "v3"): 0.6, (HUGE, "v3"): 2.5, (MOST, "v3"): 2.9}


def rate(cell: Cell, preset: Preset) -> float | None:
    """The rate of a cell; None where the preset has no such condition."""
    own, v = best(cell, preset), cell.variant
    if cell.net == "resnet-50" and v in ("v3", "poly"):
        return V3[cell.batch, v] if preset == "paper" else None
    if v == "linear":
        base = best(replace(cell, batch=SMALL), preset)
        return scaled_lr(base, cell.batch, SMALL) if base else None
    if v in SIDES and preset == "paper":
        sides = PRINTED_SIDES.get((cell.net, cell.batch))
        return sides[[*SIDES].index(v)] if sides else None
    if v.startswith("lr-"):
        return float(v[3:])
    times = SIDES.get(v) or (float(v[1:]) if v.startswith("x") else 1.0)
    return None if own is None else float(f"{times * own:.3g}")


def arm(cell: Cell, preset: Preset) -> str:
    """The arm's name in the paper's words: ``alexnet-8k-lr-0.03``, ``alexnet-bn-16k-lars-lr-13``."""
    stem, lr = f"{cell.net}-{size(batch_of(cell, preset))}", rate(cell, preset)
    if cell.variant in ("poly", "v3") and (cell.variant == "poly" or cell.batch == LARGE):
        return f"{stem}-{cell.variant}"
    if cell.optimizer == "sgd":
        return f"{stem}-lr-{lr:g}" if lr else f"{stem}-lr-tuned"
    if cell.variant.startswith(("x", "lr-")):
        return f"{stem}-lars-lr-{lr:g}"
    if cell.variant.endswith("%"):
        return f"{stem}-lars-{'aug-' * (cell.net == 'resnet-50')}{round(cell.times * EPOCHS[preset])}-epochs"
    return f"{stem}-lars" + f"-{cell.variant}" * bool(cell.variant)


def paper_spec(cell: Cell, seed: int = 1) -> YouSpec:
    """§5 and the released solvers: poly-2 with a warm-up, momentum 0.9 with the rate inside, decay 5e-4 of everything.

    Batch norm takes the share of one of eight GPUs, 1,024 images at most.
    """
    net, lr, epochs = NETS[cell.net], rate(cell, "paper") or 1.0, EPOCHS["paper"]
    resnet, v3 = cell.net == "resnet-50", cell.variant in ("v3", "poly")
    warm = net.warmup[cell.optimizer] * epochs
    if (cell.optimizer == "sgd" and cell.batch == SMALL) or (resnet and cell.batch == 256):
        warm = 0.0
    elif resnet and cell.batch >= HUGE and not v3:
        warm = 12.0
    longer = resnet and cell.variant.endswith("%")
    return YouSpec(
        paper="you",
        arm=arm(cell, "paper"),
        preset="paper",
        seed=seed,
        protocol=PROTOCOL,
        model=net.full or net.small,
        data=DataSpec(name="imagenet", augment="imagenet" if cell.variant == "aug" or longer else "imagenet-crop"),
        batch_size=cell.batch,
        bn_batch=min(cell.batch // 8, 1024) if net.normalised else None,
        epochs=90 if v3 else baseline_epochs(cell) or round(cell.times * epochs),
        lr=lr,
        warmup_epochs=warm,
        warmup_lr=min(START[cell.optimizer], lr) if warm else 0.0,
        optimizer=OptimizerSpec(
            name=cell.optimizer, momentum_form="absorbed", weight_decay=1e-4 if resnet and v3 else 5e-4
        ),
        local_rates=cell in FIGURE_2,
    )


def baseline_epochs(cell: Cell) -> int | None:
    """128 for AlexNet-BN without LARS at 512 (Figure 1 and the text); 100 elsewhere, as Table 1 says."""
    return 128 if (cell.net, cell.batch, cell.optimizer) == ("alexnet-bn", SMALL, "sgd") else None


FIGURE_2 = tuple(Cell("alexnet-bn", b, "lars") for b in (256, 1024, LARGE))
LOCAL = tuple(Cell("alexnet-bn", b, "lars") for b in (SMALL, MID, LARGE))
"""Figure 2 at reduced scale, from runs that Table 3 needs anyway."""
FIGURE_3 = (Cell("alexnet-bn", SMALL), Cell("alexnet-bn", LARGE), Cell("alexnet-bn", LARGE, "lars"))


def reduced(spec: YouSpec, cell: Cell) -> YouSpec:
    """The cell on 4,096 images for 16 epochs: 4,096 updates at the small batch, 64 at the largest."""
    return _shrunk(spec, cell, "reduced")


def smoke(spec: YouSpec, cell: Cell) -> YouSpec:
    """The cell on digits in a second: it shows that the plumbing works and nothing else."""
    tiny = {"width": 2, "stem_stride": 1} | ({"hidden": 16} if cell.net != "resnet-50" else {})
    small = _shrunk(spec, cell, "smoke")
    model = ModelSpec(name=small.model.name, args={**small.model.args, **tiny})
    return small.but(model=model, data=DataSpec(name="digits", train_size=IMAGES["smoke"]))


def _shrunk(spec: YouSpec, cell: Cell, preset: Preset) -> YouSpec:
    net, batch, lr = NETS[cell.net], batch_of(cell, preset), rate(cell, preset) or 1.0
    return spec.but(
        preset=preset,
        arm=arm(cell, preset),
        model=net.small,
        data=DataSpec(name=net.data, train_size=IMAGES[preset]),
        batch_size=batch,
        bn_batch=min(batch, LARGE // SHRINK) if net.normalised else None,  # the paper's cap sets in at 8K
        epochs=round(cell.times * EPOCHS[preset]),
        eval_every=1 if preset == "smoke" or cell in (*LOCAL, *FIGURE_3) else 8,
        lr=lr,
        warmup_epochs=spec.warmup_epochs * EPOCHS[preset] / EPOCHS["paper"],
        warmup_lr=min(spec.warmup_lr, lr),
        local_rates=cell in LOCAL,
    )


def made(cell: Cell, preset: Preset, seed: int = 1) -> YouSpec:
    """The cell's arm of a preset."""
    spec = paper_spec(cell, seed)
    return spec if preset == "paper" else {"reduced": reduced, "smoke": smoke}[preset](spec, cell)
