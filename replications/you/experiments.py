"""What is run for You et al. 2017: declarations only; what a condition is stands in ``cells``.

``paper`` has every row of Tables 1, 3, 4 and 5 and every point of Figures 2 to 4. ``reduced`` has 4,096 images and
batches of 16 to 1,024, a quarter of them. Its rates are chosen on held-out images, over one grid of eight for every
batch of a net and optimizer.

    make replicate-you                 reduced: Fashion-MNIST and CIFAR-10, five seeds, two hours on two cores
    make replicate-you PRESET=paper    ImageNet through DATA_DIR, for GPUs
    make smoke-you                     digits, seconds
"""

from __future__ import annotations

import functools
from dataclasses import replace

from replications.you.cells import (
    BATCHES,
    BEST_TRIAL,
    EPOCHS,
    FIGURE_2,
    HUGE,
    LARGE,
    LOCAL,
    MID,
    MOST,
    NETS,
    RATES,
    SIDES,
    SMALL,
    START,
    V3,
    Cell,
    arm,
    batch_of,
    best,
    made,
    size,
)
from replications.you.method import quasi_random
from replications.you.spec import YouSpec
from shared.paper import Sweep
from shared.spec import OptimizerSpec, Preset, RunSpec

SEEDS = (1, 2, 3, 4, 5)
TUNE_SEED = 101
"""Of the runs that choose rates and of the trials: nothing is chosen on a run that is judged."""
HELD_OUT = {"reduced": 4000, "smoke": 100}
PLATEAU = ("x0.25", "x0.5", "x0.71", "x1.41", "x2", "x4")
"""Figure 4 at reduced scale: γ in units of the chosen one. In the paper: every γ plotted but the best."""
PLOTTED = {HUGE: range(10, 32), MOST: range(8, 33)}
UNPLOTTED = {HUGE: (26,), MOST: (9, 26)}
LENGTHS = ("125%", "150%", "175%", "200%")
"""Table 5; the reduced preset has the second and the last."""


# -- which cells a preset has ------------------------------------------------------------------------------------------

BOTH = ("alexnet", "alexnet-bn")


def _table_1(preset: Preset) -> list[Cell]:
    paper, found = preset == "paper", []
    for net in BOTH:
        for batch in BATCHES[:3] if paper else BATCHES:
            wide = batch == LARGE or (paper and batch == MID)
            variants = ("", *(SIDES if wide else ()), *(("linear",) if batch == LARGE else ()))
            found += [Cell(net, batch, variant=v) for v in variants]
    return found


def _plateau(preset: Preset, batch: int) -> list[Cell]:
    cell = Cell("alexnet-bn", batch, "lars")
    printed = (f"lr-{lr}" for lr in PLOTTED[batch] if lr not in (*UNPLOTTED[batch], best(cell, "paper")))
    return [cell, *(replace(cell, variant=v) for v in (printed if preset == "paper" else PLATEAU))]


def _longer(preset: Preset) -> list[Cell]:
    bases = [Cell("alexnet-bn", MOST, "lars"), Cell("alexnet", HUGE, "lars")]
    bases += [Cell("resnet-50", HUGE, "lars", "aug")] if preset == "paper" else []
    lengths = LENGTHS if preset == "paper" else LENGTHS[1::2]
    return [*bases, *(replace(cell, variant=v) for cell in bases for v in lengths)]


def _resnet(preset: Preset) -> list[Cell]:
    if preset != "paper":
        return [Cell("resnet-50", b, o) for b in (1024, LARGE, MOST) for o in ("sgd", "lars")]
    v3 = [Cell("resnet-50", b, "sgd" if v == "poly" else "lars", v) for b, v in V3]
    return [*(Cell("resnet-50", b, "lars", v) for v in ("", "aug") for b in (256, 1024, LARGE, HUGE, MOST)), *v3]


