"""What a run *is*: frozen, typed, hashed specs; how they are overridden, compared and named.

Semantic fields live in ``RunSpec`` (a paper subclasses it to add its own) and make up the run's identity.
Where and how the run executes lives in ``Execution``: recorded, never hashed, must not change the result.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

Scalar = bool | int | float | str
Preset = Literal["paper", "reduced", "smoke"]
PRESETS: tuple[Preset, ...] = ("paper", "reduced", "smoke")
FORWARD = 0.35
"""Cost of evaluating an image, in units of training on it (one pass of three); for forecasts alone."""


class SpecError(ValueError):
    """A spec or an override that cannot be accepted; the message names the field and the remedy."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    late: ClassVar[frozenset[str]] = frozenset()
    """Fields added after the first runs: at their default they do not enter the hash, so old runs keep their names."""


class ModelSpec(Frozen):
    name: str
    """Key in ``shared.models.MODELS``."""
    args: dict[str, Scalar] = {}
    """Keyword arguments of that builder (width, zero_gamma, …); unknown ones fail when the net is built."""


class DataSpec(Frozen):
    name: str
    """Key in ``shared.datamodules.SOURCES`` (``fashion-mnist``, ``cifar10``, ``imagenet``, ``digits`` …)
    or ``folder:<path>`` / ``zip:<path>`` for an image folder or an archive of one."""
    train_size: int | None = None
    """Images trained on (which ones: ``subset``); None means all that are not held out."""
    holdout: int = 0
    """Images taken from the *training* set to evaluate on instead of the test set (0: the test set)."""
    augment: Literal[
        "none",
        "crop-flip",
        "flip",
        "flip-rotate-shift",
        "grey-crop-flip",
        "shift",
        "shift-flip",
        "imagenet",
        "imagenet-crop",
    ] = "none"
    """See ``shared.datamodules.augment``."""
    pixels: Literal["standardised", "unit", "centred"] = "standardised"
    """Zero mean and unit deviation per channel of the whole training set (held-out and unused images too), plain x/255,
    or 2x/255 − 1."""
    subset: Literal["fixed", "seed"] = "fixed"
    """The images of ``train_size`` and ``holdout`` are the same for every seed, or each seed draws its own."""
    draw: Literal["permutation", "batch", "replacement"] = "permutation"
    """An epoch is one permutation cut into batches; or every batch is drawn afresh from all images, each image at most
    once in it; or every image of every batch is drawn by itself."""

    augment_per: Literal["image", "place"] = "image"
    """In an epoch that holds an image more than once (``draw``): augmented alike each time, or each time by itself."""

    late = frozenset({"pixels", "subset", "draw", "augment_per"})

    @property
    def streamed(self) -> bool:
        """Images of 224 pixels, read from their files as they are needed; all else is held in memory."""
        return self.name == "imagenet" or self.augment.startswith("imagenet")


class OptimizerSpec(Frozen):
    name: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    momentum_form: Literal["reference", "absorbed", "absorbed-corrected", "averaging"] = "reference"
    """Learning rate outside the buffer (Goyal eq. 9), inside (eq. 10), inside with momentum correction; or outside a
    buffer that is a running mean of the gradient, v ← m·v + (1 − m)·g from v = 0, not a sum of it."""
    weight_decay: float = 0.0
    decay_skip: tuple[Literal["bn", "bias"], ...] = ()
    fused: bool = False
    """One kernel for all tensors: faster on small nets; its rounding differs, hence it is part of the identity."""
    trust_coefficient: float = 0.001
    """Of LARS: η of the local rate η‖w‖/(‖g‖+β‖w‖) (You et al. 2017). The fields below are for LARS alone too."""
    adapt_skip: tuple[Literal["bn", "bias"], ...] = ()
    """Parameters that take plain steps, λ = 1, while others are adapted."""
    zero_norm: Literal["one", "formula"] = "one"
    """λ where the weights or the gradient are 0: 1 as in the authors' code, or what the formula gives."""
    trust_clip: bool = False
    """min(λ, γ) in place of γλ (LARC)."""

    late = frozenset({"fused", "trust_coefficient", "adapt_skip", "zero_norm", "trust_clip"})

    @model_validator(mode="after")
    def _possible(self):
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be from 0 to below 1, not {self.momentum:g}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, but is {self.weight_decay:g}")
        return self


