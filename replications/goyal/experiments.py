"""What is run for Goyal et al. 2017: declarations only.

The paper's set-up is ``paper_spec``: ImageNet, ResNet-50, 90 epochs, batches of 64 … 64k. ``reduced`` and ``smoke`` are
functions of such a spec. Every batch is k workers of n = 32 images: 8192 = 256 × 32, and here 256 = 8 × 32.

    make replicate-goyal                 reduced: Fashion-MNIST, five seeds, an hour and a half on two cores
    make replicate-goyal PRESET=paper    ImageNet through DATA_DIR: 450k updates of ResNet-50 for each base run
    make smoke-goyal                     digits, seconds
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from replications.goyal.method import scaled_lr
from shared.paper import Sweep
from shared.spec import DataSpec, ModelSpec, OptimizerSpec, Preset, RunSpec

PROTOCOL = 1

# Chosen on the `tune` and `pilot` runs of the reduced preset, by rules that look at held-out images alone:
# BASE_LR: the rate with the lowest mean hold-out error at the small batch (a tie goes to the smaller rate). The
# grid is widened by a factor 2 while its best lies on its edge: added when the first five rates had it there.
# LARGE: the largest batch up to which every pilot batch stays within 0.5 points of the base's mean hold-out error.
BASE_LR = 0.4
LARGE = 128


class GoyalSpec(RunSpec):
    """A run of Goyal et al.: §2.2's warm-up and §5.1's step schedule, in epochs counted from the start."""

    warmup: Literal["none", "constant", "gradual"]
    warmup_epochs: float
    warmup_lr: float
    """Rate at which a gradual warm-up starts and at which a constant one stays: the small batch's rate."""
    milestones: tuple[int, ...]
    decay: float


@dataclass(frozen=True)
class Setup:
    """Where a preset puts the paper's batches."""

    base: int
    base_lr: float
    large: int
    """The last batch that keeps the base's error: 8k in the paper."""
    grid: tuple[int, ...]
    seeds: tuple[int, ...]


SETUPS: dict[Preset, Setup] = {
    "paper": Setup(256, 0.1, 8192, tuple(64 * 2**i for i in range(11)), (1, 2, 3, 4, 5)),
    "reduced": Setup(32, BASE_LR, LARGE, tuple(32 * 2**i for i in range(7)), (1, 2, 3, 4, 5)),
    "smoke": Setup(32, 0.05, 128, (32, 64, 128, 256), (1, 2)),
}
TUNE_LRS = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PILOT_SEEDS = (101, 102)
"""Tuning and pilot runs have seeds of their own: nothing is chosen on a run that is judged."""


@dataclass(frozen=True)
class Variant:
    """How an arm departs from linear scaling with gradual warm-up at its batch."""

    factor: float = 1.0
    rule: Literal["linear", "sqrt", "fixed"] = "linear"
    warmup: Literal["none", "constant", "gradual"] = "gradual"
    zero_gamma: bool = True
    net: str = "resnet-50"


VARIANTS = {
    "": Variant(),
    "-no-warmup": Variant(warmup="none"),
    "-constant-warmup": Variant(warmup="constant"),
    "-lr-x0.5": Variant(factor=0.5),
    "-lr-x2": Variant(factor=2.0),
    "-fixed-lr": Variant(rule="fixed"),
    "-sqrt-lr": Variant(rule="sqrt"),
    "-gamma-1": Variant(zero_gamma=False),
    "-resnet-101": Variant(net="resnet-101"),
}


def size(batch: int) -> str:
    """The paper's way to write a batch: 1k = 1024."""
    return f"{batch // 1024}k" if batch % 1024 == 0 else str(batch)


def _rates(variant: Variant, batch: int, setup: Setup) -> dict[str, Any]:
    """η̂ = kη under the arm's rule; a warm-up only above the base batch (§5.1), starting from the base's rate always."""
    return {
        "lr": scaled_lr(variant.factor * setup.base_lr, batch, setup.base, variant.rule),
        "warmup": variant.warmup if batch > setup.base else "none",
        "warmup_lr": setup.base_lr,
    }


