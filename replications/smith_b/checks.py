"""The paper's exact statements as cases; they decide the claims that need no training.

Every function takes nothing and returns ``[(case, holds)]``.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from replications.smith_b import method
from replications.smith_b.experiments import IMAGENET, SETUPS, SmithBSpec, arm, imagenet
from shared.spec import Preset

Cases = list[tuple[str, bool]]
CIFAR, IMAGES = 50_000, 1_281_167

# Figure 1 and Section 5.2: arm → rate and batch of each phase. After the first phase those of the last two arms and of
# ImageNet are derived, batch by cap and rate by what the cap leaves over.
PHASES = {
    "decay": ((0.1, 128), (0.02, 128), (0.004, 128), (0.0008, 128)),
    "hybrid": ((0.1, 128), (0.1, 640), (0.02, 640), (0.004, 640)),
    "increase": ((0.1, 128), (0.1, 640), (0.1, 3200), (0.1, 16000)),
    "increase-capped": ((0.1, 128), (0.1, 640), (0.1, 3200), (0.032, 5120)),
    "higher-lr": ((0.5, 640), (0.5, 3200), (0.16, 5120), (0.032, 5120)),
    "higher-momentum": ((0.5, 3200), (0.16, 5120), (0.032, 5120), (0.0064, 5120)),
    "inception-decay": ((3.0, 8192), (0.3, 8192), (0.03, 8192), (0.003, 8192)),
    "inception-increase": ((3.0, 8192), (3.0, 81920), (0.3, 81920), (0.03, 81920)),
    "inception-m-0.9": ((3.0, 8192), (2.4, 65536), (0.24, 65536), (0.024, 65536)),
    "inception-m-0.95": ((3.0, 16384), (1.2, 65536), (0.12, 65536), (0.012, 65536)),
    "inception-m-0.975": ((3.0, 32768), (0.6, 65536), (0.06, 65536), (0.006, 65536)),
    "resnet-50-increase": ((3.2, 8192), (0.64, 16384), (0.064, 16384), (0.0064, 16384)),
}
# arm → (updates of 200, or on ImageNet 90, epochs by N/B; what the paper says of them, least and most)
UPDATES = {
    "decay": (78_125, 75_000, 85_000),
    "hybrid": (34_375, 34_000, 35_000),
    "increase": (28_875, 28_500, 29_500),
    "increase-capped": (29_141, 28_500, 29_500),
    "higher-lr": (6_406, 0, 6_500),
    "higher-momentum": (2_305, 0, 2_500),
    "inception-decay": (14_075, 14_000, 14_500),
    "inception-increase": (5_630, 0, 6_000),
    "inception-m-0.9": (5_865, 0, 6_000),
    "inception-m-0.95": (3_519, 0, None),
    "inception-m-0.975": (2_346, 0, 2_500),
    "resnet-50-constant": (14_075, 0, None),
    "resnet-50-increase": (9_384, 0, None),
    "resnet-50-double": (7_038, 0, None),
}
"""Arm: (updates by arithmetic, least and most that the paper says; None where no count is known but from memory)."""
# batch, momentum, images → epochs that the accumulator takes to warm up
WARMUPS = (
    (128, 0.9, CIFAR, "0.026"),
    (3200, 0.98, CIFAR, "3.2"),
    (5120, 0.98, CIFAR, "5.1"),
    (8192, 0.9, IMAGES, "0.06"),
    (32_768, 0.975, IMAGES, "1.0"),
    (65_536, 0.975, IMAGES, "2.0"),
)


def _declared(name: str) -> SmithBSpec:
    return imagenet(name, 1) if name in IMAGENET else arm("paper", name, 1)


def _images(name: str) -> int:
    return IMAGES if name in IMAGENET else CIFAR


def _close(a: float, b: float, rel: float = 1e-12) -> bool:
    return math.isclose(a, b, rel_tol=rel)


def _prints(value: float, text: str) -> bool:
    return f"{value:.{len(text.partition('.')[2])}f}" == text


def _noises(spec: SmithBSpec, n: int, exact: bool) -> list[float]:
    return [method.noise_scale(*setting, n, exact=exact) for setting in spec.rule.phases()]


def schedules() -> Cases:
    """Figure 1, Section 5.2 and what follows from it for ImageNet."""
    cases: Cases = []
    for name, phases in PHASES.items():
        spec = _declared(name)
        found = spec.rule.phases()
        same = all(_close(s.lr, lr) and s.batch == batch for s, (lr, batch) in zip(found, phases, strict=True))
        noise = _noises(spec, _images(name), exact=False)
        falls = all(_close(a / b, spec.factor) for a, b in pairwise(noise))
        cases += [
            (f"{name}: " + " → ".join(f"({lr:g}, {batch})" for lr, batch in phases), same),
            (f"{name}: εN/(B(1-m)) falls by {spec.factor:g} at every step", falls),
        ]
    start = [_noises(_declared(name), CIFAR, False)[0] for name in ("decay", "higher-lr", "higher-momentum")]
    inception = [_noises(_declared(f"inception-m-{m}"), IMAGES, False)[0] for m in ("0.9", "0.95", "0.975")]
    decay = _declared("decay")
    at = {epoch: decay.rule.at(epoch / 200).lr for epoch in (0, 59, 60, 119, 120, 159, 160, 199)}
    rates = [lr for lr in (0.1, 0.02, 0.004, 0.0008) for _ in range(2)]
    capped = method.Rule(0.1, 128, 0.9, "increase", (0.3, 0.6, 0.8), cap=128).phases()
    return [
        *cases,
        ("the arms of Figure 5 start at the same noise scale", all(_close(g, start[0]) for g in start)),
        ("so do the three momenta of Figure 7", all(_close(g, inception[0]) for g in inception)),
        ("steps at epochs 60, 120 and 160 of 200", all(map(_close, at.values(), rates))),
        ("a cap at the first batch is the decaying schedule", all(
            _close(a.lr, b.lr) and a.batch == b.batch for a, b in zip(capped, decay.rule.phases(), strict=True))),
    ]  # fmt: skip


def update_counts() -> Cases:
    """Updates by N/B, and that the declared runs, which leave out what does not fill a batch, have hardly fewer."""
    cases: Cases = []
    for name, (exact, least, most) in UPDATES.items():
        spec, n = _declared(name), _images(name)
        batches = [setting.batch for setting in spec.rule.phases()]
        epochs = float(spec.epochs or 0)
        real = method.updates(n, epochs, batches, spec.drops, whole=False)
        whole = method.updates(n, epochs, batches, spec.drops)
        # Whole epochs lose less than one update each.
        cases += [
            (f"{name}: {exact:,} updates", round(real) == exact),
            (f"{name}: ours are {whole:,.0f}", real - epochs < whole <= real),
        ]
        if most is not None:
            cases.append((f"{name}: the paper says {least:,} to {most:,}", least <= real <= most))
    # "80,000" is where the curves end: 205 epochs.
    longer = [method.updates(CIFAR, 205, b, (60 / 205, 120 / 205, 160 / 205), whole=False)
              for b in ((128,) * 4, (128, 640, 640, 640), (128, 640, 3200, 16000))]  # fmt: skip
    return [
        *cases,
        ("momentum 0.95: not below 3,500, which the paper has from memory", UPDATES["inception-m-0.95"][0] > 3500),
        ("205 epochs make 80,078, 34,766 and 28,891", [round(u) for u in longer] == [80_078, 34_766, 28_891]),
    ]


def noise() -> Cases:
    """Exact and approximate noise scale along Figure 1, and at the limits that the paper gives."""
    along = {exact: _noises(_declared("increase"), CIFAR, exact) for exact in (False, True)}
    decayed = _noises(_declared("decay"), CIFAR, True)
    approximate = ("390.6", "78.1", "15.6", "3.13")
    start = [_noises(_declared(name), CIFAR, True)[0] for name in ("decay", "higher-lr", "higher-momentum")]
    steps = np.array([0.1, 0.02, 0.004])
    return [
        ("εN/(B(1-m)) is 390.6, 78.1, 15.6, 3.13", all(map(_prints, along[False], approximate))),
        ("exact, it is 2.13 at a batch of 16,000", _prints(along[True][-1], "2.13")),
        ("… 32 % below that of the decaying rate, 3.12",
         _prints(decayed[-1], "3.12") and _prints(1 - along[True][-1] / decayed[-1], "0.32")),
        ("exact, the arms of Figure 5 start at 389.6, 385.6 and 365.6 for batches of 128, 640 and 3200",
         all(map(_prints, start, ("389.6", "385.6", "365.6")))),
        ("the approximation is too large by B/N: a tenth at N/10",
         _close(method.error_of_approximation(CIFAR / 10, CIFAR), 0.1)
         and _close(1 - method.noise_scale(0.1, CIFAR / 10, 0.9, CIFAR) / method.noise_scale(
             0.1, CIFAR / 10, 0.9, CIFAR, exact=False), 0.1)),
        ("a batch of N has no noise", method.noise_scale(0.1, CIFAR, 0.9, CIFAR) == 0.0),
        ("the cap of 5,120 is N/9.8", _prints(CIFAR / 5120, "9.8")),
        ("without momentum at the same rate the noise is a tenth",
         _close(10 * method.noise_scale(0.1, 128, 0.0, CIFAR), method.noise_scale(0.1, 128, 0.9, CIFAR))),
        ("per unit of drift, steps with momentum 0.9 add up ten times the noise of steps without",
         all(_close(_displacement(0.9, lr) / _displacement(0.0, lr), 10.0, rel=0.02) for lr in steps)),
    ]  # fmt: skip


def _displacement(momentum: float, lr: float, updates: int = 2000) -> float:
    """Variance of the summed steps under unit gradient noise per unit of drift of a unit gradient, in closed form.

    A gradient of update s has moved the weight by ε(1 − m^(t−s))/(1 − m) after update t.
    """
    reach = lr * (1 - momentum ** np.arange(1, updates + 1)) / (1 - momentum)
    return float((reach**2).sum() / reach.sum())


def momentum_warmup() -> Cases:
    """How long an accumulator takes, by the formula and by the recursion itself."""
    cases: Cases = [
        (f"B={batch:,}, m={m:g}, N={n:,}: {text} epochs", _prints(method.warmup_epochs(batch, m, n), text))
        for batch, m, n, text in WARMUPS
    ]
    for m in (0.9, 0.98):
        held = np.array(method.accumulator([1.0] * 1000, m)) * (1 - m)
        t = np.arange(1, 1001)
        after = held[round(1 / (1 - m)) - 1]
        cases += [
            (f"m={m:g}: A is 1 - m^t of its end value", bool(np.allclose(held, 1 - m**t, rtol=0, atol=1e-12))),
            (f"m={m:g}: 63 % of it after 1/(1-m) updates", abs(after - (1 - math.exp(-1))) < 0.02),
            (f"m={m:g}: the warm-up loses m/(1-m) updates in all",
             _close(float((1 - held).sum()), method.lost_updates(m), rel=1e-6)),
        ]  # fmt: skip
    grows = method.warmup_epochs(method.scaled(640, 0.9, 0.98), 0.98, CIFAR) / method.warmup_epochs(640, 0.9, CIFAR)
    return [*cases, ("with B ∝ 1/(1-m) it grows as 1/(1-m)²: 25 times from 0.9 to 0.98", _close(grows, 25.0))]


def reduction() -> Cases:
    """What the reduced preset keeps."""
    paper, ours = SETUPS["paper"], SETUPS["reduced"]
    cases: Cases = []
    names = tuple(name for name in PHASES if name not in IMAGENET)
    shares = {preset: {name: _share(preset, name) for name in UPDATES if name not in IMAGENET} for preset in SETUPS}
    for name in names:
        theirs, mine = (arm(preset, name, 1).rule.phases() for preset in ("paper", "reduced"))
        cases += [
            (f"{name}: the same rates and momentum", all(
                _close(a.lr, b.lr) and a.momentum == b.momentum for a, b in zip(theirs, mine, strict=True))),
            (f"{name}: the same N/B", all(
                _close(paper.n / a.batch, ours.n / b.batch) for a, b in zip(theirs, mine, strict=True))),
            (f"{name}: the same share of updates within 0.2 %",
             abs(shares["paper"][name] - shares["reduced"][name]) < 2e-3),
        ]  # fmt: skip
    three = [round(shares["reduced"][name], 2) for name in ("hybrid", "increase")]
    four = [round(shares["reduced"][name], 3) for name in ("increase-capped", "higher-lr", "higher-momentum")]
    return [
        *cases,
        ("the drops are at 30, 60 and 80 % of training", ours.drops == tuple(
            d * ours.epochs // paper.epochs for d in paper.drops)),
        ("updates 1 : 0.44 : 0.37", three == [0.44, 0.37]),
        ("updates 1 : 0.372 : 0.081 : 0.028", four == [0.372, 0.081, 0.028]),
    ]  # fmt: skip


def _share(preset: Preset, name: str) -> float:
    n = SETUPS[preset].n

    def count(spec: SmithBSpec) -> float:
        return method.updates(n, spec.epochs or 0, [s.batch for s in spec.rule.phases()], spec.drops)

    return count(arm(preset, name, 1)) / count(arm(preset, "decay", 1))
