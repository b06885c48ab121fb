"""The paper's exact statements, and its misprints, as cases in double precision: claims that need no training.

Every function takes nothing and returns ``[(case, holds)]``. What is printed or plotted is read from ``reference/``.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from replications.you import method
from replications.you.method import lars_step, local_rate
from shared.printed import Printed

Cases = list[tuple[str, bool]]
Row = dict[str, str]
IMAGES = 1_281_167
ACCURACY, PLOTTED = "val/accuracy", "plotted/accuracy"

# AlexNet's tensors: weights, σ of their Gaussian filler, biases and their value in the authors' AlexNet-BN
FILLERS = {
    "conv1": (96 * 3 * 11**2, 0.01, 96, 0.01),
    "conv2": (256 * 48 * 5**2, 0.01, 256, 0.01),
    "conv3": (384 * 256 * 3**2, 0.01, 384, 0.01),
    "conv4": (384 * 192 * 3**2, 0.01, 384, 0.01),
    "conv5": (256 * 192 * 3**2, 0.01, 256, 0.01),
    "fc6": (4096 * 256 * 6**2, 0.005, 4096, 0.1),
    "fc7": (4096 * 4096, 0.005, 4096, 0.1),
    "fc8": (1000 * 4096, 0.01, 1000, 0.01),
}
PLAIN = {"conv1": 0.0, "conv2": 0.1, "conv3": 0.0, "conv4": 0.1, "conv5": 0.1, "fc8": 0.0}
"""Biases of plain AlexNet where they differ from those of AlexNet-BN."""
TORCHLARS = {"16k": 25.0, "32k": 29.0}
"""Rates at η = 0.001 of the public torchlars benchmark, which gets 73.36 % and 72.26 % there."""


PAGES = Printed(Path(__file__).parent, ACCURACY)
printed = PAGES.mean


# LARS


def trust_ratio() -> Cases:
    """Equations 4 to 6: what the local rate does to one step."""
    w, g, lr = np.array([3.0, -4.0, 12.0]), np.array([0.5, 0.25, -2.0]), 10.0

    def moved(gradient: np.ndarray, decay: float = 0.0, lr: float = lr, trust: float = 0.001) -> np.ndarray:
        return w - lars_step(w, 0 * w, gradient, lr, momentum=0.0, weight_decay=decay, trust=trust)[0]

    decays, bound = (5e-4, 0.1, 10.0), method.largest_step(lr, _length(w))
    steps = [_length(moved(scale * g, b)) for b in (0.0, *decays) for scale in (1e-6, 1.0, 1e6)]
    rates = {(b, norm): local_rate(1.0, norm, weight_decay=b) for b in decays for norm in (0.0, 1e-9, 1.0)}
    sides = [1 / local_rate(1.0, 1.0, weight_decay=1.0, trust=1.0), math.hypot(1, 1)]
    vector = local_rate(1.234, 5.678, weight_decay=1e-4)
    caps = [method.largest_local_rate(b) for b in (5e-4, 1e-4)]
    return [
        ("‖w‖=1.234, ‖∇L‖=5.678, β=1e-4: λ=2.17325e-4", f"{vector:.5e}" == "2.17325e-04"),
        ("β=0: a step is as long as γη‖w‖", _same(steps[1], bound)),
        ("β=0: the loss times 1000 gives the same step", np.allclose(moved(g), moved(1000 * g), rtol=1e-12)),
        ("β>0: … another", not np.allclose(moved(g, 0.1), moved(1000 * g, 0.1), rtol=1e-3)),
        (f"no step of {len(steps)} is longer than γη‖w‖", max(steps) <= bound * (1 + 1e-12)),
        ("β>0: it is reached when ∇L points along w", _same(_length(moved(7 * w, 0.1)), bound)),
        ("… and missed when it points against w", _length(moved(-7 * w, 0.1)) < 0.99 * bound),
        ("λ never exceeds η/β", all(r <= method.largest_local_rate(b) * (1 + 1e-12) for (b, _), r in rates.items())),
        ("η/β is 2 for the AlexNets and 10 for v3's ResNet-50", caps == [2.0, 10.0]),
        ("w=(1,0), ∇L=(0,1), β=1: the paper divides by 2, later code by √2", sides == [2.0, math.sqrt(2)]),
        ("γ and η enter as their product", np.allclose(moved(g, 0.1), moved(g, 0.1, 1.0, 0.01), rtol=1e-12)),
    ]


def momentum_placement() -> Cases:
    """Algorithm 1 has γ inside the buffer; later codes have γ outside, some of them λ too. m = 0.9, gradients 1, 1."""

    def second(form: str, rates: tuple[float, float], locals_: tuple[float, float]) -> float:
        both, ones = np.multiply(rates, locals_), np.ones(2)
        inside = {"A": both, "B": np.array(locals_), "C": ones}[form]
        outside = {"A": ones, "B": np.array(rates), "C": both}[form]
        return float(outside[1] * (0.9 * inside[0] + inside[1]))

    found = {
        f: [round(second(f, *x), 9) for x in (((1, 2), (1, 1)), ((1, 1), (1, 2)), ((1, 1), (1, 1)))] for f in "ABC"
    }
    wanted = {"A": [2.9, 2.9], "B": [3.8, 2.9], "C": [3.8, 3.8]}
    steps = {}
    for inside in (True, False):
        w, v = np.array([2.0]), np.zeros(1)
        for lr in (1.0, 2.0):
            # with gradients along w, λ∇L is ηw: so small an η leaves w, and the gradients, as good as constant
            old, (w, v) = w, lars_step(w, v, w, lr, trust=1e-6, lr_in_momentum=inside)
        steps[inside] = float((old - w)[0]) / 2e-6
    return [
        *((f"form {f}: γ doubled steps {x}, λ doubled {y}", found[f][:2] == [x, y]) for f, (x, y) in wanted.items()),
        ("with γ and λ constant all are the same", len({x[2] for x in found.values()}) == 1),
        ("Algorithm 1 is form A", math.isclose(steps[True], 2.9, rel_tol=1e-5)),
        ("the usual form is form B", math.isclose(steps[False], 3.8, rel_tol=1e-5)),
    ]


def weight_growth() -> Cases:
    """ICLR's bound: ‖w_t‖ < ‖w_0‖·exp(η Σγ) without momentum, whatever the gradients; SGD has none."""
    rates = [method.learning_rate(t, steps=200, lr=14.0, warmup_steps=10, warmup_lr=1.0) for t in range(200)]
    rng, worst, random, plain = np.random.default_rng(0), np.ones(4), np.ones(4), np.ones(4)
    norms = []
    for t, lr in enumerate(rates, 1):
        g = rng.normal(size=4) * 10.0 ** rng.integers(-6, 6)
        random = lars_step(random, 0 * g, g, lr, momentum=0.0, weight_decay=5e-4)[0]
        worst = lars_step(worst, 0 * g, -worst, lr, momentum=0.0)[0]
        plain = plain - lr * method.TRUST * g
        norms.append((_length(random), method.largest_norm(2.0, rates[:t])))
    bound, loose = norms[-1][1], 2.0 * math.exp(method.TRUST * sum(rates))
    area = sum(method.learning_rate(t, steps=9999, lr=3.0) for t in range(9999))
    percent = [round(100 * method.largest_step(10, 1.0, momentum), 9) for momentum in (0.0, 0.9)]
    return [
        ("random gradients of all sizes stay below ‖w_0‖·Π(1+ηγ)", all(a <= b for a, b in norms)),
        ("gradients against w reach it", _same(_length(worst), bound)),
        ("it lies below the exponential", bound < loose),
        ("SGD at the rate ηγ leaves both behind on the same gradients", _length(plain) > 10 * loose),
        ("poly-2 makes Σγ a third of γ_0·T", math.isclose(area, 9999, rel_tol=1e-3)),
        ("γ=10: 1 % of ‖w‖ a step, 10 % with momentum 0.9", percent == [1.0, 10.0]),
    ]