def paper_spec(batch: int, suffix: str = "", seed: int = 1) -> GoyalSpec:
    """§5.1: 90 epochs, η̂ = 0.1·kn/256, ÷10 at 30/60/80, gradual warm-up over 5 epochs when kn > 256."""
    variant = VARIANTS[suffix]
    return GoyalSpec(
        paper="goyal",
        arm=f"kn-{size(batch)}{suffix}",
        preset="paper",
        seed=seed,
        protocol=PROTOCOL,
        model=ModelSpec(name=variant.net, args={"zero_gamma": variant.zero_gamma}),
        data=DataSpec(name="imagenet", augment="imagenet"),
        batch_size=batch,
        bn_batch=32,
        epochs=90,
        optimizer=OptimizerSpec(momentum=0.9, nesterov=True, weight_decay=1e-4, decay_skip=("bn",)),
        precise_bn=_precise_bn(batch, suffix, SETUPS["paper"], 8192),
        warmup_epochs=5.0,
        milestones=(30, 60, 80),
        decay=0.1,
        **_rates(variant, batch, SETUPS["paper"]),
    )


def reduced(spec: GoyalSpec) -> GoyalSpec:
    """The arm on Fashion-MNIST, 18 epochs of 8,192 images: 4,608 updates at the base, 72 at the largest batch."""
    return _shrunk(
        spec,
        "reduced",
        model=ModelSpec(name="resnet-small", args={**spec.model.args, "width": 8}),
        data=DataSpec(name="fashion-mnist", train_size=8192, augment="flip"),
        epochs=18,
        warmup_epochs=1.0,
        milestones=(6, 12, 16),
    )


def smoke(spec: GoyalSpec) -> GoyalSpec:
    """The arm on digits in a second: it shows that the plumbing works and nothing else."""
    return _shrunk(
        spec,
        "smoke",
        model=ModelSpec(name="resnet-small", args={**spec.model.args, "width": 4}),
        data=DataSpec(name="digits", train_size=640),
        epochs=3,
        warmup_epochs=1.0,
        milestones=(2,),
    )


SHRINK = {"reduced": reduced, "smoke": smoke}


def _shrunk(spec: GoyalSpec, preset: Preset, **changes) -> GoyalSpec:
    suffix, setup = _suffix(spec.arm), SETUPS[preset]
    batch = _place(spec.batch_size, suffix, SETUPS["paper"], setup)
    arm = f"kn-{size(batch)}{suffix}"
    rates = _rates(VARIANTS[suffix], batch, setup)
    precise = _precise_bn(batch, suffix, setup, 1024)
    return spec.but(preset=preset, arm=arm, batch_size=batch, precise_bn=precise, **rates, **changes)


def _precise_bn(batch: int, suffix: str, setup: Setup, images: int) -> int:
    """Fig 4 needs recomputed statistics at the base and the last good batch; elsewhere that evaluation is saved."""
    return images if not suffix and batch in (setup.base, setup.large) else 0


