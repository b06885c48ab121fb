"""What is run for Smith, Kindermans, Ying and Le 2018: declarations only.

The paper's set-up is WRN-16-4 on CIFAR-10 for 200 epochs. ``reduced`` keeps every ratio N/B of it with a quarter of
the images and of every batch, a tenth of the epochs and a narrow WRN-10: 32 → 160 → 800 → 4000 of 12,500 images.
Nothing is tuned: rates, drops and decay are the paper's, which claims that an existing schedule may be kept.

    make replicate-smith_b                 reduced: CIFAR-10, two hours on two cores
    make replicate-smith_b PRESET=paper    CIFAR-10 and ImageNet through DATA_DIR: GPUs
    make smoke-smith_b                     digits, seconds
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import model_validator

from replications.smith_b import method
from shared.paper import Sweep
from shared.spec import DataSpec, ModelSpec, OptimizerSpec, Preset, RunSpec

PROTOCOL = 1
SEEDS, FEW = (6, 7, 8, 9, 10), (6, 7, 8)
"""Runs of seeds 1 to 5 were looked at before the contrasts were paired by seed, so they judge nothing."""
DROPS = (0.3, 0.6, 0.8)
"""Where the noise falls on CIFAR-10, in fractions of the run."""
WINDOWS = {
    "before": (0.2, 0.29),
    "after": (0.31, 0.35),
    "sag": (0.45, 0.59),
    "second": (0.625, 0.775),
    "end": (0.825, 1.0),
}
"""Stretches of training over which Figures 3 and 4 were read: epochs 40-58, 62-68, 90-118, 125-155, 165-203 of 200.

The second reaches to 70 here, without which a run of 20 epochs would have no evaluation in it; it has one.

A run with other drops has them at the same places between its drops.
"""


class SmithBSpec(RunSpec):
    """A run of Smith et al.: how its noise falls. ``lr`` and ``batch_size`` are those of the first phase."""

    schedule: method.Schedule
    drops: tuple[float, ...]
    """When the noise falls, in fractions of the run."""
    factor: float
    """By how much, each time."""
    cap: int | None = None
    """Largest batch, B_max; from there on the rate falls instead."""
    power: int = 1
    """A factor k of the rate stands for k^power of the batch: 2 is the square-root rule."""
    warmup_epochs: float = 0.0
    warmup_lr: float = 0.0
    """A linear warm-up over so many epochs from this rate."""

    @model_validator(mode="after")
    def _growing(self):
        # Assigned for its errors: a rule that makes no sense is refused with the spec.
        batches = {setting.batch for setting in self.rule.phases()}
        if len(batches) > 1 and self.epochs is None:
            raise ValueError("a batch that grows needs a length in epochs: it changes between two of them")
        whole = [drop * (self.epochs or 1) for drop in self.drops] if len(batches) > 1 else []
        if any(abs(epoch - round(epoch)) > 1e-9 for epoch in whole):
            raise ValueError(f"drops {self.drops} of {self.epochs} epochs are not whole epochs, between which to grow")
        if bad := [b for b in batches if self.bn_batch and b > self.bn_batch and b % self.bn_batch]:
            raise ValueError(f"bn_batch={self.bn_batch} does not divide the batch of {min(bad)} to which it grows")
        return self

    @property
    def rule(self) -> method.Rule:
        return method.Rule(self.lr, self.batch_size, self.optimizer.momentum, self.schedule, self.drops, self.factor,
                           self.cap, self.power)  # fmt: skip

    def batch_at(self, epoch: int) -> int:
        return self.rule.at(min(1.0, epoch / self.epochs) if self.epochs else 0.0).batch


@dataclass(frozen=True)
class Setup:
    """Where a preset puts the paper's run on CIFAR-10."""

    model: ModelSpec
    data: DataSpec
    n: int
    batch: int
    cap: int
    """B_max of Section 5.2: about N/10."""
    factor: float
    momentum: float
    """The increased coefficient."""
    epochs: int
    drops: tuple[int, ...]
    """In epochs."""
    seeds: tuple[int, ...]
    few: tuple[int, ...]