def schedule() -> Cases:
    """Poly-2 with the warm-up of the authors' code, and the updates of their solvers."""

    def rate(step: int, epochs: int = 5, jump: bool = True) -> float:
        return method.learning_rate(step, steps=10_000, lr=1.0, warmup_steps=100 * epochs, warmup_lr=0.1, jump=jump)

    ramp, falls = [rate(t) for t in range(500)], {2: "0.96", 5: "0.90", 10: "0.81"}
    shares = [rate(t) / rate(t, jump=False) for t in range(500, 9000)]
    solvers = ((8192, 15_600, "99.75"), (16_384, 7800, "99.75"), (32_768, 4000, "102.31"))
    epochs = {b: f"{n / method.iterations(IMAGES, b, 1):.2f}" for b, n, _ in solvers}
    return [
        *((f"after {e} of 100 epochs of warm-up γ falls to {to} of γ_0", f"{rate(100 * e, e):.2f}" == to)
          for e, to in falls.items()),
        ("without the jump it is γ_0 there", rate(500, jump=False) == 1.0),
        ("the warm-up starts at its own rate", ramp[0] == 0.1),
        ("… rises in equal steps", np.allclose(np.diff(ramp), 0.9 / 500)),
        ("… up to one step short of γ_0", _same(ramp[-1], 1.0 - 0.9 / 500)),
        ("both end near 0", max(rate(9999), rate(9999, jump=False)) < 2e-8),
        ("past the jump the two differ by under 10 %", all(0.9 < share <= 1 for share in shares)),
        *((f"B={b}: {n:,} updates are {e} epochs", epochs[b] == e) for b, n, e in solvers),
    ]  # fmt: skip


