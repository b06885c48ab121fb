"""The paper's exact statements, and its misprints, as cases in double precision: claims that need no training.

Every function takes nothing and returns ``[(case, holds)]``. What is printed or plotted is read from ``reference/``.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np

from replications.keskar import method
from shared.printed import Printed

Cases = list[tuple[str, bool]]
Row = dict[str, str]
NETS = ("f1", "f2", "c1", "c2", "c3", "c4")
SB = 256
EXAMPLES = {"MNIST": 60_000, "TIMIT": 721_329, "CIFAR": 50_000}
LB = {"MNIST": 6000, "TIMIT": 72_133, "CIFAR": 5000}
WEIGHTS = {"f1": 1_462_794, "f2": 2_780_085, "c1": 1_757_834, "c2": 14_991_946, "c3": 1_775_204, "c4": 15_038_116}
ACCURACY, FULL, SUBSPACE = "full/test_accuracy", "sharp/full", "sharp/subspace"
READ = 0.2
"""Reading error of a digitised accuracy, in points."""
FAR = 2.0
"""No value of a sample lies further from its mean than (n-1)/√n sd with n-1 in the denominator, √(n-1) with n: for the
five trials 1.79 or 2."""


PAGES = Printed(Path(__file__).parent)
printed = PAGES.mean_sd


def large_batches() -> Cases:
    """§2.2: LB is 10 % of the training set, so ten updates an epoch; SB takes hundreds."""
    cases: Cases = []
    for data, n in EXAMPLES.items():
        cases += [
            (f"{data}: 10 % of {n} is {LB[data]}", method.large_batch(n) == LB[data]),
            (f"{data}: ten updates an epoch, a thousand in 100", 100 * math.ceil(n / LB[data]) == 1000),
            (f"{data}: SB takes at least 19 times as many", math.ceil(n / SB) >= 19 * math.ceil(n / LB[data])),
        ]
    return cases


def parameter_counts() -> Cases:
    """Appendix B: weights, biases and batch norm's γ and β of the nets, counted layer by layer.

    C1 and C3 with the released code's strides: 1 in the convolutions, 2 in the pooling, so that 32 → 16 → 8 pixels.
    """
    mlp = {net: _mlp(*layers) for net, layers in {"f1": (784, 5, 10), "f2": (360, 7, 1973)}.items()}
    shallow = {net: _shallow(classes, side=8) for net, classes in (("c1", 10), ("c3", 100))}
    deep = {net: _deep(classes) for net, classes in (("c2", 10), ("c4", 100))}
    cases = [(f"{net.upper()}: {n:,} parameters", n == WEIGHTS[net]) for net, n in {**mlp, **shallow, **deep}.items()]
    return [
        *cases,
        ("C1 as the text reads, stride 2 and pools of stride 3, 32 → 1 pixel: 209,546", _shallow(10, 1) == 209_546),
        ("F1 without its batch norm would have 1,457,674", mlp["f1"] - 5 * _norm(512) == 1_457_674),
        ("a hundred classes instead of ten: 90 rows of the last layer", deep["c4"] - deep["c2"] == 90 * (512 + 1)),
    ]


def performance_model() -> Cases:
    """Appendix C: with SB at efficiency f_s and LB at 1, LB is faster iff I_l/I_s < B_s/(f_s·B_l)."""
    faster = method.large_batch_is_faster
    grid = list(itertools.product((0.02, 0.3, 0.7, 3.0), (0.01, 0.1, 0.5, 1.0), (0.05, 0.2, 0.9)))
    agree = [faster(i, b, f) == (_seconds(i, 1.0, 1.0) < _seconds(1.0, b, f)) for i, b, f in grid]
    return [
        (f"the inequality is that of the times, on {len(grid)} settings", all(agree)),
        ("f_s = 0.2 and B_s/B_l = 0.1: LB is faster with 0.49 of SB's iterations", faster(0.49, 0.1, 0.2)),
        ("… and slower with 0.51", not faster(0.51, 0.1, 0.2)),
        ("at half of them both take the same time", math.isclose(_seconds(0.5, 1.0, 1.0), _seconds(1.0, 0.1, 0.2))),
        ("with SB as efficient as LB, LB may see no more examples", faster(0.099, 0.1, 1.0) > faster(0.101, 0.1, 1.0)),
    ]


def box_sizes() -> Cases:
    """Equation 3 near |x| ≪ 1, ε = 1e-3: how far the full-space box and that of a random subspace reach."""
    eps, p, n = 1e-3, 100, WEIGHTS["f1"]
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20_000, p))
    shift = a @ (eps * rng.choice([-1.0, 1.0], size=p))
    unit = a / np.linalg.norm(a, axis=0)
    return [
        ("F1, full space: the corner lies ε√n = 1.21 from x", f"{eps * math.sqrt(n):.2f}" == "1.21"),
        ("F1, subspace: a corner lies about ε√(pn) = 12.1 from x", f"{eps * math.sqrt(p * n):.1f}" == "12.1"),
        ("A ~ N(0, 1): a weight moves by ε√p = 0.01", math.isclose(shift.std(), 0.01, rel_tol=0.02)),
        ("… ten times the full space's ε", math.isclose(shift.std() / eps, 10, rel_tol=0.02)),
        (
            "columns of norm 1: all weights together move by 0.01",
            0.005 < float(np.linalg.norm(unit @ np.full(p, eps))) < 0.02,
        ),
        (
            "a loss curved alike in all directions rises 100 times as much in the subspace",
            math.isclose((shift @ shift) / (len(shift) * eps**2), 100, rel_tol=0.04),
        ),
    ]


def epsilon_scaling() -> Cases:
    """Tables 3 and 4: doubling ε doubles a linear rise and quadruples a quadratic one; which entries do neither."""
    below = {"Table 3: F2 SB": 1.54, "Table 4: F1 LB": 1.005}
    above = {"Table 3: F1 LB": 4.78, "Table 3: C1 SB": 4.04, "Table 3: C2 SB": 4.19, "Table 3: C2 LB": 5.28,
             "Table 4: F2 SB": 5.8, "Table 4: C1 LB": 4.65, "Table 4: C2 LB": 4.31, "Table 4: C3 SB": 4.22}  # fmt: skip
    found: dict[str, float] = {}
    for (table, space), net, side in itertools.product(((3, FULL), (4, SUBSPACE)), NETS, ("sb", "lb")):
        wide, narrow = (printed(f"table{table}", f"{net}-{side}", f"{space}@{eps}")[0] for eps in (0.001, 0.0005))
        found[f"Table {table}: {net.upper()} {side.upper()}"] = wide / narrow
    cases = [
        (f"{name}: ×{ratio:g}, {word}", math.isclose(found[name], ratio, abs_tol=0.005))
        for odd, word in ((below, "less than linear"), (above, "more than quadratic"))
        for name, ratio in odd.items()
    ]
    between = {name for name, ratio in found.items() if 2 <= ratio <= 4}
    return [*cases, ("the other 14 of 24 lie between 2 and 4", between == set(found) - set(below) - set(above))]


def slices_against_table() -> Cases:
    """Figure 3's end points, drawn from the five trials by the text, against the five trials of Table 2.

    Statistics of another evaluation batch may shift a net with batch norm by some tenths, not by points.
    """
    cases: Cases = []
    possible = {"F1 LB", "F2 LB", "C1 LB", "C4 SB"}
    for net, (side, alpha) in itertools.product(NETS, (("sb", 0.0), ("lb", 1.0))):
        name = f"{net.upper()} {side.upper()}"
        plotted, _ = printed("fig3", f"{net}-line", "test/accuracy", alpha=alpha)
        mean, sd = printed("table2", f"{net}-{side}", ACCURACY)
        inside = abs(plotted - mean) <= FAR * sd + READ
        verdict = "may be one of the five" if name in possible else "is none of the five"
        cases.append(
            (f"{name}: {plotted:g} plotted, {mean:g} ± {sd:g} printed: {verdict}", inside == (name in possible))
        )
    gaps = {net: _gap("fig3", net) for net in ("c2", "c4")}
    return [
        *cases,
        ("C4: in the plotted pair LB generalises better", gaps["c4"] < -READ),
        ("C2: the plotted gap is under half of the printed one", gaps["c2"] + 2 * READ < 1.98 / 1.9),
    ]


def paths_against_table() -> Cases:
    """Figure 6's last five points (read to 4 %) against the five trials of Table 3, both at ε = 1e-3."""
    cases: Cases = []
    for net, side, agrees in (("f2", "lb", False), ("c1", "sb", False), ("c1", "lb", True)):
        mean, sd = printed("table3", f"{net}-{side}", f"{FULL}@0.001")
        path = [r for r in PAGES.rows("fig6") if r["arm"] == f"{net}-{side}-path" and r["metric"] == f"{FULL}@0.001"]
        last = [float(r["mean"]) for r in sorted(path, key=lambda r: float(r["train_loss"]))[:5]]
        inside = any(abs(value - mean) <= FAR * sd + 0.04 * value for value in last)
        text = f"{net.upper()} {side.upper()}: ends at {min(last):.3g}-{max(last):.3g}, Table 3 has {mean:g} ± {sd:g}"
        cases.append((f"{text}: {'compatible' if agrees else 'excluded'}", inside == agrees))
    return cases