class RunSpec(Frozen):
    """One training, identified by everything that may change its result.

    Papers subclass it: schedule and method fields are theirs, and are hashed like the rest.
    """

    paper: str
    arm: str
    preset: Preset
    seed: int
    protocol: int
    """Bumped by hand when code changes meaning, so that old rows are never mixed with new ones."""
    model: ModelSpec
    data: DataSpec
    batch_size: int
    """Samples per optimizer update, over all devices and micro-batches."""
    bn_batch: int | None = None
    """Samples that share batch statistics (Goyal's n per worker, Hoffer's ghost size); None: a whole batch."""
    epochs: int | None = None
    updates: int | None = None
    """Length of the run: exactly one of ``epochs`` and ``updates``."""
    eval_every: int = 1
    """Evaluate every so many epochs (or updates, when the length is given in updates)."""
    lr: float
    """Reference learning rate, after scaling and before warm-up and decay."""
    optimizer: OptimizerSpec = OptimizerSpec()
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    precise_bn: int = 0
    """Training images whose batch statistics are averaged before an extra evaluation (0: none)."""
    task: str = "train"
    """``train``, or a measurement without training: a key of ``TASKS`` in the paper's module."""
    parents: tuple[str, ...] = ()
    """Run ids of the same preset that must be done first, because this run starts from their weights."""

    late = frozenset({"task", "parents"})

    @model_validator(mode="after")
    def _consistent(self):
        if self.task != "train" and (self.epochs or self.updates):
            raise ValueError(f"task {self.task} trains nothing: give neither epochs nor updates")
        if self.task == "train" and (self.epochs is None) == (self.updates is None):
            raise ValueError("give exactly one of epochs and updates")
        for name in ("batch_size", "eval_every", "epochs", "updates", "bn_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.lr < 0:
            raise ValueError(f"lr must not be negative, but is {self.lr:g}")
        if (self.epochs or self.updates or 0) % self.eval_every:
            raise ValueError(f"eval_every={self.eval_every} does not divide the length: the end would not be evaluated")
        if self.bn_batch and self.batch_size > self.bn_batch and self.batch_size % self.bn_batch:
            raise ValueError(f"bn_batch={self.bn_batch} does not divide batch_size={self.batch_size}")
        return self

    def batch_at(self, epoch: int) -> int:
        """Samples per update in an epoch (from 0); a paper whose batch grows overrides it, a function of the epoch."""
        return self.batch_size

    @property
    def batches(self) -> tuple[int, ...]:
        """Every batch of the run, in order of appearance; more than one: the batch grows."""
        return tuple(dict.fromkeys(map(self.batch_at, range(self.epochs or 1))))

    @property
    def takes_diverged(self) -> bool:
        """Whether a parent that diverged is a finding that this run reads, and not an error."""
        return False

    def extra_samples(self, train_size: int) -> float:
        """Work besides training and evaluation, in samples of training; for forecasts alone."""
        return 0.0

    @cached_property  # asked for thousands of times by a report; make copies with ``but``, which starts afresh
    def run_id(self) -> str:
        """``<arm>-s<seed>-<hash>``: W&B id, folder name and the key of skip and resume."""
        return f"{self.arm}-s{self.seed}-{hashlib.sha256(canonical(self).encode()).hexdigest()[:10]}"

    def but(self, **changes: Any):
        """A validated copy with top-level fields replaced."""
        return type(self)(**{**{k: getattr(self, k) for k in type(self).model_fields}, **changes})


class Execution(Frozen):
    """Where and how a run executes: recorded with it, never hashed, must not change its result."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    micro_batch: int | None = None
    """Samples per device and forward pass; None: the whole share of the device."""
    workers: int = 0
    threads: int = 1
    checkpoint_every_s: float = 30.0
    """At most this many seconds of work are lost to a kill -9."""
    progress: bool = False

    @property
    def world_size(self) -> int:
        return self.devices * self.nodes


AnySpec = TypeVar("AnySpec", bound=RunSpec)


def canonical(spec: BaseModel) -> str:
    """The JSON text that identifies a spec: sorted keys, no spaces, shortest exact floats, late fields when set."""
    return json.dumps(_identity(spec), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _identity(spec: BaseModel) -> dict[str, Any]:
    tree = spec.model_dump(mode="json")
    late = {name for kind in type(spec).__mro__ for name in getattr(kind, "late", ())}
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, BaseModel):
            tree[name] = _identity(value)
        if name in late and value == field.default:
            del tree[name]
    return tree


def flatten(spec: BaseModel) -> dict[str, Any]:
    """``{"data.name": …}``: the nested spec as one level of dotted keys (lists stay lists)."""

    def walk(prefix: str, value: Any):
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from walk(f"{prefix}.{key}" if prefix else key, inner)
        elif not isinstance(value, dict):
            yield prefix, value

    return dict(walk("", spec.model_dump(mode="json")))


def diff(theirs: BaseModel, ours: BaseModel, ignore: tuple[str, ...] = ("preset", "seed", "arm", "parents")):
    """``{field: (theirs, ours)}`` wherever two specs differ: the raw material of the deviation ledger."""
    a, b = flatten(theirs), flatten(ours)
    keys = [*a, *(k for k in b if k not in a)]
    return {k: (a.get(k), b.get(k)) for k in keys if k not in ignore and a.get(k) != b.get(k)}


NAMES = ("paper", "arm", "preset", "protocol")
"""Fields that say what a run is called."""


def override(spec: AnySpec, assignments: list[str]) -> AnySpec:
    """Apply command-line overrides ``a.b=c`` (the value is JSON, or else a bare string).

    Raises SpecError for an unknown field, a wrong type or an inconsistent result.
    """
    tree = spec.model_dump(mode="json")
    for text in assignments:
        path, sep, raw = text.partition("=")
        if not sep:
            raise SpecError(f"--set {text!r}: write it as field=value")
        if path in NAMES:
            raise SpecError(f"--set {path}: it names a run and sets nothing; paper, preset and arm have arguments")
        *parents, leaf = path.split(".")
        node: Any = tree
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        free = parents == ["model", "args"]
        if not isinstance(node, dict) or (leaf not in node and not free):
            known = ", ".join(name for name in flatten(spec) if name not in NAMES)
            raise SpecError(f"--set {path}: no such field; there are: {known}")
        try:
            node[leaf] = json.loads(raw)
        except json.JSONDecodeError:
            node[leaf] = raw
    try:
        return parse(type(spec), json.dumps(tree))
    except SpecError as error:
        hint = "; lists are written as JSON: field='[1, 2]'" if "valid array" in str(error) else ""
        raise SpecError(f"{error}{hint}") from None


def parse(kind: type[AnySpec], text: str) -> AnySpec:
    """A spec from its JSON text; SpecError names each field that is wrong."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])) or "spec", e["msg"]) for e in error.errors()]
        lines = [
            f"{where}: {said}".replace("spec: Value error, ", "").replace("Value error, ", "") for where, said in found
        ]
        raise SpecError("; ".join(lines)) from None