# Tables and figures


def initial_norms() -> Cases:
    """Table 2 (E1): norms of the authors' fillers against those printed at iteration 1."""
    cases: Cases = []
    for layer, (weights, std, biases, value) in FILLERS.items():
        norms = {"weight": method.gaussian_norm(std, weights), "bias": method.constant_norm(value, biases)}
        for tensor, letter in (("weight", "b"), ("bias", "w")):
            shown = _table2("weight_norm", f"{layer}.{tensor}")
            near = [kind for kind, norm in norms.items() if abs(shown / norm - 1) < 0.005]
            cases.append(
                (f"{layer}.{letter}: {shown:g} printed is the {tensor}, {norms[tensor]:.4g}", near == [tensor])
            )
    ratios = {t: [_table2("norm_ratio", f"{layer}.{t}") for layer in FILLERS] for t in ("weight", "bias")}
    odd = {f"{layer}.{t}" for layer in FILLERS for t in ratios if not _consistent(f"{layer}.{t}")}
    meant = _table2("weight_norm", "conv5.bias") / _table2("norm_ratio", "conv5.bias")
    plain = {layer: method.constant_norm(value, FILLERS[layer][2]) for layer, value in PLAIN.items()}
    none_fits = all(abs(_table2("weight_norm", f"{layer}.bias") - norm) > 0.05 for layer, norm in plain.items())
    return [
        *cases,
        ("no bias of plain AlexNet's convolutions or fc8 has the printed norm: the net is AlexNet-BN", none_fits),
        ("the ratios of the weights spread by 14, from 8.48 to 117", _spread(ratios["weight"]) == (8.48, 117.0, 14)),
        ("those of the biases by 234, from 5.76 to 1345", _spread(ratios["bias"]) == (5.76, 1345.0, 234)),
        ("the ratios are those of the printed norms for all but conv5.w", odd == {"conv5.bias"}),
        (f"its gradient, printed 0.0002, should be {meant:.4f}", f"{meant:.4f}" == "0.0023"),
    ]


def linear_scaling() -> Cases:
    """Table 1: with LRN the best rate lags behind linear scaling and a cliff follows; with batch norm it does not."""
    cases: Cases = []
    best = {(net, b): _best(net, b) for net in ("alexnet", "alexnet-bn") for b in (512, 4096, 8192)}
    for net, batch, times in (("alexnet", 4096, 2.5), ("alexnet", 8192, 1.5), ("alexnet-bn", 4096, 9.0),
                              ("alexnet-bn", 8192, 15.0)):  # fmt: skip
        rate, rule = best[net, batch][0], method.scaled_lr(0.02, batch, 512)
        text = f"{net}, {batch}: best at {rate:g}, {times:g} times 0.02, where the rule says {rule:g}"
        cases.append((text, _same(rate, times * best[net, 512][0]) and _same(rule, {4096: 0.16, 8192: 0.32}[batch])))
    lost = {(net, b): round(best[net, 512][1] - accuracy, 1) for (net, b), (_, accuracy) in best.items()}
    diverged = {r["arm"] for r in PAGES.rows("table1") if float(r["mean"]) <= 0.1}
    wide = [float(r["mean"]) for r in PAGES.rows("table1") if r["arm"].startswith("alexnet-bn-8k")]
    return [
        *cases,
        (
            "AlexNet loses 5.7 points at 4K and 14.0 at 8K",
            (lost["alexnet", 4096], lost["alexnet", 8192]) == (5.7, 14.0),
        ),
        ("AlexNet-BN loses 2.2 at 8K", lost["alexnet-bn", 8192] == 2.2),
        ("from 4K to 8K AlexNet's best rate falls", best["alexnet", 8192][0] < best["alexnet", 4096][0]),
        ("only AlexNet diverges, at 0.07 (4K) and 0.05 (8K)", diverged == {"alexnet-4k-lr-0.07", "alexnet-8k-lr-0.05"}),
        ("AlexNet-BN at 8K is within 1.5 points from 0.23 to 0.41", round(max(wide) - min(wide), 1) == 1.5),
    ]


def growth_of_rates() -> Cases:
    """Table 3: LARS' best rate for AlexNet-BN grows more slowly than the batch."""
    rate = {int(r["batch_size"]): float(r["lr"]) for r in PAGES.rows("table3") if r["arm"].startswith("alexnet-bn")}
    power = {b: method.growth_exponent((rate[512], rate[b]), (512, b)) for b in rate if b > 512}
    return [
        ("64 times the batch, 11 times the rate", rate[32_768] / rate[512] == 11),
        ("a power of 0.58 of the batch from 512 to 32K", f"{power[32_768]:.2f}" == "0.58"),
        ("every batch lies below linear scaling", all(p < 1 for p in power.values())),
        ("… and above the square root", all(p > 0.5 for p in power.values())),
        ("from 16K to 32K the rate does not rise", rate[32_768] < rate[16_384]),
    ]


