"""The figures and tables of Keskar et al. 2017 as declarations: same series, axes, units and order as printed.

``sharp/…`` is Metric 2.1 over the whole training set, as in Tables 3 and 4; ``sharp10k/…`` over its first 10,000
images, which is what the other runs measure.
"""

from __future__ import annotations

from dataclasses import replace

from replications.keskar.arms import WARM
from replications.keskar.experiments import EARLY, TUNE_LRS
from shared.report.declare import Cell, Curves, Panel, Points, Row, Series, Table
from shared.spec import Preset

NETS = ("f1", "f2", "c1", "c2", "c3", "c4")
PLOTTED = ("f1", "f2", "c1")
"""Nets of Figures 2, 4, 5 and 6: the paper has F2 and C1, we F1."""
PART = "sharp10k"
SIGN = f"{PART}/full-sign@0.001"
TEST, TRAIN, LOSS = "full/test_accuracy", "full/train_accuracy", "full/train_loss"
RATIO = "lr÷batch_size"
LONGER = "f1-lb-[37c]*"
"""LB with three steps a batch (``3-steps``, ``conservative``) or with ``7020-updates``."""
SHORTER = f"*f1-{{}}* but {LONGER}"
SHARPNESS = "sharpness, % of 1 + f"
EPS = (("1e-3", "0.001"), ("5e-4", "0.0005"))
ENDS = ((0.0, "SB"), (1.0, "LB"))
BATCHES = (("SB", "sb", "base"), ("LB", "lb", "large"))
SOLVERS = (("L-BFGS-B from x", "full", "solid"), ("L-BFGS-B on the sum", "full-sum", "dash"),
           ("L-BFGS-B, random start", "full-random", "dash"), ("sign-gradient ascent", "full-sign", "dot"))  # fmt: skip


def _accuracies(title: str, net: str, suffix: str = "", **options) -> Panel:
    """Figure 2: train dashed and test solid; ours are the means over an epoch, as the paper's seem to be."""
    series = [
        Series(f"{batch} {split}", f"{net}-{arm}{suffix}", f"100-{part}/error", color, dash,
               printed_arm=f"{net}-{arm}-path", printed_metric=f"full/{split}_accuracy")
        for batch, arm, color in BATCHES
        for split, part, dash in (("train", "train", "dash"), ("test", "val", "solid"))
    ]  # fmt: skip
    return Panel(title, tuple(series), **options)


def _slices(net: str, kind: str) -> tuple[Panel, Panel]:
    """Figures 3 and 7: left and right axis of the paper as two panels; train solid, test dashed."""

    def both(metric: str, label: str, color: str) -> Panel:
        lines = (
            Series(s, f"{net}-{kind}", f"{s}/{metric}", color, d) for s, d in (("train", "solid"), ("test", "dash"))
        )
        return Panel(f"{net.upper()}, {label}", tuple(lines), y_label=label)

    return both("loss", "cross-entropy", "other"), both("accuracy", "accuracy %", "fourth")


def _against_batch(net: str) -> tuple[Panel, Panel]:
    arms = f"{net}-batch-*"
    return (
        Panel(f"{net.upper()}, accuracy", (Series("test", arms, TEST),), y_label="test accuracy %", alone=True),
        Panel(f"{net.upper()}, sharpness", _both_boxes(arms, "", "large", "sharp"), y_label=SHARPNESS, y_log=True,
              alone=True),
    )  # fmt: skip


def _both_boxes(arm: str, label: str, color: str, part: str = PART) -> tuple[Series, ...]:
    """1e-3 solid, 5e-4 dashed."""
    return tuple(
        Series(f"{label} ε = {word}".strip(), arm, f"{part}/full@{eps}", color, dash,
               printed_metric=f"sharp/full@{eps}")
        for (word, eps), dash in zip(EPS, ("solid", "dash"), strict=True)
    )  # fmt: skip