def cells(preset: Preset) -> dict[str, tuple[str, list[Cell]]]:
    """``{sweep: (what it is for, its cells)}`` of the judged runs, in the order in which they should run."""
    found = {
        "sgd": ("SGD with its best rate at every batch, and beside it (Table 1, Figures 1 and 3)", _table_1(preset)),
        "lars": ("LARS at every batch (Table 3, Figures 2 and 3)", [Cell(n, b, "lars") for n in BOTH for b in BATCHES]),
        "plateau": ("LARS around its best rate at the two largest batches (Figure 4)",
                    [cell for b in PLOTTED for cell in _plateau(preset, b)]),
        "epochs": ("LARS for longer at the largest batches (Table 5)", _longer(preset)),
        "resnet": ("A residual net (Table 4)", _resnet(preset)),
    }  # fmt: skip
    if preset == "paper":
        return found | {"local-rates": ("Local rates along training (Figure 2)", list(FIGURE_2))}
    plain = [Cell("plain", LARGE, o) for o in ("sgd", "lars")]
    cifar = [Cell(f"cifar-{net}", LARGE, o) for net in (*BOTH, "plain", "resnet-50") for o in ("sgd", "lars")]
    return found | {
        "plain": ("The net without any normalisation at the batch for 8K", plain),
        "cifar": ("CIFAR-10 at the batch for 8K: is it one data set's story?", cifar),
    }


def tuned(preset: Preset) -> list[Cell]:
    """The cells whose rate is chosen: each once."""
    everything = [cell for _, found in cells(preset).values() for cell in found]
    plain = list(dict.fromkeys(replace(cell, variant="") for cell in everything))
    return plain if preset == "reduced" else [c for c in plain if c.net in BOTH and c.batch == LARGE]


def _tune(preset: Preset) -> tuple[YouSpec, ...]:
    found = []
    for cell in tuned(preset):
        spec = made(cell, preset, TUNE_SEED)
        stem = f"tune-{cell.net}-{size(spec.batch_size)}" + "-lars" * (cell.optimizer == "lars")
        net = NETS[cell.net]
        lowest = net.lars_grid if cell.optimizer == "lars" else net.grid
        for power in range(RATES) if preset == "reduced" else (2, 4):
            lr = lowest * 2**power
            start = min(START[cell.optimizer], lr) if spec.warmup_epochs else 0.0
            found.append(_held_out(spec).but(arm=f"{stem}-lr-{lr:g}", lr=lr, warmup_lr=start, local_rates=False))
    return tuple(found)


def _held_out(spec: YouSpec) -> YouSpec:
    """Evaluated once, at its end, on training images that no run trains on."""
    data = spec.data.model_copy(update={"holdout": HELD_OUT[spec.preset]})
    return spec.but(data=data, eval_every=spec.epochs)


# -- is it needed? Trials with equal budgets (after Nado et al. 2021) -------------------------------------------------

TRIALS, GROUP = 32, 4
LOWEST = {"nesterov": 0.01, "lars": 0.6, "adam": 1e-4}
"""Three decades of rates from here on, around what each optimizer is usually given."""


def trial(name: str, number: int, preset: Preset, seed: int) -> YouSpec:
    """One point of the same box for each optimizer, at the largest batch: rate, weight decay, momentum, warm-up.

    1e3 × the lowest rate, 1e-5 … 1e-2, 1 − m in 0.03 … 0.3, all logarithmic; 0 … 30 % of training. No jump.
    """
    u = quasi_random(number, 4)
    lr, decay, slip = (_digits(x) for x in (LOWEST[name] * 1000 ** u[0], 1e-5 * 1000 ** u[1], 0.3 * 0.1 ** u[2]))
    optimizer = OptimizerSpec(
        name="sgd" if name == "nesterov" else name,
        momentum=_digits(1 - slip),
        momentum_form="absorbed" if name == "lars" else "reference",
        nesterov=name == "nesterov",
        weight_decay=decay,
    )
    spec = made(Cell("alexnet-bn", MOST), preset, seed)
    warm = _digits(0.3 * u[3] * EPOCHS[preset])
    return spec.but(
        arm=f"trial-{name}-{number}", lr=lr, optimizer=optimizer, warmup_epochs=warm, warmup_lr=lr / 10, jump=False
    )


def _digits(x: float) -> float:
    return float(f"{x:.3g}")


def trials(name: str, preset: Preset) -> tuple[YouSpec, ...]:
    count = TRIALS if preset == "reduced" else GROUP
    return tuple(_held_out(trial(name, i, preset, TUNE_SEED)) for i in range(count))


def _needed(preset: Preset, seeds: tuple[int, ...]) -> tuple[Sweep, ...]:
    def search(name: str, task: str, seed: int) -> YouSpec:
        parents = tuple(spec.run_id for spec in trials(name, preset))
        return trial(name, 0, preset, seed).but(arm=f"needed-{name}-{task}", task=task, epochs=None, eval_every=1,
                                                parents=parents)  # fmt: skip

    def again(name: str, seed: int) -> YouSpec:
        return trial(name, BEST_TRIAL[name], preset, seed).but(arm=f"needed-{name}", eval_every=1)

    return (
        Sweep("needed", "The best of 32 trials of each optimizer, trained anew (after Nado et al. 2021)",
              tuple(again(n, s) for n in LOWEST for s in seeds)),
        Sweep("needed-of-four", "Five separate searches of four trials each",
              tuple(search(n, "best-of-4", s) for n in LOWEST for s in seeds)),
        Sweep("needed-curve", "Expected best of k trials", tuple(search(n, "best-of", 1) for n in LOWEST)),
    )  # fmt: skip


# -- Table 2 -----------------------------------------------------------------------------------------------------------


def _norms(preset: Preset, seeds: tuple[int, ...]) -> tuple[YouSpec, ...]:
    """Norms at the first update, of the small net or the full one, and of the full one on random images."""

    def one(seed: int) -> YouSpec:
        spec = made(Cell("alexnet-bn", SMALL if preset == "paper" else LARGE, "lars"), preset, seed)
        return spec.but(arm="alexnet-bn-norms", task="norms", epochs=None, eval_every=1, local_rates=False)

    random = {"arm": "alexnet-bn-norms-random", "random_net": "alexnet-bn", "batch_size": 32, "bn_batch": 32}
    found = [one(s) for s in seeds]
    return tuple(found if preset != "reduced" else [*found, *(one(s).but(**random) for s in seeds)])


# -- what the harness asks for -----------------------------------------------------------------------------------------


@functools.cache
def sweeps(preset: Preset) -> tuple[Sweep, ...]:
    """Every sweep of a preset, in the order in which they should run."""
    seeds = SEEDS if preset != "smoke" else SEEDS[:2]
    found = []
    for name, (says, listed) in cells(preset).items():
        if preset != "smoke" or name in ("sgd", "lars"):
            runs = {s.run_id: s for cell in listed for s in (made(cell, preset, seed) for seed in seeds)}
            found.append(Sweep(name, says, tuple(runs.values())))
    norms = Sweep("norms", "Norms of weights and gradients at the first update (Table 2)", _norms(preset, seeds))
    if preset == "paper":
        return (*found, norms)
    pilot = tuple(spec for name in LOWEST for spec in trials(name, preset))
    return (
        Sweep("tune", "Rates of every net, batch and optimizer, on held-out images", _tune(preset)),
        Sweep("pilot", "32 trials of Nesterov, LARS and Adam at the largest batch, on held-out images", pilot),
        *found,
        norms,
        *_needed(preset, seeds),
    )


@functools.cache
def _arms(preset: Preset) -> dict[str, Cell]:
    """``{arm: its cell}`` of the judged runs; an arm that two cells share belongs to the first."""
    listed = [cell for _, found in cells(preset).values() for cell in found]
    return {arm(cell, preset): cell for cell in reversed(listed)}


OURS = ("alexnet-8k-lr-0.32",)
"""Arms of the paper preset that the paper does not have: linear scaling where it stops short of it."""