def misprints() -> Cases:
    """Numbers of the paper that contradict each other (E4)."""
    lars = {b: printed("table3", f"alexnet-bn-{b}-lars") for b in ("512", "4k", "32k")}
    v3 = {b: _lr("table4", f"resnet-50-{b}-lars-v3") for b in TORCHLARS}
    eight = [float(r["mean"]) for r in PAGES.rows("table1") if r["arm"].startswith("alexnet-bn-8k")]
    plain = printed("fig3", "alexnet-bn-8k-lr-0.3", PLOTTED, epoch=100)
    base = printed("fig3", "alexnet-bn-512-lr-0.02", PLOTTED, epoch=100)
    at_22, at_17 = (printed("fig4", f"alexnet-bn-32k-lars{x}", PLOTTED) for x in ("", "-lr-17"))
    return [
        ("32K loses 2.4 points to the baseline, not 2.6", round(lars["512"] - lars["32k"], 1) == 2.4),
        ("… 2.6 to LARS at 4K", round(lars["4k"] - lars["32k"], 1) == 2.6),
        (
            "v3's rates of ResNet-50 are a tenth of torchlars'",
            all(_same(10 * lr, TORCHLARS[b]) for b, lr in v3.items()),
        ),
        ("Figure 3's 8192 without LARS ends below every rate of Table 1", plain + 1 < min(eight)),
        ("Figure 3's baseline ends 2 points below Table 1's", round(_best("alexnet-bn", 512)[1] - base) == 2),
        ("Table 3's 57.8 at 32K has rate 22; Figure 4 plots it at 17", at_22 < at_17 == lars["32k"]),
    ]


def plateau_and_cap() -> Cases:
    """Figures 2 and 4: a plateau of γ and its edge; local rates that equation 6 cannot give."""
    wide = {
        b: {float(r["lr"]): float(r["mean"]) for r in PAGES.rows("fig4") if f"-{b}-" in r["arm"]}
        for b in ("16k", "32k")
    }
    flat = {b: [value for lr, value in points.items() if 17 <= lr <= 23] for b, points in wide.items()}
    conv1 = [float(r["mean"]) for r in PAGES.rows("fig2") if r["metric"] == "local_rate/conv1.weight"]
    late = {
        r["arm"]: float(r["mean"])
        for r in PAGES.rows("fig2")
        if r["epoch"] == "100" and r["metric"].endswith("conv5.weight")
    }
    return [
        *((f"{b}: from 17 to 23 within 0.7 points", max(x) - min(x) <= 0.7 + 1e-9) for b, x in flat.items()),
        *((f"{b}: at 30 at least 4 points are lost", wide[b][30] <= max(x) - 4) for b, x in flat.items()),
        ("conv1's weights have local rates above η/β = 2", max(conv1) > method.largest_local_rate(5e-4)),
        ("conv5's fall as the batch grows", list(late.values()) == sorted(late.values(), reverse=True)),
    ]


def _length(x: np.ndarray) -> float:
    return float(np.linalg.norm(x))


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9)


def _table2(metric: str, tensor: str) -> float:
    return printed("table2", "alexnet-bn-norms", f"{metric}/{tensor}")


def _consistent(tensor: str) -> bool:
    """Whether the printed ratio is that of the printed norms, each to a unit of its last digit: some are cut off."""
    units = {r["metric"]: (float(r["mean"]), 2 * float(r["reading_error"])) for r in PAGES.rows("table2")}
    (norm, a), (gradient, b), (ratio, c) = (
        units[f"{m}/{tensor}"] for m in ("weight_norm", "gradient_norm", "norm_ratio")
    )
    return (norm - a) / (gradient + b) - c <= ratio <= (norm + a) / (gradient - b) + c


def _spread(values: list[float]) -> tuple[float, float, int]:
    return min(values), max(values), round(max(values) / min(values))


def _best(net: str, batch: int) -> tuple[float, float]:
    """The rate and the accuracy of the best entry of Table 1."""
    rows = [r for r in PAGES.rows("table1") if r["arm"].rsplit("-", 3)[0] == net and int(r["batch_size"]) == batch]
    best = max(rows, key=lambda r: float(r["mean"]))
    return float(best["lr"]), float(best["mean"])


def _lr(name: str, arm: str) -> float:
    return next(float(r["lr"]) for r in PAGES.rows(name) if r["arm"] == arm)