def _images(net: str) -> str:
    """Figures 5 and 6 are over part of the images on F1 alone."""
    return PART if net == "f1" else "sharp"


def _warm_start(net: str) -> tuple[Panel, Panel]:
    arms = f"{net}-lb-from-*"
    iterate = Series("SB iterate", f"{net}-sb-path", "100-val/error", "base", draw="mean", x="epoch",
                     printed_metric=TEST)  # fmt: skip
    top = (iterate, Series("LB from that iterate", arms, TEST))
    return (
        Panel(f"{net.upper()}, accuracy", top, y_label="test accuracy %", alone=True),
        Panel(f"{net.upper()}, sharpness of LB", _both_boxes(arms, "", "large", _images(net)), y_label=SHARPNESS,
              y_log=True, alone=True),
    )  # fmt: skip


def _path(net: str) -> Panel:
    lines = (_both_boxes(f"{net}-{arm}-path", batch, color, _images(net)) for batch, arm, color in BATCHES)
    return Panel(net.upper(), tuple(s for both in lines for s in both), y_log=True, alone=True)


def _by_solver(batch: str, arm: str, color: str) -> Panel:
    colors = (color, "fifth", "other", "fourth")
    lines = (Series(label, f"f1-{arm}-path", f"{PART}/{key}@0.001", c, dash)
             for (label, key, dash), c in zip(SOLVERS, colors, strict=True))  # fmt: skip
    return Panel(f"{batch}, sharpness", tuple(lines), y_label=SHARPNESS, y_log=True)


def _solutions(title: str, metric: str, *more: Series, x: str = "", x_label: str = "", arms: str = "*f1-{}*",
               preset: Preset = "paper") -> Panel:  # fmt: skip
    """Of every arm of a net that trains with SB or LB, whatever else it does."""
    series = (Series(batch, arms.format(arm), metric, color, x=x) for batch, arm, color in BATCHES)
    return Panel(title, (*series, *more), x_label=x_label, y_log=True, presets=(preset,))


def _from_iterates(metric: str, x: str = "") -> Series:
    """LB of Figure 5, whose other maximisers are measured apart."""
    return Series("LB from SB's iterates", "f1-maximisers-from-*", metric, "other", "dash", x=x)


def _longer(metric: str, x: str = "") -> Series:
    """LB of Table 7, of its control and of ``f1-updates``."""
    return Series("LB, 3 steps or 7,020 updates", LONGER, metric, "fourth", "dash", x=x)


def _slice_figure(key: str, where: str, kind: str, title: str, caption: str) -> Curves:
    panels = tuple(panel for net in NETS for panel in _slices(net, kind))
    sweep = "f1-slices, slices" if kind == "line" else "f1-slices"
    return Curves(key=key, where=where, title=title, caption=caption, panels=panels, sweep=sweep, x="alpha",
                  x_label="α", marks=ENDS, share_y=False, legend_metric=None, columns=4,
                  reference=f"{key}.csv")  # fmt: skip