def _place(batch: int, suffix: str, there: Setup, here: Setup) -> int:
    """The grid keeps k = kn/base; an ablation keeps its role: at the base, the last good batch or twice that."""
    roles = {there.base: here.base}
    if suffix:
        roles |= {there.large: here.large, 2 * there.large: 2 * here.large}
    return roles.get(batch, batch * here.base // there.base)


def _suffix(arm: str) -> str:
    return re.sub(r"^kn-\d+k?", "", arm)


def counterpart(spec: RunSpec) -> GoyalSpec | None:
    """The paper-preset spec that an arm stands for; None for what is ours alone.

    These are tuning and pilot runs, and ablations at twice the last good batch.
    """
    suffix = _suffix(spec.arm)
    if not spec.arm.startswith("kn-") or (suffix and spec.batch_size == 2 * SETUPS[spec.preset].large):
        return None
    return paper_spec(_place(spec.batch_size, suffix, SETUPS[spec.preset], SETUPS["paper"]), suffix, spec.seed)


def roles(preset: Preset) -> dict[str, str | tuple[str, ...]]:
    """Batches by the part they play, for the arm templates of claims and figures."""
    s = SETUPS[preset]
    return {
        "base": size(s.base),
        "double": size(2 * s.base),
        "large": size(s.large),
        "twice": size(2 * s.large),
        "grid": tuple(map(size, s.grid)),
        "good": tuple(size(b) for b in s.grid if b <= s.large and b != s.base),
        "bad": tuple(size(b) for b in s.grid if b > s.large),
    }


def sweeps(preset: Preset) -> tuple[Sweep, ...]:
    """Every sweep of a preset, in the order in which they should run."""
    s, paper = SETUPS[preset], SETUPS["paper"]

    def arms(*cells: tuple[int, str]) -> tuple[GoyalSpec, ...]:
        made = []
        for batch, suffix in dict.fromkeys(cells):
            for seed in s.seeds:
                theirs = paper_spec(_place(batch, suffix, s, paper), suffix, seed)
                made.append(theirs if preset == "paper" else SHRINK[preset](theirs))
        return tuple(made)

    twice = 2 * s.large
    plain = ((s.base, ""), (s.large, ""))
    warmups = tuple((b, f"-{w}-warmup") for b in (s.large, twice) for w in ("no", "constant"))
    rates = [(s.base, "-lr-x0.5"), (s.base, "-lr-x2"), (2 * s.base, "")]
    rates += [(s.large, x) for x in ("-lr-x0.5", "-lr-x2", "-fixed-lr", "-sqrt-lr")]
    judged = (
        Sweep("batch-size", "Error against batch under linear scaling (Fig 1, 3, 4)", arms(*((b, "") for b in s.grid))),
        Sweep("warmup", "No, constant and gradual warm-up (Table 1, Fig 2)", arms(*plain, (twice, ""), *warmups)),
        Sweep("lr-rules", "Rate halved, doubled, √k and fixed (Table 2a, Fig 5)", arms(*plain, *rates)),
        Sweep("gamma", "γ = 0 or 1 in the last batch norm of a block (Table 2b)",
              arms(*plain, (s.base, "-gamma-1"), (s.large, "-gamma-1"))),
    )  # fmt: skip
    if preset == "paper":
        deep = arms((s.base, "-resnet-101"), (s.large, "-resnet-101"))
        return (*judged, Sweep("resnet-101", "A deeper net at the base and at 8k (Table 2c)", deep))
    return (*_chosen_on_holdout(preset), *judged)


def _chosen_on_holdout(preset: Preset) -> tuple[Sweep, ...]:
    """The runs that set BASE_LR and LARGE: evaluated on images held out of the training set, never on the test set."""
    s = SETUPS[preset]
    lrs = TUNE_LRS if preset == "reduced" else TUNE_LRS[2:4]
    seeds = PILOT_SEEDS if preset == "reduced" else PILOT_SEEDS[:1]

    def held_out(batch: int, arm: str, seed: int, **changes) -> GoyalSpec:
        spec = SHRINK[preset](paper_spec(_place(batch, "", s, SETUPS["paper"]), "", seed))
        holdout = 10000 if preset == "reduced" else 100
        data = DataSpec(**{**spec.data.model_dump(), "holdout": holdout})
        return spec.but(arm=arm, data=data, precise_bn=0, **changes)

    small = f"tune-kn-{size(s.base)}-lr"
    tune = [held_out(s.base, f"{small}-{lr:g}", seed, lr=lr, warmup_lr=lr) for lr in lrs for seed in seeds]
    pilot = [held_out(b, f"pilot-kn-{size(b)}", seed) for b in s.grid for seed in seeds]
    return (
        Sweep("tune", "Base rate at the small batch, on a held-out split", tuple(tune)),
        Sweep("pilot", "Where the last good batch is, on a held-out split", tuple(pilot)),
    )
