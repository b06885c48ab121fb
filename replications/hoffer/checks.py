"""The paper's exact statements, and what its numbers and its released code say beside it, as cases in double precision.

Every function takes nothing and returns ``[(case, holds)]``. What is printed or plotted is read from ``reference/``.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np

from replications.hoffer import method
from shared.printed import Printed
from shared.stats.rules import fits_better

Cases = list[tuple[str, bool]]
NETS = ("f1", "c1", "r44", "vgg", "c3", "wrn")
SIZES = {"MNIST": 60_000, "CIFAR": 50_000}
LARGE = 4096
RELEASED_BASE = 256
"""From which main_normal.py scales rates and epochs; main_gbn.py has 128."""
ERROR = "val/error"


PAGES = Printed(Path(__file__).parent, ERROR)
printed = PAGES.mean


def covariance() -> Cases:
    """cov(Δw) ∝ η²/M: the √ rule and the multiplicative noise both give a large batch the small one's covariance.

    For draws with replacement and a zero mean gradient the formula is exact: all draws of a tiny case are gone through.
    """
    rng = np.random.default_rng(0)
    g = rng.normal(size=(50, 4))
    here = method.update_covariance(g, 0.1, 128)
    cases = []
    for large in (256, 2048, LARGE):
        scaled = method.update_covariance(g, method.sqrt_scaled(0.1, large), large)
        noisy = method.update_covariance(g, 0.1, large, method.noise_variance(large))
        linear = method.update_covariance(g, 0.1 * large / 128, large)
        cases += [
            (f"{large}: √ scaling keeps the covariance", np.allclose(scaled, here)),
            (f"{large}: noise of variance M/S − 1 keeps it at the small batch's rate", np.allclose(noisy, here)),
            (f"{large}: linear scaling multiplies it by {large // 128}", np.allclose(linear, here * large / 128)),
        ]
    three = g[:3] - g[:3].mean(axis=0)
    exact = _enumerated(three, 0.1, 0.0)
    noisy = _enumerated(three, 0.1, 3.0)
    return [
        *cases,
        ("batches of 2 of 3 examples, all 9: cov = η²/M·E[ggᵀ]", _same(exact, method.update_covariance(three, 0.1, 2))),
        ("… with noise, all 36: (1 + σ²) times that", _same(noisy, method.update_covariance(three, 0.1, 2, 3.0))),
        ("4096 against 128: σ² = 31, σ = 5.57", f"{method.noise_variance(LARGE):g} {31**0.5:.2f}" == "31 5.57"),
    ]


def _enumerated(g: np.ndarray, lr: float, variance: float) -> np.ndarray:
    """Covariance of −η·mean(z·g) over all pairs of examples and all z = 1 ± σ, by going through them."""
    signs = (1 - math.sqrt(variance), 1 + math.sqrt(variance))
    steps = np.array([
        -lr * (g[i] * zi + g[j] * zj) / 2
        for i, j in itertools.product(range(len(g)), repeat=2)
        for zi, zj in itertools.product(signs, repeat=2)
    ])  # fmt: skip
    return steps.T @ steps / len(steps)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-12, atol=1e-15))


def rates() -> Cases:
    """√(|B_L|/|B_S|), and what main_normal.py makes of it, which counts from 256 and scales by default."""
    factor = method.sqrt_scaled(1.0, LARGE)
    return [
        ("4096 from 128: × 5.657", f"{factor:.3f}" == "5.657"),
        ("2048: × 4 from 128, × 2.83 from 256", f"{_root(2048, 128):g} {_root(2048, RELEASED_BASE):.2f}" == "4 2.83"),
        ("main_normal.py without --no-lr_bb_fix runs |B_S| = 128 at × 0.71", f"{_root(128, 256):.2f}" == "0.71"),
        ("F1: η_L = 0.566", f"{method.sqrt_scaled(0.1, LARGE):.3f}" == "0.566"),
    ]


def _root(batch: int, base: int) -> float:
    return method.sqrt_scaled(1.0, batch, base)


def running_statistics() -> Cases:
    """Algorithm 1, corrected: K = |B_L|/|B_S| updates in a row, as the released code makes them."""
    chunks, momentum = LARGE // method.SMALL, 0.1
    rng = np.random.default_rng(1)
    x, old = rng.normal(size=(LARGE, 3)), rng.normal(size=3)
    mean, std = method.ghost_statistics(x, method.SMALL, 1e-5)
    one_by_one = old
    for chunk in mean:
        one_by_one = (1 - momentum) * one_by_one + momentum * chunk
    keep, weights = method.running_weights(chunks, momentum)
    inside = (x.reshape(chunks, -1, 3) - mean[:, None]) / std[:, None]
    centred, scaled = np.allclose(inside.mean(axis=1), 0, atol=1e-12), np.allclose(inside.std(axis=1), 1, atol=1e-4)
    return [
        ("32 updates in a row are the corrected formula", _same(one_by_one, keep * old + weights @ mean)),
        ("its weights add up to 1", math.isclose(keep + weights.sum(), 1)),
        ("the last chunk weighs most", bool((np.diff(weights) > 0).all())),
        ("the old average keeps 3 %", f"{keep:.2f}" == "0.03"),
        ("every ghost batch has mean 0 and deviation 1", centred and scaled),
    ]


def printed_algorithm() -> Cases:
    """Algorithm 1 as printed: (1−η)^|B_S| for the old average, (1−η)^i·η for chunk i of 32."""
    keep, weights = method.printed_running_weights(LARGE // method.SMALL, 0.1)
    constant = keep * 5.0 + weights.sum() * 5.0
    return [
        ("the weights add up to 0.87", f"{keep + weights.sum():.2f}" == "0.87"),
        ("… so that a mean of 5 in every chunk becomes 4.35", f"{constant:.2f}" == "4.35"),
        ("the first chunk weighs most", bool((np.diff(weights) < 0).all())),
        ("the old average counts 10⁻⁶", f"{keep:.0e}" == "1e-06"),
    ]


def partial_batches() -> Cases:
    """The released code cuts the last batch of an epoch into as many chunks as a full one."""
    sizes = (LARGE, SIZES["MNIST"] % LARGE, SIZES["CIFAR"] % LARGE)
    full, mnist, cifar = (method.released_chunks(n, LARGE) for n in sizes)
    return [
        ("a full batch: 32 chunks of 128", full == (128,) * 32),
        ("MNIST: 2,656 images are left, 32 chunks of 83", mnist == (83,) * 32),
        ("CIFAR: 848 are left, 31 chunks of 27 and one of 11, weighted alike", cifar == (27,) * 31 + (11,)),
    ]


def equal_updates() -> Cases:
    """Regime adaptation gives both batches as many updates, up to what a last batch of an epoch is made of."""
    f1, drops = method.adapted(50, ((10, 0.1), (20, 0.01), (30, 0.001)), 32)
    r44, late = method.adapted(100, ((81, 0.1),), 32)

    def both(images: int, epochs: int, keep: bool) -> tuple[int, int]:
        return method.updates(images, 128, epochs, keep), method.updates(images, LARGE, 32 * epochs, keep)

    same = [both(n, e, keep) for n, e, keep in itertools.product((4096, 40960), (16, 50), (True, False))]
    return [
        ("F1: 1,600 epochs, drops at 320, 640 and 960", (f1, *(e for e, _ in drops)) == (1600, 320, 640, 960)),
        ("ResNet44: 3,200 epochs, the drop at 2,592", (r44, late[0][0]) == (3200, 2592)),
        ("where |B_L| divides the images the updates are equal", all(a == b for a, b in same)),
        ("MNIST, partial batches kept (released): 23,450 and 24,000", both(60_000, 50, True) == (23_450, 24_000)),
        ("… left out (here): 23,400 and 22,400", both(60_000, 50, False) == (23_400, 22_400)),
        ("CIFAR, kept: 39,100 and 41,600; left out: 39,000 and 38,400",
         both(50_000, 100, True) + both(50_000, 100, False) == (39_100, 41_600, 39_000, 38_400)),
    ]  # fmt: skip


def momentum_resets() -> Cases:
    """A new optimiser an epoch: the mean gain of momentum 0.9, which is 10 without resets, by updates in an epoch."""
    expected = {"|B_S| on CIFAR": (391, "9.77"), "2048 on CIFAR": (25, "6.66"), "4096 on CIFAR": (13, "4.84"),
                "4096 on MNIST": (15, "5.24")}  # fmt: skip
    cases = [
        (f"{name}, {steps} updates: {gain}", f"{method.momentum_gain(steps, 0.9):.2f}" == gain)
        for name, (steps, gain) in expected.items()
    ]
    half = method.momentum_gain(13, 0.9) / method.momentum_gain(391, 0.9)
    return [*cases, ("|B_L| trains at half the effective rate of |B_S| on CIFAR", 0.45 < half < 0.55)]


def shares_of_the_gap() -> Cases:
    """Table 1: what +LR and +LR+GBN close of SB − LB in percent, and RA − SB in points."""
    shares = {"f1": (41, 45), "c1": (57, 64), "r44": (48, 65), "vgg": (55, 90), "c3": (60, 62), "wrn": (16, 55)}
    over = {"f1": 0.26, "c1": 0.40, "r44": 0.24, "vgg": 0.73, "c3": 1.95, "wrn": -0.13}
    cases: Cases = []
    for net in NETS:
        sb, lb, lr, gbn, ra = (printed("table1", f"{net}-{kind}") for kind in ("sb", "lb", "lr", "gbn", "ra"))
        found = tuple(round(100 * (lb - x) / (lb - sb)) for x in (lr, gbn))
        cases.append((f"{net.upper()}: +LR {shares[net][0]} %, +LR+GBN {shares[net][1]} %", found == shares[net]))
        cases.append((f"{net.upper()}: RA − SB = {over[net]:+.2f}", math.isclose(sb - ra, over[net], abs_tol=1e-9)))
    return cases


def single_runs() -> Cases:
    """Neither table has a spread: steps of a twentieth of a point stand beside steps of three."""
    step = {net: printed("table1", f"{net}-lr") - printed("table1", f"{net}-gbn") for net in NETS}
    alexnet = [printed("table2", f"alexnet-{kind}") for kind in ("ra", "ra-8k")]
    return [
        ("no entry has a standard deviation", not any(r["sd"] for t in ("table1", "table2") for r in PAGES.rows(t))),
        ("+GBN adds 0.05 to F1 and 0.12 to C3", f"{step['f1']:.2f} {step['c3']:.2f}" == "0.05 0.12"),
        ("… and 2.90 to VGG", f"{step['vgg']:.2f}" == "2.90"),
        ("Table 2: RA at 4096 and at 8192 agree in every digit", alexnet[0] == alexnet[1]),
        ("Table 2: +GBN is a point lower at 8192",
         f"{printed('table2', 'alexnet-gbn-8k') - printed('table2', 'alexnet-gbn'):.2f}" == "0.99"),
    ]  # fmt: skip


def figure_1() -> Cases:
    """Figure 1 against Table 1, and what its training errors say."""
    last = {b: printed("fig1", _baseline(b), epoch=99) for b in (128, 256, 512, 1024, 2048)}
    rising = list(last.values())
    train = {b: printed("fig1", _baseline(b), "train/error", epoch=99) for b in (64, 1024)}
    return [
        ("ResNet44's SB in Table 1 is Figure 1's curve of 128", abs(last[128] - printed("table1", "r44-sb")) < 0.2),
        ("the error rises with every doubling from 128", rising == sorted(rising)),
        ("… and once more to Table 1's 4096", printed("table1", "r44-lb") > last[2048]),
        ("1024 fits the training set better than 64", train[1024] < train[64]),
        ("… and validates 3 points worse than 128", 2.5 < last[1024] - last[128] < 3.5),
    ]


def log_or_root() -> Cases:
    """Figure 2a digitised, epochs 2 to 80: ln t fits better up to 512, √t at 1024 and 2048."""
    cases: Cases = []
    for batch in (64, 128, 256, 512, 1024, 2048):
        t, d = _curve(batch)
        apart = np.geomspace(t[0], t[-1], round(8 * math.log2(t[-1] / t[0])))  # as our runs record theirs
        gains = [fits_better(x.tolist(), np.interp(np.log(x), np.log(t), d)[None], "log", "sqrt").estimate
                 for x in (t, apart)]  # fmt: skip
        name = "ln t" if batch <= 512 else "√t"
        cases.append((f"{batch}: {name} fits better", (gains[0] > 0) == (batch <= 512)))
        cases.append((f"{batch}: … also at points evenly spaced in ln t", (gains[1] > 0) == (batch <= 512)))
    exponents = [method.power_fit(*_curve(b))[0] for b in (64, 128, 256, 512, 1024, 2048)]
    return [
        *cases,
        ("the exponent of a power law rises with the batch", exponents == sorted(exponents)),
        ("… from 0.25 to 0.53", f"{exponents[0]:.2f} {exponents[-1]:.2f}" == "0.25 0.53"),
    ]


def axis_of_figure_2() -> Cases:
    """At equal updates the baseline's curves already lie close together: Figure 2a's fan is its axis of epochs."""
    at_epoch = [printed("fig2", _baseline(b), "distance", epoch=80) for b in (64, 128, 256, 512, 1024, 2048)]
    at_update = [method.interpolated(*_curve(b), 1953) for b in (64, 128, 256, 512, 1024, 2048)]
    known = [d for d in at_update if d is not None]
    late = [r for r in PAGES.rows("fig2") if r["arm"].startswith("r44-gbn")]
    adapted = [float(r["mean"]) for r in late if r["global_step"] in ("1900", "1953")]
    return [
        ("after 80 epochs the largest distance is 3.2 times the smallest", f"{_ratio(at_epoch):.1f}" == "3.2"),
        ("after 1,953 updates, the same runs: 1.4 times", len(known) == 6 and f"{_ratio(known):.1f}" == "1.4"),
        ("with +LR+GBN after about 1,900: 1.25 times", len(adapted) == 6 and f"{_ratio(adapted):.2f}" == "1.25"),
    ]


def parameter_counts() -> Cases:
    """The released nets, counted layer by layer."""
    f1 = _dense(784, 512) + 4 * _dense(512, 512) + 5 * 2 * 512 + _dense(512, 10)
    c1 = 3 * 25 * 64 + 64 * 25 * 64 + 2 * 2 * 64 + 64 * 49 * 384 + 384 * 192 + 2 * (384 + 192) + _dense(192, 10)
    return [
        ("F1: 1,462,794", f1 == 1_462_794),
        ("C1: 1,388,490", c1 == 1_388_490),
        ("C1 with Keskar's 8 × 8 map would have 368,640 more", 64 * (64 - 49) * 384 == 368_640),
    ]


def _baseline(batch: int) -> str:
    return "r44-sb" if batch == method.SMALL else f"r44-batch-{batch}"


def _curve(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Updates and distances of Figure 2a."""
    rows = [r for r in PAGES.rows("fig2") if r["arm"] == _baseline(batch)]
    return tuple(np.array([float(r[k]) for r in rows]) for k in ("global_step", "mean"))  # type: ignore[return-value]


def _ratio(values: list[float]) -> float:
    return max(values) / min(values)


def _dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs
