"""What is run for Smith and Le 2017: declarations only.

Everything runs at the paper's own scale (preset ``paper``): 1,000 MNIST images, a 784-800-10 net, 10,000 updates.
``reduced`` repeats the batch and rate sweeps on Fashion-MNIST, which the authors never used.

Arms: ``b-30`` is the paper's run at batch 30 (ε = 1, m = 0.9, N = 1,000); ``eps-3-b-65``, ``n-5000-b-150``,
``m-0-b-45`` vary ε, N and m in the main convention, ``acc-…`` in the other one, ``l2-…`` adds Appendix B's penalty.
``bopt-…`` are tasks that read the finished runs of one curve and record its peak; ``fit-…``, the exponents over those,
are derived (``laws``). Every arm of a seed trains on the same images from the same start.

    make replicate-smith_a                               all but N = 40,000 and 60,000, and Fashion-MNIST
    make replicate-smith_a PRESET=paper ARGS="--sweep sizes-large"   those two
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any, Literal

from replications.smith_a.grids import (
    ACC_EPS,
    ACC_GRID,
    CANDIDATES,
    CHOSEN,
    FAMILIES,
    GRID,
    N_LARGE,
    OTHER,
    TUNE_BATCHES,
    TUNE_LRS,
    TUNED,
)
from replications.smith_a.method import updates_at
from replications.smith_a.spec import Convention, Evidence, SmithASpec
from shared.paper import Sweep
from shared.spec import DataSpec, ModelSpec, OptimizerSpec, Preset, RunSpec

PROTOCOL = 1
SEEDS = (1, 2, 3, 4, 5)
PILOT_SEEDS = (101, 102)
TUNE_SEED = 101
"""Of their own: nothing is chosen on a run that is judged."""
HELD_OUT = 10000

BATCH, FULL = 30, 1000
"""Figures 3, 8 and 9."""
UPDATES = 10000
L2 = 0.1
"""λ of Appendix B on the summed cost."""

EPOCHS_GRID = (100, 1000)
"""Run for as many epochs as ``b-30``: 300."""
PILOT_GRID = (5, 10, 20, 30)
PILOT_UPDATES = 2000
PILOT_EVALS = 10
EVALS = 10
"""Evaluations of a run, evenly spaced: one on 10,000 images costs as much as forty updates at batch 30."""
FINE = 100
"""Updates between evaluations of the arms whose curves are shown (Figures 3 and 8)."""
OWN_SCALE = ("pilot", "tune", "evidence", "gradients", "gap", "batch-size", "rates", "sizes", "sizes-time",
             "momentum", "accumulating", "l2", "linear", "tuned", "epochs", "sampling", "widths")  # fmt: skip
"""Sweeps of the paper preset that two cores can bear: all but N = 40,000 and 60,000."""


def optimizer(convention: Convention, momentum: float = 0.9, weight_decay: float = 0.0) -> OptimizerSpec:
    return OptimizerSpec(momentum=momentum, momentum_form=convention.form, weight_decay=weight_decay, fused=True)


def paper_spec(
    arm: str, batch: int, seed: int, *, convention: Convention = CHOSEN, eps: float = 1.0, momentum: float = 0.9,
    n: int = 1000, width: int = 800, l2: float = 0.0, **changes,
) -> SmithASpec:  # fmt: skip
    """§4 and §5: N random MNIST images, 784-800-10 relu net, constant rate ε, 10,000/ε updates.

    L2 is the paper's λ on the summed cost, hence λ/N on the mean.
    """
    updates = updates_at(eps)
    fields: dict[str, Any] = {
        "model": ModelSpec(name="mlp", args={"hidden": str(width), "init": convention.init}),
        "data": DataSpec(name="mnist", train_size=n, pixels=convention.pixels, subset="seed"),
        "updates": updates,
        "eval_every": FINE if arm in SHOWN else updates // EVALS,
        **changes,
    }
    return SmithASpec(
        paper="smith_a", arm=arm, preset="paper", seed=seed, protocol=PROTOCOL, batch_size=batch, lr=eps,
        optimizer=optimizer(convention, momentum, l2 / n), **fields,
    )  # fmt: skip


SHOWN = ("b-30", "b-1000", "l2-b-30", "l2-b-1000")


# -- one curve of accuracy against B, and its peak ---------------------------------------------------------------------


def task(name: str, arm: str, parents: Iterable[SmithASpec], **changes) -> SmithASpec:
    """A measurement on finished runs."""
    parents = tuple(parents)
    fields = {"updates": None, "epochs": None, "eval_every": 1, "parents": tuple(p.run_id for p in parents)}
    return parents[0].but(arm=arm, task=name, **{**fields, **changes})


def main_curve(seed: int) -> tuple[SmithASpec, ...]:
    return tuple(paper_spec(f"b-{b}", b, seed) for b in GRID)


def curve(family: str, value: float, seed: int) -> tuple[SmithASpec, ...]:
    """One seed's runs over B at a value of what the family varies."""
    if value == FAMILIES[family].base:
        return main_curve(seed)
    later = round(UPDATES * value / 1000)  # an update lasts ε/N
    # the paper varies m at a fixed number of updates, whatever the effective rate
    length = {"updates": UPDATES, "eval_every": UPDATES // EVALS}
    by_family: dict[str, dict[str, Any]] = {
        "eps": {"eps": float(value)},
        "n": {"n": int(value)},
        "time-n": {"n": int(value), "updates": later, "eval_every": later // EVALS},
        "m": {"momentum": float(value)},
        "acc-m": {"momentum": float(value), "convention": OTHER, "eps": ACC_EPS, **length},
        "width": {"width": int(value)},
    }
    grid = FAMILIES[family].grids[value]
    return tuple(paper_spec(f"{family}-{value:g}-b-{b}", b, seed, **by_family[family]) for b in grid)


def peak(name: str, runs: tuple[SmithASpec, ...]) -> SmithASpec:
    """B_opt of one seed's curve."""
    room = (runs[0].data.train_size or 0) + HELD_OUT <= 60000
    return task("b-opt", f"bopt-{name}", runs, held_out=HELD_OUT if room else 0)


def peaks(family: str, seed: int, values: Iterable[float] = ()) -> tuple[SmithASpec, ...]:
    return tuple(peak(f"{family}-{v:g}", curve(family, v, seed)) for v in tuple(values) or FAMILIES[family].values)


def fit(family: str, seed: int, values: Iterable[float] = (), name: str = "") -> SmithASpec:
    """The exponent of B_opt over a family, for one seed: no run, see ``laws``."""
    return task("fit", f"fit-{name or family}", peaks(family, seed, values), axis=FAMILIES[family].axis, held_out=0)


def _whole(family: str) -> tuple[SmithASpec, ...]:
    values = FAMILIES[family].values
    runs = [s for seed in SEEDS for v in values for s in curve(family, v, seed)]
    return (*runs, *(s for seed in SEEDS for s in peaks(family, seed)))


def _fits(family: str, values: Iterable[float] = (), name: str = "") -> tuple[SmithASpec, ...]:
    return tuple(fit(family, seed, values, name) for seed in SEEDS)


# -- E1, E8 ------------------------------------------------------------------------------------------------------------


def evidence(labels: Literal["true", "random", "iid"], seed: int) -> SmithASpec:
    """Figures 1 and 2: one draw of 800 images and their labels; the test set is drawn from the other images."""
    return paper_spec(f"evidence-{labels}", 800, seed, task="evidence", evidence=Evidence(labels=labels), updates=None,
                      eval_every=1, n=60000, model=ModelSpec(name="linear"))  # fmt: skip


def gradients(seed: int) -> SmithASpec:
    """Figure 9: one weight of the softmax layer at the start, over single images and over batches of 30."""
    return paper_spec("gradient-histogram", BATCH, seed, task="gradient-histogram", updates=None, eval_every=1)


# -- controls that the paper lacks -------------------------------------------------------------------------------------


def _held_out(n: int = 1000, pixels: Literal["unit", "standardised"] = "unit") -> DataSpec:
    return DataSpec(name="mnist", train_size=n, holdout=HELD_OUT, pixels=pixels, subset="seed")


def _pilot() -> tuple[SmithASpec, ...]:
    return tuple(
        paper_spec(f"pilot-{c.name}-b-{b}", b, seed, convention=c, data=_held_out(pixels=c.pixels),
                   updates=PILOT_UPDATES, eval_every=PILOT_UPDATES // PILOT_EVALS)
        for c in CANDIDATES for b in PILOT_GRID for seed in PILOT_SEEDS
    )  # fmt: skip


def _tune() -> tuple[SmithASpec, ...]:
    length: dict[str, Any] = {"updates": UPDATES, "eval_every": UPDATES // EVALS}
    return tuple(paper_spec(f"tune-b-{b}-lr-{lr:g}", b, TUNE_SEED, eps=lr, data=_held_out(), **length)
                 for b in TUNE_BATCHES for lr in TUNE_LRS)  # fmt: skip


def tuned_arm(batch: int) -> str:
    """Where the best rate is the paper's, the run at hand."""
    return f"b-{batch}" if TUNED[batch] == 1 else f"tuned-b-{batch}"


def _tuned(seed: int) -> list[SmithASpec]:
    length: dict[str, Any] = {"updates": UPDATES}
    runs = []
    for b, lr in TUNED.items():
        arm = tuned_arm(b)
        every: dict[str, Any] = {} if arm in SHOWN else {"eval_every": UPDATES // EVALS}
        runs.append(paper_spec(arm, b, seed, eps=lr, **length, **every))
    return runs


def _epochs(seed: int) -> list[SmithASpec]:
    updates = {b: round(300 * (1000 // b) / EVALS) * EVALS for b in EPOCHS_GRID}
    return [paper_spec(f"epochs-b-{b}", b, seed, updates=u, eval_every=u // EVALS) for b, u in updates.items()]


def _sampling(seed: int) -> list[SmithASpec]:
    """Batches drawn afresh from all images, without and with replacement: the latter has noise g = ε at B = N."""
    of = DataSpec(name="mnist", train_size=1000, pixels=CHOSEN.pixels, subset="seed")
    drawn = {"fresh": ("batch", (30,)), "replacement": ("replacement", (30, 1000))}
    return [paper_spec(f"{name}-b-{b}", b, seed, data=of.model_copy(update={"draw": draw}))
            for name, (draw, batches) in drawn.items() for b in batches]  # fmt: skip


def _each(make) -> tuple[SmithASpec, ...]:
    return tuple(s for seed in SEEDS for s in make(seed))


@functools.cache
def _paper_sweeps() -> tuple[Sweep, ...]:
    linear = ModelSpec(name="linear")
    return (
        Sweep("pilot", "Which momentum, initialisation and pixels have the paper's threshold", _pilot()),
        Sweep("tune", "The rate for each batch, on a held-out split, with equal budget", _tune()),
        Sweep("evidence", "Bayesian evidence of logistic regression against λ (Fig 1, 2)",
              tuple(evidence(k, s) for k in ("true", "random", "iid") for s in SEEDS)),
        Sweep("gradients", "Distribution of a gradient at the start (Fig 9)", tuple(gradients(s) for s in SEEDS)),
        Sweep("gap", "Small against full batch along training (Fig 3)",
              _each(lambda s: [paper_spec(f"b-{b}", b, s) for b in (BATCH, FULL)])),
        Sweep("batch-size", "Accuracy after 10,000 updates against B (Fig 4)",
              _each(lambda s: [*main_curve(s), peak("main", main_curve(s))])),
        Sweep("rates", "B_opt against the rate (Fig 5)", _whole("eps"), _fits("eps")),
        Sweep("sizes", "B_opt against the number of training images (Fig 6)", _whole("n"), _fits("n")),
        Sweep("sizes-time", "B_opt against the number of training images after as much time, not as many updates",
              _each(lambda s: [*curve("time-n", 3000, s), *peaks("time-n", s, (3000,))])),
        Sweep("momentum", "B_opt against momentum that averages the gradient (Fig 7)", _whole("m"), _fits("m")),
        Sweep("accumulating", "Figures 4 and 7 with momentum that sums the gradient",
              (*_each(lambda s: [paper_spec(f"acc-b-{b}", b, s, convention=OTHER) for b in ACC_GRID]),
               *_whole("acc-m")), _fits("acc-m")),
        Sweep("l2", "Small against full batch with L2 (Fig 8)",
              _each(lambda s: [paper_spec(f"l2-b-{b}", b, s, l2=L2) for b in (BATCH, FULL)])),
        Sweep("linear", "Small against full batch in softmax regression (§4)",
              _each(lambda s: [paper_spec(f"linear-b-{b}", b, s, model=linear) for b in (BATCH, FULL)])),
        Sweep("tuned", "Each batch at its own best rate: does the peak survive?", _each(_tuned)),
        Sweep("epochs", "As many epochs for every batch instead of as many updates", _each(_epochs)),
        Sweep("sampling", "Batches drawn afresh, without and with replacement", _each(_sampling)),
        Sweep("widths", "B_opt against the width of the net (Park et al. 2019)", _whole("width"), _fits("width")),
        Sweep("sizes-large", "Accuracy against B at N = 40,000 and 60,000: for a GPU (Fig 6)",
              tuple(s for seed in SEEDS for s in (*curve("n", 40000, seed), *curve("n", 60000, seed),
                                                  *peaks("n", seed, N_LARGE))),
              _fits("n", (20000, *N_LARGE), "n-large")),
    )  # fmt: skip


# -- smaller presets ---------------------------------------------------------------------------------------------------

FASHION_GRID = (10, 20, 30, 45, 65, 100, 150, 220)
FASHION_EPS = {3.0: (*FAMILIES["eps"].grids[3.0], 330, 500, 750, 1000), 10.0: FAMILIES["eps"].grids[10.0]}
"""At ε = 3 extended after its runs, twice, as the best batch was the last: to the full batch, where ε = 10 ends too."""
TINY = ModelSpec(name="mlp", args={"hidden": "16", "init": CHOSEN.init})
SMOKE_GRID = (10, 30, 100, 1000)


def reduced(spec: SmithASpec) -> SmithASpec:
    """The arm on Fashion-MNIST, all else as in the paper."""
    data = spec.data.model_copy(update={"name": "fashion-mnist"})
    return spec.but(preset="reduced", arm=f"fashion-{spec.arm}", data=data)


def smoke(spec: SmithASpec) -> SmithASpec:
    """A tiny net on digits for 20 updates: it shows that the plumbing works and nothing else."""
    small = {"train": 20, "test": 50, "lambdas": (1e-3, 1e3, 5)}
    n = min(spec.data.train_size or 1000, 1000)
    return spec.but(
        preset="smoke",
        model=TINY if spec.model.name == "mlp" else spec.model,
        data=spec.data.model_copy(update={"name": "digits", "train_size": n}),
        updates=20 if spec.updates else None,
        eval_every=2 if spec.updates else 1,
        held_out=min(spec.held_out, 400),
        evidence=spec.evidence and spec.evidence.model_copy(update=small),
    )


def _smoke_sweeps() -> tuple[Sweep, ...]:
    runs: list[SmithASpec] = []
    tasks: list[SmithASpec] = []
    fits: list[SmithASpec] = []
    for seed in SEEDS[:2]:
        curves = {n: tuple(smoke(paper_spec(f"{name}b-{b}", b, seed, n=n)) for b in SMOKE_GRID if b <= n)
                  for n, name in ((500, "n-500-"), (1000, ""))}  # fmt: skip
        bopt = [task("b-opt", f"bopt-n-{n}", made, held_out=400) for n, made in curves.items()]
        runs += [*curves[1000], *curves[500]]
        tasks += [*(smoke(evidence(kind, seed)) for kind in ("true", "random")), smoke(gradients(seed)), *bopt]
        fits.append(task("fit", "fit-n", bopt, axis="train_size", held_out=0))
    return (Sweep("batch-size", "Accuracy against B (Fig 4, 6)", tuple(runs)),
            Sweep("tasks", "Evidence, gradients, B_opt and its exponent (Fig 1, 2, 6, 9)",
                  tuple(tasks), tuple(fits)))  # fmt: skip


def _fashion(eps: float, seed: int) -> tuple[SmithASpec, ...]:
    grid = FASHION_GRID if eps == 1 else FASHION_EPS[eps]
    prefix = "" if eps == 1 else f"eps-{eps:g}-"
    return tuple(reduced(paper_spec(f"{prefix}b-{b}", b, seed, eps=float(eps))) for b in grid)


def _reduced_sweeps() -> tuple[Sweep, ...]:
    eps = (1, *FASHION_EPS)
    curves = {(e, s): _fashion(e, s) for e in eps for s in SEEDS}
    bopt = {(e, s): task("b-opt", f"fashion-bopt-eps-{e:g}", c, held_out=HELD_OUT) for (e, s), c in curves.items()}
    fits = [task("fit", "fashion-fit-eps", [bopt[e, s] for e in eps], axis="lr", held_out=0) for s in SEEDS]
    main = [x for s in SEEDS for x in curves[1, s]]
    return (
        Sweep("fashion", "Accuracy against B on Fashion-MNIST (Fig 4)", tuple(main)),
        Sweep("fashion-rates", "B_opt against the rate on Fashion-MNIST (Fig 5)",
              (*(x for e in FASHION_EPS for s in SEEDS for x in curves[e, s]), *bopt.values()), tuple(fits)),
    )  # fmt: skip


def sweeps(preset: Preset) -> tuple[Sweep, ...]:
    """Every sweep of a preset, in the order in which they should run."""
    if preset == "paper":
        return _paper_sweeps()
    return _reduced_sweeps() if preset == "reduced" else _smoke_sweeps()


def roles(preset: Preset) -> dict[str, str | tuple[str, ...]]:
    """Names for the arm templates of claims and figures."""
    grid = {"paper": GRID, "reduced": FASHION_GRID, "smoke": SMOKE_GRID}[preset]

    def words(values: Iterable[float]) -> tuple[str, ...]:
        return tuple(f"{v:g}" for v in values)

    return {
        "small": str(BATCH),
        "full": str(FULL),
        "grid": words(grid),
        "eps": words(FAMILIES["eps"].values if preset == "paper" else (1, *FASHION_EPS)),
        "eps_low": "0.1" if preset == "paper" else "1",
        "eps_high": "10",
        "n": words(FAMILIES["n"].values),
        "n_time": ("n-1000", *(f"time-n-{n:g}" for n in FAMILIES["time-n"].grids)),
        "n_large": words((20000, *N_LARGE)),
        "m": words(FAMILIES["m"].values),
        "m_acc": words(FAMILIES["acc-m"].values),
        "width": words(FAMILIES["width"].values),
        "n_high": "20000",
        "tuned": tuple(tuned_arm(b) for b in TUNED),
        "tuned_others": tuple(tuned_arm(b) for b in TUNED if b != BATCH),
        "tuned_small": tuned_arm(BATCH),
        "tuned_full": tuned_arm(FULL),
        "candidate": tuple(c.name for c in CANDIDATES),
    }


OURS = ("pilot-", "tune-", "tuned-", "evidence-iid", "acc-b-", "epochs-", "fresh-",
        "replacement-", "width-", "bopt-width-", "fit-width", "time-", "bopt-time-")  # fmt: skip
"""Arms that the paper does not have."""


def counterpart(spec: RunSpec) -> RunSpec | None:
    """The paper-preset spec that an arm stands for; None for what the paper does not have.

    At paper scale momentum sums gradients, the form of Appendix D, where ours averages them.
    """
    if spec.preset == "paper":
        if spec.arm.startswith(OURS):
            return None
        if spec.optimizer.momentum_form == "averaging":
            return spec.but(optimizer=spec.optimizer.model_copy(update={"momentum_form": "reference"}))
        summed = spec.arm.startswith(("acc-m", "bopt-acc-m", "fit-acc-m"))
        return spec.but(lr=1.0) if summed else spec  # Figure 7 is at the main curve's rate
    return _of_paper().get((re.sub("^fashion-", "", spec.arm), spec.seed))


@functools.cache
def _of_paper() -> dict[tuple[str, int], RunSpec]:
    return {(s.arm, s.seed): s for sweep in _paper_sweeps() for s in sweep.every if not s.arm.startswith(OURS)}