def odd_entries() -> Cases:
    """Tables 3, 4, 6 and 7: entries that contradict the text or each other."""
    eps = {net: (printed("table3", f"{net}-lb", f"{FULL}@0.001")[0], printed("table3", f"{net}-sb", f"{FULL}@0.001")[0])
           for net in NETS}  # fmt: skip
    share = {net: printed("table4", f"{net}-lb", f"{SUBSPACE}@0.001")[0] / eps[net][0] for net in NETS}
    change, better = {}, {}
    for net in NETS:
        plain, there = printed("table2", f"{net}-lb", ACCURACY), printed("table7", f"{net}-lb-conservative", ACCURACY)
        change[net] = there[0] - plain[0]
        better[net] = change[net] > 2 * math.sqrt((plain[1] ** 2 + there[1] ** 2) / 5)
    again = {net: printed("table7", f"{net}-sb", "baseline/test_accuracy") for net in NETS}
    first = {net: printed("table2", f"{net}-sb", ACCURACY) for net in NETS}
    sharper = {n for n in NETS if printed("table7", f"{n}-lb-conservative", f"{FULL}@0.001")[0] > eps[n][0]}
    augmented = printed("table6", "c4-sb-aug", ACCURACY)[0]
    return [
        (
            "Table 3: C3's ratio is 8.7, short of the text's order of magnitude",
            f"{eps['c3'][0] / eps['c3'][1]:.1f}" == "8.7",
        ),
        ("… the other five exceed it", all(lb > 10 * sb for net, (lb, sb) in eps.items() if net != "c3")),
        ("Table 4: LB on C3 reaches 91 % of the full space in 100 random directions", f"{share['c3']:.0%}" == "91%"),
        ("… on the other five nets at most 20 %", all(s < 0.2 for net, s in share.items() if net != "c3")),
        ("Table 7: C3 loses 0.47 by conservative training", math.isclose(change["c3"], -0.47, abs_tol=1e-9)),
        (
            "… the other five gain more than two standard errors",
            {n for n, ok in better.items() if ok} == set(NETS) - {"c3"},
        ),
        ("Table 7: F1, F2 and C3 end sharper than plain LB", sharper == {"f1", "f2", "c3"}),
        ("Table 7 repeats Table 2's SB means", all(again[n][0] == first[n][0] for n in NETS)),
        ("… with other sd for C2 and C4", {n for n in NETS if again[n] != first[n]} == {"c2", "c4"}),
        ("Table 6: augmentation gains SB nothing on C4 (63.05, 63.08 without)", -0.05 < augmented - first["c4"][0] < 0),
    ]