def _wrn(**args: Any) -> ModelSpec:
    return ModelSpec(name="wide-resnet", args={"bn_running": "sequential", **args})


SETUPS: dict[Preset, Setup] = {
    "paper": Setup(_wrn(depth=16, k=4), DataSpec(name="cifar10", augment="crop-flip"), 50000, 128, 5120, 5.0, 0.98, 200,
                   (60, 120, 160), SEEDS, SEEDS),
    "reduced": Setup(_wrn(depth=10, k=1, width=8, stem_stride=2),
                     DataSpec(name="cifar10-any", train_size=12500, augment="crop-flip"), 12500, 32, 1280, 5.0, 0.98,
                     20, (6, 12, 16), SEEDS, FEW),
    # Ghost batches of 16 of 640 digits: 16 → 48 → 144 → 432.
    "smoke": Setup(_wrn(depth=10, k=1, width=4, stem_stride=2), DataSpec(name="digits", train_size=640), 640, 16, 160,
                   3.0, 29 / 30, 5, (2, 3, 4), SEEDS[:2], SEEDS[:1]),
}  # fmt: skip
OPTIMIZERS = {
    "": OptimizerSpec(momentum=0.9),
    "nesterov-": OptimizerSpec(momentum=0.9, nesterov=True),
    "sgd-": OptimizerSpec(momentum=0.0),
    "adam-": OptimizerSpec(name="adam", momentum=0.9),
}
LR, ADAM_LR = 0.1, 0.001
RATES = (0.2, 0.4, 0.8, 1.6, 3.2)
"""Of Appendix B, beside 0.1."""
BASIC: tuple[method.Schedule, ...] = ("decay", "hybrid", "increase")


@dataclass(frozen=True)
class Arm:
    """How an arm departs from the schedule of Figure 1a."""

    schedule: method.Schedule = "decay"
    optimizer: str = ""
    lr: float = LR
    up: int = 0
    """Rate and batch at the start times factor^up."""
    momentum: bool = False
    """The increased coefficient, with the batch that goes with it."""
    capped: bool = False
    ghost: bool = True
    power: int = 1
    longer: bool = False
    """More epochs at the first setting: three times the warm-up of the increased momentum."""
    precise: bool = False
    """Test errors by statistics of batch norm taken anew, beside those by running averages."""
    as_many: str = ""
    """As many updates as this arm in place of as many epochs."""


ARMS: dict[str, Arm] = {
    **{f"{prefix}{schedule}": Arm(schedule, prefix, ADAM_LR if prefix == "adam-" else LR)
       for prefix in OPTIMIZERS for schedule in BASIC},
    "increase-capped": Arm("increase", capped=True, precise=True),
    "higher-lr": Arm("increase", up=1, capped=True),
    "higher-momentum": Arm("increase", up=1, momentum=True, capped=True),
    **{f"lr-{lr:g}": Arm(lr=lr) for lr in RATES},
}  # fmt: skip
"""The arms of the paper."""
CONTROLS: dict[str, Arm] = {
    "constant": Arm("constant"),
    "both": Arm("both"),
    "no-ghost": Arm("increase", capped=True, ghost=False, precise=True),
    "adam-sqrt": Arm("increase", "adam-", ADAM_LR, power=2),
    "equal-updates": Arm(as_many="increase"),
    "beyond": Arm(up=3),
    "higher-lr-twice": Arm("increase", up=2, capped=True),  # batches and updates of higher-momentum at momentum 0.9
    "decay-longer": Arm(longer=True),
    "higher-lr-longer": Arm("increase", up=1, capped=True, longer=True),
    "higher-momentum-longer": Arm("increase", up=1, momentum=True, capped=True, longer=True),
}
"""Ours alone."""