FIGURES = (
    Curves(
        key="fig2",
        where="Figure 2",
        title="Training and test accuracy along training",
        caption="Training accuracy is the mean over each epoch. In the paper: both batches rise to a plateau, LB's "
        "test accuracy lower; no peak that early stopping could catch.",
        panels=(
            *(_accuracies(net.upper(), net, "-path", alone=True, presets=("paper",)) for net in PLOTTED),
            _accuracies("C1", "c1", presets=("reduced", "smoke")),
            _accuracies("F1 on Fashion-MNIST", "fashion", presets=("reduced",)),
        ),
        sweep="f1-path, tables, fashion",
        y_label="accuracy %",
        share_y=False,
        band="sd2",
        legend_metric=None,
        reference="fig2.csv",
    ),
    _slice_figure(
        "fig3", "Figure 3", "line", "Loss and accuracy on the line from the SB to the LB solution",
        "α = 0 is the SB solution, α = 1 the LB solution; train solid, test dashed. In the paper: the loss rises much "
        "faster on leaving LB than on leaving SB.",
    ),
    Points(
        key="fig4",
        where="Figure 4",
        title="Test accuracy and sharpness against batch size",
        caption="In the paper: beyond 1–2 % of the data the accuracy drops; up to there the sharpness grows. Its "
        "points are read off a spline.",
        panels=tuple(panel for net in PLOTTED for panel in _against_batch(net)),
        sweep="batches",
        x_label="batch size",
        columns=2,
        reference="fig4.csv",
    ),
    Points(
        key="fig5",
        where="Figure 5",
        title="Large-batch training from small-batch iterates",
        caption="Left: SB after so many epochs, and LB started there; right: where LB ends. In the paper: after enough "
        "epochs the accuracy reaches or exceeds SB's and the sharpness has fallen by nearly three orders (C1) or five "
        "(F2). F1's values are over 10,000 images.",
        panels=tuple(panel for net in PLOTTED for panel in _warm_start(net)),
        sweep="f1-warm-start",
        x="start_epoch",
        x_label="SB epochs before the switch",
        x_log=False,
        columns=2,
        reference="fig5.csv",
    ),
    Curves(
        key="fig6",
        where="Figure 6",
        title="Sharpness as the training loss falls",
        caption="From left to right along training. In the paper: alike at first, then LB's rises and SB's falls. "
        "F1's values are over 10,000 images, where L-BFGS-B gets away from the solution (Table 3 has all).",
        panels=tuple(_path(net) for net in PLOTTED),
        sweep="f1-path",
        draw="runs",
        x=LOSS,
        x_label="training cross-entropy",
        x_log=True,
        x_reversed=True,
        y_label=SHARPNESS,
        share_y=False,
        legend_metric=None,
        reference="fig6.csv",
    ),
    _slice_figure(
        "fig7", "Figure 7", "curve", "Loss and accuracy on the curve sin(απ/2)·LB + cos(απ/2)·SB",
        "As Figure 3, on the curve of Appendix D.",
    ),
    Curves(
        key="stopping",
        where="Beyond Table 3",
        title="Sharpness by stopping point and maximiser",
        caption="Ours alone: Metric 2.1 at ε = 1e-3 from ten iterations of L-BFGS-B as in the paper, on the summed "
        "loss, from a random start in the box, and by sign-gradient ascent. In a box the first step of L-BFGS-B is the "
        "gradient itself, cut to the box: of a mean loss near its minimum it is tiny, ten iterations then end near x, "
        "and the value tells of the solver and of when training stopped. On the sum, or by signs, the box is explored.",
        panels=(
            Panel("F1, training loss", tuple(Series(b, f"f1-{a}-path", LOSS, c) for b, a, c in BATCHES),
                  y_label="cross-entropy", y_log=True),
            *(_by_solver(*batch) for batch in BATCHES),
        ),
        sweep="f1-path",
        draw="runs",
        share_y=False,
        legend_metric=None,
    ),
    Points(
        key="fit",
        where="Beyond Table 3",
        title="Sharpness against how closely the training set is fitted",
        caption="Ours alone: Metric 2.1 at ε = 1e-3 of every solution, whatever its rate, start and length. L-BFGS-B "
        "begins with a step along the gradient, which vanishes as the loss does; sign-gradient ascent leaves x in any "
        "case. Where L-BFGS-B lies orders of magnitude below it, the solver has stalled.",
        panels=(
            _solutions("L-BFGS-B, all images", "sharp/full@0.001"),
            _solutions("L-BFGS-B, 10,000", f"{PART}/full@0.001"),
            _solutions("sign ascent, 10,000", SIGN, _from_iterates(SIGN)),
            _solutions("L-BFGS-B", "sharp/full@0.001", arms="c1-{}*", preset="reduced"),
            _solutions("sign ascent", "sharp/full-sign@0.001", arms="c1-{}-maximisers", preset="reduced"),
        ),
        also={"paper": "Where LB began at an iterate of SB (Figure 5) the points are diamonds by sign ascent."},
        sweep="f1-tables, tables, maximisers",
        draw="ends",
        x=LOSS,
        x_label="training cross-entropy",
        y_label=SHARPNESS,
    ),
    Points(
        key="noise",
        where="Beyond Table 3, after Smith and Le 2017",
        title="Sharpness against the ratio of rate to batch, and accuracy against sharpness",
        caption="Ours alone: sign-gradient ascent at ε = 1e-3 over 10,000 images on every solution of F1. Were "
        "sharpness one of the batch, SB and LB would be two curves in the middle too; were it one of the noise alone, "
        "all points would lie on one. LB that began at an iterate of SB (Figure 5; the later, the flatter) does not. "
        "The right panel leaves out the search for rates, which trains on fewer images.",
        panels=(
            _solutions("against the rate", SIGN, _from_iterates(SIGN), _longer(SIGN), arms=SHORTER),
            _solutions("against rate over batch", SIGN, _from_iterates(SIGN, RATIO), _longer(SIGN, RATIO), x=RATIO,
                       x_label="η / B", arms=SHORTER),
            Panel("accuracy", (*(Series(b, f"f1-{a}* but {LONGER}", TEST, c, x=SIGN) for b, a, c in BATCHES),
                               _from_iterates(TEST, SIGN), _longer(TEST, SIGN)),
                  y_label="test accuracy %", x_label=SHARPNESS, presets=("paper",)),
        ),
        sweep="f1-noise",
        draw="ends",
        x="lr",
        x_label="η",
        y_label=SHARPNESS,
    ),
)  # fmt: skip