def counterpart(spec: RunSpec) -> YouSpec | None:
    """The paper-preset spec that an arm stands for; None for tuning, trials, and what the paper does not have."""
    if spec.arm == "alexnet-bn-norms":
        return _norms("paper", (spec.seed,))[0]
    if spec.preset == "paper":
        return None if spec.arm in OURS else made(_arms("paper")[spec.arm], "paper", spec.seed)
    cell = _arms(spec.preset).get(spec.arm)
    if cell is None or cell.variant == "linear" or cell.variant.startswith("x"):
        return None
    return made(cell, "paper", spec.seed) if arm(cell, "paper") in _arms("paper") else None


PLACES = {"small": SMALL, "mid": MID, "large": LARGE, "huge": HUGE, "most": MOST}
LABELS = {"lrn": "alexnet", "bn": "alexnet-bn", "plain": "plain", "resnet": "resnet-50", "cifar_lrn": "cifar-alexnet",
          "cifar_bn": "cifar-alexnet-bn", "cifar_plain": "cifar-plain", "cifar_resnet": "cifar-resnet-50"}  # fmt: skip


def roles(preset: Preset) -> dict[str, str | tuple[str, ...]]:
    """Whole arms by what they are: ``lrn_large`` SGD's best, ``lrn_large_far`` …, ``bn_most_lars``; batches by place.

    ``lrn_sgd`` and ``lrn_lars``: all batches; ``b_large``: 256 (8k). A role may name an arm that the preset does not
    have. ``resnet_small`` is the batch for 1K: that for Table 4's 256 would be 8.
    """
    found: dict[str, str | tuple[str, ...]] = {
        place: size(batch_of(Cell("alexnet", batch), preset)) for place, batch in PLACES.items()
    }
    for label, net in LABELS.items():
        for optimizer in ("sgd", "lars"):
            found[f"{label}_{optimizer}"] = tuple(arm(Cell(net, batch, optimizer), preset) for batch in BATCHES)
        for place, batch in {**PLACES, **({"small": 1024} if label == "resnet" else {})}.items():
            found[f"{label}_{place}"] = arm(Cell(net, batch), preset)
            found[f"{label}_{place}_lars"] = arm(Cell(net, batch, "lars"), preset)
            for variant in (*SIDES, "linear"):
                found[f"{label}_{place}_{variant}"] = arm(Cell(net, batch, variant=variant), preset)
    paper = preset == "paper"
    for place, batch in (("huge", HUGE), ("most", MOST)):
        cell = Cell("alexnet-bn", batch, "lars")

        def named(*variants: str, cell: Cell = cell) -> tuple[str, ...]:
            return tuple(arm(replace(cell, variant=v), preset) for v in variants)

        found[f"plateau_{place}"] = tuple(arm(c, preset) for c in _plateau(preset, batch))
        inner = tuple(f"lr-{lr}" for lr in range(17, 23) if lr != best(cell, "paper"))
        found[f"inner_{place}"] = named(*(inner if paper else ("x0.71", "x1.41")))
        found[f"edge_{place}"] = named("lr-30" if paper else "x4")[0]
    for label, cell in (("bn", Cell("alexnet-bn", MOST, "lars")), ("lrn", Cell("alexnet", HUGE, "lars"))):
        found[f"{label}_long"], found[f"{label}_longest"] = (
            arm(replace(cell, variant=v), preset) for v in LENGTHS[1::2]
        )
    for place, batch in PLACES.items():
        here = size(batch_of(Cell("alexnet", batch), preset))
        found[f"b_{place}"] = here if paper else f"{here} ({size(batch)})"
    for x, ours, theirs in zip("abc", LOCAL, FIGURE_2, strict=True):  # not the same batches, even in proportion
        found[f"local_{x}"] = arm(theirs if paper else ours, preset)
        printed = size(theirs.batch)
        found[f"b_local_{x}"] = printed if paper else f"{size(batch_of(ours, preset))} (paper: {printed})"
    found["resnet_256_lars"] = arm(Cell("resnet-50", 256, "lars"), preset)
    return found | {"norms_full": "alexnet-bn-norms" if paper else "alexnet-bn-norms-random"}