def arm(preset: Preset, name: str, seed: int) -> SmithBSpec:
    """The run of an arm on CIFAR-10, or on what stands for it."""
    a, s = {**ARMS, **CONTROLS}[name], SETUPS[preset]
    optimizer = OPTIMIZERS[a.optimizer].model_copy(update={"weight_decay": 5e-4, "fused": True})
    batch = round(s.batch * s.factor**a.up)
    if a.momentum:
        batch = method.scaled(batch, optimizer.momentum, s.momentum)
        optimizer = optimizer.model_copy(update={"momentum": s.momentum})
    most = round(s.batch * s.factor**3)  # the largest batch of Figure 1
    extra = extra_epochs(preset) if a.longer else 0
    epochs = s.epochs + extra
    length: dict[str, Any] = {"epochs": epochs}
    if a.as_many:
        length = {"epochs": None, "updates": _updates(arm(preset, a.as_many, seed), s.n)}
        length["eval_every"] = _divisor(length["updates"], s.epochs)
    return SmithBSpec(
        paper="smith_b",
        arm=name,
        preset=preset,
        seed=seed,
        protocol=PROTOCOL,
        model=s.model,
        data=s.data,
        batch_size=batch,
        bn_batch=s.batch if a.ghost else None,
        lr=a.lr * s.factor**a.up,
        optimizer=optimizer,
        schedule=a.schedule,
        drops=tuple((drop + extra) / epochs for drop in s.drops),
        factor=s.factor,
        cap=s.cap if a.capped else most if a.power > 1 else None,
        power=a.power,
        precise_bn=2 * s.cap if a.precise else 0,
        **length,
    )


def extra_epochs(preset: Preset) -> int:
    """Three times the B/(N(1 − m)) epochs that the accumulator of ``higher-momentum`` takes to warm up, whole."""
    spec = arm(preset, "higher-momentum", 1)
    return round(3 * method.warmup_epochs(spec.batch_size, spec.optimizer.momentum, SETUPS[preset].n))


def _updates(spec: SmithBSpec, n: int) -> int:
    batches = [setting.batch for setting in spec.rule.phases()]
    return int(method.updates(n, spec.epochs or 0, batches, spec.drops))