ROWS = tuple(Row(net.upper(), net) for net in NETS)
STOPS = tuple(
    Row(f"{batch}, epoch {epoch}", f"f1-{arm}-path", epoch)
    for batch, arm, _ in BATCHES
    for epoch in (1, 2, 5, 10, 20, 35, 50, 70, 100)
)
PLATEAUS = tuple(Row(f"{batch}, at the plateau", f"f1-{arm}") for batch, arm, _ in BATCHES)
ACCURACY = (Cell("train %", TRAIN), Cell("test %", TEST))
DISTANCE = Cell("‖x − x₀‖", "distance")


def _stalled(part: str) -> tuple[Cell, ...]:
    """Metric 2.1, and whether the solver left x."""
    return (Cell("L-BFGS-B from x", f"{part}/full@0.001"),
            Cell("weights at their bound", f"{part}/full@0.001/at_bound"))  # fmt: skip


BY_MAXIMISER = (
    *_stalled(PART),
    Cell("on the sum", f"{PART}/full-sum@0.001"), Cell("random start", f"{PART}/full-random@0.001"),
    Cell("sign ascent", SIGN),
)  # fmt: skip


def _split(metric: str, heading: str) -> tuple[Cell, ...]:
    return tuple(Cell(heading.format(batch), metric, f"{{row}}-{arm}") for batch, arm, _ in BATCHES)


def _boxes(arm: str = "{row}", part: str = PART) -> tuple[Cell, ...]:
    return tuple(Cell(f"sharpness {word}", f"{part}/full@{eps}", arm, f"sharp/full@{eps}") for word, eps in EPS)


def _sharpness(space: str) -> tuple[Cell, ...]:
    return tuple(cell for word, eps in EPS for cell in _split(f"sharp/{space}@{eps}", f"{{}} {word}"))


def _of_paper(number: int, title: str, sweep: str, *cells: Cell, rows: tuple[Row, ...] = ROWS, **options) -> Table:
    return Table(f"table{number}", f"Table {number}", title, rows, sweep, cells=cells,
                 reference=f"table{number}.csv", **options)  # fmt: skip


def _own(key: str, where: str, title: str, sweep: str, rows: tuple[Row, ...], *cells: Cell, preset="paper") -> Table:
    """A table of ours alone."""
    return Table(key, where, title, rows, sweep, cells=cells, presets=(preset,))