def warm_start_axis() -> Cases:
    """Figure 5: its first SB net is trained (``start_epoch`` counts from 1 here); its legend reads 5E-3 for 5E-4."""
    cases: Cases = []
    for net, chance in (("f2", 100 / 1973), ("c1", 10.0)):
        start, _ = printed("fig5", f"{net}-sb-path", ACCURACY, start_epoch=1)
        after, _ = printed("fig2", f"{net}-sb-path", ACCURACY, epoch=1)
        cases.append((f"{net.upper()} at 0: {start:g} %, far above chance", start > 4 * chance))
        cases.append((f"… within half a point of Figure 2 after one epoch, {after:g} %", abs(start - after) < 0.5))
    wide, other = ([float(r["mean"]) for r in PAGES.rows("fig5") if r["arm"].startswith("c1-lb") and r["metric"] == m]
                   for m in (f"{FULL}@0.001", f"{FULL}@0.0005"))  # fmt: skip
    below = all(b < a for a, b in zip(wide, other, strict=True))
    return [*cases, ("C1: the curve labelled 5E-3 is lower than 1E-3 throughout, as no larger box can be", below)]


def _seconds(iterations: float, batch: float, efficiency: float) -> float:
    """Time of a training, with the time of LB's batch on all nodes as the unit."""
    return iterations * batch / efficiency


def _gap(figure: str, net: str) -> float:
    return (
        printed(figure, f"{net}-line", "test/accuracy", alpha=0.0)[0]
        - printed(figure, f"{net}-line", "test/accuracy", alpha=1.0)[0]
    )


def _dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _norm(channels: int) -> int:
    return 2 * channels


def _mlp(inputs: int, hidden: int, classes: int, width: int = 512) -> int:
    layers = _dense(inputs, width) + (hidden - 1) * _dense(width, width) + hidden * _norm(width)
    return layers + _dense(width, classes)


def _shallow(classes: int, side: int) -> int:
    """C1 and C3: two 5×5 convolutions with 64 filters, ``side``² pixels behind them, then 384, 192, classes."""
    convolutions = _dense(3 * 25, 64) + _dense(64 * 25, 64) + 2 * _norm(64)
    return convolutions + _dense(64 * side**2, 384) + _norm(384) + _dense(384, 192) + _norm(192) + _dense(192, classes)


def _deep(classes: int) -> int:
    """C2 and C4: 3×3 convolutions in five stacks, each halving the 32 pixels, then 512, classes."""
    channels = [3] + [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    convolutions = sum(_dense(9 * a, b) + _norm(b) for a, b in itertools.pairwise(channels))
    return convolutions + _dense(512, 512) + _norm(512) + _dense(512, classes)