def _divisor(updates: int, wanted: int) -> int:
    """Updates between evaluations: a divisor of the length that makes at least ``wanted`` of them, as few as can be."""
    return max(d for d in range(1, updates // wanted + 1) if updates % d == 0)


# ImageNet (Sections 5.3 and 5.4), at the paper's scale alone: (schedule, initial batch, rate, momentum, cap)
ImageNet = tuple[method.Schedule, int, float, float, int | None]

INCEPTION: dict[str, ImageNet] = {
    "decay": ("decay", 8192, 3.0, 0.9, None),
    "increase": ("hybrid", 8192, 3.0, 0.9, None),
    "m-0.9": ("increase", 8192, 3.0, 0.9, 65536),
    "m-0.95": ("increase", 16384, 3.0, 0.95, 65536),
    "m-0.975": ("increase", 32768, 3.0, 0.975, 65536),
}
RESNET: dict[str, ImageNet] = {
    "constant": ("decay", 8192, 3.2, 0.9, None),
    "increase": ("increase", 8192, 3.2, 0.9, 16384),
    "double": ("decay", 16384, 6.4, 0.9, None),
}
IMAGENET = {**{f"inception-{k}": v for k, v in INCEPTION.items()}, **{f"resnet-50-{k}": v for k, v in RESNET.items()}}


def imagenet(name: str, seed: int) -> SmithBSpec:
    """90 epochs, the noise a tenth at 30, 60 and 80; ResNet-50 as in Goyal et al., with five epochs of warm-up."""
    schedule, batch, lr, momentum, cap = IMAGENET[name]
    inception = name.startswith("inception")
    ghost = 64 if name.startswith("inception-m") else 32
    return SmithBSpec(
        paper="smith_b",
        arm=name,
        preset="paper",
        seed=seed,
        protocol=PROTOCOL,
        model=ModelSpec(name="inception-resnet-v2" if inception else "resnet-50", args={"bn_running": "sequential"}),
        data=DataSpec(name="imagenet", augment="imagenet"),
        batch_size=batch,
        bn_batch=ghost,
        epochs=90,
        lr=lr,
        optimizer=OptimizerSpec(
            momentum=momentum, nesterov=not inception, weight_decay=1e-4, decay_skip=() if inception else ("bn",)
        ),
        schedule=schedule,
        drops=(30 / 90, 60 / 90, 80 / 90),
        factor=10.0,
        cap=cap,
        warmup_epochs=0.0 if inception else 5.0,
        warmup_lr=0.0 if inception else 0.1,
    )


def reduced(spec: SmithBSpec) -> SmithBSpec:
    """The arm on 12,500 CIFAR-10 images in 20 epochs: N/B as in the paper, 7,800 updates with the first batch."""
    return arm("reduced", spec.arm, spec.seed)


def smoke(spec: SmithBSpec) -> SmithBSpec:
    """The arm on digits in a second or two: it shows that the plumbing works and nothing else."""
    return arm("smoke", spec.arm, spec.seed)


def counterpart(spec: RunSpec) -> SmithBSpec | None:
    """The paper-preset spec that an arm stands for; None for the controls, which are ours alone."""
    if spec.arm in IMAGENET:
        return imagenet(spec.arm, spec.seed)
    return arm("paper", spec.arm, spec.seed) if spec.arm in ARMS else None


def roles(preset: Preset) -> dict[str, str | tuple[str, ...]]:
    """Names for the arm templates of claims and figures."""
    return {
        "grown": BASIC[1:],
        "optimizer": tuple(prefix.removesuffix("-") for prefix in OPTIMIZERS if prefix),
        "high": tuple(f"{lr:g}" for lr in RATES[1:]),
    }


def sweeps(preset: Preset) -> tuple[Sweep, ...]:
    """Every sweep of a preset, in the order in which they should run."""
    s = SETUPS[preset]

    def of(name: str, says: str, arms: tuple[str, ...], seeds: tuple[int, ...] = s.seeds) -> Sweep:
        return Sweep(name, says, tuple(arm(preset, a, seed) for a in arms for seed in seeds))

    faster = ("decay", "increase-capped", "higher-lr", "higher-momentum")
    made = (
        of("schedules", "Decay, hybrid and increase with momentum (Fig 1, 2, 3a)", BASIC),
        of("updates", "Fewer and fewer updates at equal epochs (Fig 5)", faster),
        of("optimizers", "The same schedules with Nesterov, without momentum and with Adam (Fig 3b, 4)",
           tuple(f"{prefix}{a}" for prefix in OPTIMIZERS if prefix for a in BASIC), s.few),
        of("controls", "No decay; decay and growth at once; no ghost batches; equal updates; a batch beyond N/10",
           ("constant", "both", "no-ghost", "equal-updates", "beyond")),
        of("adam-sqrt", "Adam with the batch times 25 where the rate would be divided by 5", ("adam-sqrt",), s.few),
        of("longer", "Three warm-ups of the accumulator more, for every way to start",
           ("higher-momentum-longer", "higher-lr-longer", "decay-longer")),
        of("buffer", "As few updates as with increased momentum, at the usual one", ("higher-lr-twice",)),
        of("rates", "Initial rates at a constant batch (Appendix B)", tuple(f"lr-{lr:g}" for lr in RATES), s.few),
    )  # fmt: skip
    if preset != "paper":
        return made
    inception = tuple(imagenet(f"inception-{k}", seed) for k in INCEPTION for seed in SEEDS)
    resnet = tuple(imagenet(f"resnet-50-{k}", seed) for k in RESNET for seed in SEEDS)
    return (*made, Sweep("inception", "Inception-ResNet-V2 on ImageNet (Fig 6, 7)", inception),
            Sweep("resnet-50", "ResNet-50 on ImageNet (Section 5.4)", resnet))  # fmt: skip