TABLES = (
    _of_paper(2, "Accuracy of the small and the large batch, %", "f1-tables, tables",
              *_split(TRAIN, "train {}"), *_split(TEST, "test {}")),
    _of_paper(3, "Sharpness in the full space, by ε", "f1-tables, tables", *_sharpness("full")),
    _of_paper(4, "Sharpness in a random subspace of 100 dimensions, by ε", "f1-tables, tables",
              *_sharpness("subspace")),
    _of_paper(6, "With data augmentation", "augmented", Cell("SB test %", TEST, "{row}-sb-aug"),
              Cell("LB test %", TEST, "{row}-lb-aug"), *_boxes("{row}-lb-aug", "sharp"), rows=ROWS[2:]),
    _own("table6-fit", "Beyond Table 6", "How closely the augmented nets are fitted", "augmented",
         (Row("SB", "c1-sb-aug"), Row("LB", "c1-lb-aug")), *ACCURACY, Cell("train loss", LOSS), preset="reduced"),
    _of_paper(7, "Conservative training of the large batch", "f1-conservative",
              Cell("SB test %", TEST, "{row}-sb", "baseline/test_accuracy"),
              Cell("LB test %", TEST, "{row}-lb-conservative"), *_boxes("{row}-lb-conservative", "sharp"),
              presets=("paper",)),
    _own("table7-control", "Table 7, our control", "Three plain steps a batch (λ = 0) against three conservative ones",
         "f1-conservative",
         (Row("LB, one step", "f1-lb"), Row("LB, three steps, λ = 0", "f1-lb-3-steps"),
          Row("LB, three steps, λ = 1e-3", "f1-lb-conservative")),
         *ACCURACY, *_stalled("sharp"), Cell("sign ascent, 10,000", SIGN), DISTANCE),
    _own("early", "Beyond Tables 3 and 4", "Sharpness of F1 at 1e-3 before the plateau, over all 60,000 images",
         "f1-early", tuple(Row(f"{b}, epoch {e}", f"f1-{a}-early", e) for b, a, _ in BATCHES for e in EARLY),
         Cell("train %", TRAIN), *_stalled("sharp"), Cell("sign ascent", "sharp/full-sign@0.001"),
         Cell("subspace", "sharp/subspace@0.001")),
    _own("stopping", "Beyond Table 3", "Sharpness of F1 at 1e-3 by stopping point and maximiser, over 10,000 "
         "images (Table 3 has all)", "f1-path", (*STOPS, *PLATEAUS),
         Cell("train loss", LOSS), *BY_MAXIMISER),
    _own("ordering", "Beyond Table 3", "When is LB the sharper one? F1 at 1e-3, at the plateau of the training loss",
         "f1-tables",
         (Row("L-BFGS-B from x, all 60,000 images", "sharp/full"), Row("… over 10,000", f"{PART}/full"),
          Row("… on the sum, 10,000", f"{PART}/full-sum"), Row("… from a random start, 10,000", f"{PART}/full-random"),
          Row("sign ascent, 10,000", f"{PART}/full-sign"), Row("in a subspace, 60,000", "sharp/subspace")),
         *(Cell(b, "{row}@0.001", f"f1-{a}") for b, a, _ in BATCHES),
         *(Cell(f"{b}, weights at their bound", "{row}@0.001/at_bound", f"f1-{a}") for b, a, _ in BATCHES)),
    _own("tuning", "Beyond Table 2", "Adam's rate: accuracy and sharpness of F1, on a run each", "tune",
         tuple(Row(f"{b}, η = {lr:g}", f"tune-f1-{a}-lr-{lr:g}") for b, a, _ in BATCHES for lr in TUNE_LRS),
         Cell("train %", TRAIN), Cell("held-out %", TEST), *BY_MAXIMISER),
    _own("noise", "Beyond Tables 2 and 3, after Smith and Le 2017",
         "F1 with each batch at the other's ratio of rate to batch", "f1-noise",
         (Row("SB", "f1-sb"), Row("LB, rate × 23.4: SB's η/B", "f1-lb-noise"), Row("LB, rate × √23.4", "f1-lb-root"),
          Row("LB", "f1-lb"), Row("SB, rate ÷ 23.4: LB's η/B", "f1-sb-noise")),
         *ACCURACY, Cell("train loss", LOSS), *BY_MAXIMISER),
    _own("maximisers", "Beyond Figure 5",
         "Sharpness of LB from SB's iterates at 1e-3, by maximiser, over 10,000 images",
         "f1-warm-maximisers", tuple(Row(f"from epoch {k}", f"f1-maximisers-from-{k}") for k in WARM),
         Cell("train loss", LOSS), *BY_MAXIMISER),
    _own("open", "Beyond Tables 3 and 4",
         "What the definition leaves open, at the solutions of F1 (ε = 1e-3, 10,000 images)",
         "f1-open-choices",
         (Row("full space, batch statistics", "full"), Row("full space, running statistics", "full-running"),
          Row("full space, loss capped at 16.118", "full-capped"), Row("subspace, A from N(0, 1)", "subspace"),
          Row("subspace, A from U(−1, 1)", "subspace-uniform"), Row("subspace, columns of norm 1", "subspace-unit")),
         *(Cell(b, f"{PART}/{{row}}@0.001", f"f1-{a}-open-choices") for b, a, _ in BATCHES)),
    _own("dinh", "Beyond Table 3, Dinh et al. 2017",
         "The same functions of F1 in other coordinates, over 10,000 images; the eigenvalue over 2,000", "f1-dinh",
         (Row("SB", "sb"), Row("SB, weights before batch norm × 0.1", "sb-rescaled"), Row("LB", "lb"),
          Row("LB at SB's norms", "lb-matched")),
         *(Cell(heading, f"{metric}/{{row}}", "f1-sb-dinh")
           for heading, metric in (("L-BFGS-B, 1e-3", "full"), ("at their bound", "at_bound"), ("sign ascent", "sign"),
                                 ("adaptive", "adaptive"), ("top λ", "hessian")))),
    _own("controls", "Beyond Table 2", "Is the gap of F1 one of tuning, or of updates?", "f1-tuned, f1-updates",
         (Row("SB", "f1-sb"), Row("LB", "f1-lb"), Row("SB, rate tuned", "f1-sb-tuned"),
          Row("LB, rate tuned", "f1-lb-tuned"), Row("LB, 7,020 updates", "f1-lb-7020-updates")),
         *ACCURACY, *_stalled("sharp"), Cell("sign ascent, 10,000", SIGN), DISTANCE),
    _own("text", "Tables 2 and 3, our control", "The convolutional nets as the appendix has them, where the released "
         "code differs", "c1-text",
         tuple(Row(f"{net.upper()}, {batch}", f"{net}-{arm}-text") for net in NETS[2:] for batch, arm, _ in BATCHES),
         *ACCURACY, *_boxes(part="sharp")),
    _own("maximisers-c1", "Beyond Table 3", "Sharpness of C1's solutions at 1e-3, by maximiser", "maximisers",
         tuple(Row(b, f"c1-{a}-maximisers") for b, a, _ in BATCHES),
         *(replace(cell, metric=cell.metric.replace(PART, "sharp")) for cell in BY_MAXIMISER), preset="reduced"),
    _own("fashion", "Tables 2–4 on Fashion-MNIST", "F1 on data that the paper does not have", "fashion",
         (Row("SB", "fashion-sb"), Row("LB", "fashion-lb")), *ACCURACY, *_stalled("sharp"),
         Cell("… over 10,000", f"{PART}/full@0.001"), Cell("sign ascent, 10,000", SIGN),
         Cell("subspace, 10,000", f"{PART}/subspace@0.001"), preset="reduced"),
)  # fmt: skip
