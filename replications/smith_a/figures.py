"""The figures of Smith and Le 2017 as declarations, in the paper's layout, and what the paper lacks beside them.

No plotted value of the paper could be recovered: ``reference/`` holds what its text says of a curve's end, and its
laws as exponents.
"""

from __future__ import annotations

from replications.smith_a import method
from replications.smith_a.experiments import PILOT_GRID
from replications.smith_a.grids import CANDIDATES, TUNE_LRS, TUNED
from shared.report.declare import Cell, Curves, Law, Panel, Points, Row, Series, Table
from shared.spec import Preset, RunSpec

UPDATES = "trainer/global_step"
ACCURACY, ERROR = "end/accuracy", "end/error"
ACCURACY_LABEL = "test accuracy %"
COLORS = ("base", "large", "other", "fourth", "fifth")
AT_PAPER: tuple[Preset, ...] = ("paper",)
REACH = 8.0
"""Points of error above the lowest that are drawn in full."""
LABELS = (("random", "(a) random labels"), ("true", "(b) true labels"))
BATCHES = (("B = 30", "b-{small}", "base"), ("B = 1000", "b-{full}", "large"))


def images(spec: RunSpec) -> int | None:
    return spec.data.train_size


# -- Figures 1 and 2: evidence -----------------------------------------------------------------------------------------


def _against_lambda(labels: str, title: str) -> tuple[Panel, Panel]:
    arm = f"evidence-{labels}"
    accuracy = tuple(
        Series(split, arm, f"100-{split}/error", color, printed_metric=f"{split}/accuracy")
        for split, color in (("train", "base"), ("test", "large"))
    )
    margins = (Series("train", arm, "margin", "base"), Series("test", arm, "test/margin", "large"))
    return Panel(title, accuracy, y_label="accuracy %"), Panel(
        f"{title}, margin", margins, y_label="mean margin, pixel units"
    )


def _losses(labels: str, title: str) -> tuple[Panel, Panel]:
    arm = f"evidence-{labels}"
    losses = (Series("train", arm, "train/loss", "base"), Series("test", arm, "test/loss", "large"))
    ratio = (Series("E, training images alone", arm, "evidence", "other"),)
    return (
        Panel(f"{title}, cross-entropy", losses, y_label="nats an image", y_log=True),
        Panel(f"{title}, evidence", ratio, y_label="E, nats for the null"),
    )


def _both(make) -> tuple[Panel, ...]:
    return tuple(panel for labels in LABELS for panel in make(*labels))


def _lambda_figure(
    key: str, where: str, title: str, caption: str, panels: tuple[Panel, ...], reference: str | None = None
) -> Curves:
    return Curves(key=key, where=where, title=title, caption=caption, panels=panels, sweep="evidence", x="lambda",
                  x_label="λ, prior precision", x_log=True, share_y=False, legend_metric=None, columns=2,
                  reference=reference)  # fmt: skip


def _by_labels(title: str, metric: str, y_label: str, y_log: bool = False) -> Panel:
    kinds = (("true labels", "true", "base"), ("random labels", "random", "large"))
    series = tuple(Series(words, f"evidence-{kind}", metric, color) for words, kind, color in kinds)
    return Panel(title, series, y_label=y_label, y_log=y_log, presets=AT_PAPER)


# -- Figures 3, 4a and 8: curves along training ------------------------------------------------------------------------


def _along(title: str, metric: str, y_label: str, *variants: tuple[str, str, str]) -> Panel:
    """B = 30 and B = 1000 for each (words, prefix of the arms, dash)."""
    series = (Series(f"{label}{words}", prefix + arm, metric, color, dash)
              for words, prefix, dash in variants for label, arm, color in BATCHES)  # fmt: skip
    return Panel(title, tuple(series), y_label=y_label)


def _gap(key: str, where: str, title: str, caption: str, sweep: str, *variants: tuple[str, str, str]) -> Curves:
    panels = (
        _along("(a) accuracy", "100-val/error", ACCURACY_LABEL, *variants),
        _along("(b) cross-entropy", "val/loss", "nats", *variants),
    )
    return Curves(key=key, where=where, title=title, caption=caption, panels=panels, sweep=sweep, x=UPDATES,
                  x_label="updates", x_log=True, share_y=False, legend_metric=None, columns=2)  # fmt: skip


# -- Figures 4 to 7: accuracy against B, and where it peaks ------------------------------------------------------------


def _grid(title: str, *curves: tuple[str, str], metric=ERROR, presets: tuple[Preset, ...] = AT_PAPER) -> Panel:
    """A metric against B, a series for each (label, arms)."""
    series = (Series(label, arms, metric, color) for (label, arms), color in zip(curves, COLORS, strict=False))
    return Panel(title, tuple(series), presets=presets)


def _linear(label: str, through: str) -> Law:
    return Law(label, through, lambda batch, ratio, _: method.predicted_linear(batch, ratio), "dash")


def _exact(through: str) -> Law:
    return Law("equal g = ε(N/B − 1)", through,
               lambda batch, ratio, spec: method.predicted_exact(batch, ratio, images(spec) or 0), "dot")  # fmt: skip


def _constant(through: str) -> Law:
    return Law("equal noise scale", through, lambda batch, *_: batch)


def _peaks(title: str, arms: str, presets: tuple[Preset, ...] = AT_PAPER, laws: tuple[Law, ...] = ()):
    """B_opt by its three readings with laws through one of the first, and the accuracy there."""
    found = (
        Series("best on the test set", arms, "b_opt", "large"),
        Series("top of a parabola", arms, "b_opt/vertex", "base", "dash"),
        Series("best on held-out images", arms, "held_out/b_opt", "other", "dot"),
    )
    height = (
        Series("at the peak", arms, "100-peak/error", "large"),
        Series("at the held-out peak", arms, "100-held_out/error", "other", "dot"),
    )
    return (
        Panel(f"{title}best batch", found, y_label="best batch", y_log=True, presets=presets, laws=laws),
        Panel(f"{title}height", height, y_label=ACCURACY_LABEL, presets=presets),
    )


def _errors(key: str, where: str, title: str, caption: str, sweep: str, *panels: Panel) -> Points:
    """Errors, cut above what trains: on the paper's axis of accuracies the peak is as flat as the line is wide."""
    edge = (
        "at the upper edge, with their error, batches beyond the axis, of which those above 35 % count as not trained"
    )
    return Points(key=key, where=where, title=title, caption=f"{caption} Drawn as errors; {edge}.", panels=panels,
                  sweep=sweep, x_label="batch size", y_label="test error %", band="ci95", columns=2,
                  reach=REACH)  # fmt: skip


def _best(
    key: str, where: str, title: str, caption: str, sweep: str, x: str, x_label: str, *panels: Panel, x_log=True
) -> Points:
    return Points(key=key, where=where, title=title, caption=caption, panels=panels, sweep=sweep, x=x, x_label=x_label,
                  x_log=x_log, band="ci95", columns=2)  # fmt: skip


def _density(of: str, color: str) -> Series:
    return Series("one seed", "gradient-histogram", f"{of}/density", color, draw="runs")


CONVENTIONS = (("momentum averages", "b-{grid}"), ("momentum sums", "acc-b-*"))
FASHION = (("momentum averages", "fashion-b-{grid}"),)
EPS = (("ε = 1", "b-{grid}"), ("ε = 3", "eps-3-b-*"), ("ε = 10", "eps-10-b-*"), ("ε = 0.1", "eps-0.1-b-*"))
FASHION_EPS = tuple((label, f"fashion-{arms}") for label, arms in EPS[:3])
SIZES = (("N = 1,000", "b-{grid}"), ("N = 5,000", "n-5000-b-*"), ("N = 20,000", "n-20000-b-*"),
         ("N = 40,000", "n-40000-b-*"), ("N = 60,000", "n-60000-b-*"))  # fmt: skip
TIMED = (("N = 1,000", "b-{grid}"), ("N = 3,000", "time-n-3000-b-*"))
AVERAGED = (("m = 0.9", "b-{grid}"), ("m = 0", "m-0-b-*"), ("m = 0.975", "m-0.975-b-*"))
SUMMED = (("m = 0.9", "b-{grid}"), ("m = 0", "acc-m-0-b-*"), ("m = 0.5", "acc-m-0.5-b-*"),
          ("m = 0.975", "acc-m-0.975-b-*"))  # fmt: skip
WIDTHS = (("800 units", "b-{grid}"), ("200 units", "width-200-b-*"), ("3200 units", "width-3200-b-*"))

FIGURES = (
    _lambda_figure(
        "fig1", "Figure 1", "Accuracy and mean margin against λ",
        "In the paper: random labels are memorised when λ is small, with the test set at chance; true labels are "
        "learnt and generalise. The margin falls as λ falls, and at small λ is half as large again on true labels "
        "(from memory).",
        _both(_against_lambda), "fig1.csv",
    ),
    _lambda_figure(
        "fig1-margins", "Figure 1, two margins", "The margin in two units, on true and on random labels",
        "Ours alone, as the paper does not state the unit: the distance to the boundary, as in Figure 1, and the "
        "difference of the probabilities of the label and of the other class, both means over the training images.",
        (_by_labels("distance", "margin", "mean margin, pixel units", True),
         _by_labels("probability", "confidence", "mean p(label) − p(other)")),
    ),
    _lambda_figure(
        "fig2", "Figure 2", "Cross-entropy and evidence against λ",
        "E is the logarithm of the evidence ratio in favour of the null model. In the paper: never below 0 on random "
        "labels; on true ones below 0 over a range of λ, following the test loss.",
        _both(_losses), "fig2.csv",
    ),
    _lambda_figure(
        "fig2-curvature", "Behind Figure 2", "Eigenvalues of the Hessian of the summed cross-entropy",
        "Ours alone: the largest, and Σ s/(s + λ) over all of them, the number of parameters that the data determine "
        "rather than the prior.",
        (_by_labels("largest", "curvature/largest", "nats per squared unit of w", True),
         _by_labels("determined by the data", "curvature/effective", "parameters")),
    ),
    _gap(
        "fig3", "Figure 3", "Small and full batch along training",
        "In the paper (from memory): the small batch is slower at first and ahead after about 1,000 updates; the test "
        "loss rises late at both.",
        "gap", ("", "", "solid"),
    ),
    Curves(
        key="fig4a",
        where="Figure 4a",
        title="Test accuracy along training by batch",
        caption="In the paper: batches of about 10 and fewer do not train.",
        panels=(
            Panel("MNIST", tuple(Series(f"B = {b}", f"b-{b}", "100-val/error", color)
                                 for b, color in zip((5, 10, 30, 100, 1000), COLORS, strict=True)),
                  presets=("paper", "smoke")),
            Panel("Fashion-MNIST", tuple(Series(f"B = {b}", f"fashion-b-{b}", "100-val/error", color)
                                         for b, color in zip((10, 20, 30, 65, 220), COLORS, strict=True)),
                  presets=("reduced",)),
        ),
        sweep="batch-size, fashion",
        x=UPDATES,
        x_label="updates",
        y_label=ACCURACY_LABEL,
        share_y=False,
        legend_metric=None,
        columns=1,
    ),
    Points(
        key="fig4b",
        where="Figure 4b",
        title="Test accuracy after 10,000 updates against the batch",
        caption="In the paper: a maximum inside.",
        also={"paper": "The second series, ours, is momentum that sums the gradient at the same rate."},
        panels=(
            _grid("MNIST", *CONVENTIONS, metric=ACCURACY, presets=("paper", "smoke")),
            _grid("Fashion-MNIST", *FASHION, metric=ACCURACY, presets=("reduced",)),
        ),
        sweep="batch-size, accumulating, fashion",
        x_label="batch size",
        y_label=ACCURACY_LABEL,
        band="ci95",
    ),
    _errors(
        "fig4b-closer", "Figure 4b, closer", "Test error after 10,000 updates against the batch",
        "The same around the peak.",
        "batch-size, accumulating, fashion",
        _grid("MNIST", *CONVENTIONS), _grid("Fashion-MNIST", *FASHION, presets=("reduced",)),
    ),
    _errors(
        "fig5a", "Figure 5a", "Test error against the batch by rate",
        "10,000/ε updates each. In the paper: the peak moves to the right with ε, at a height that falls from about "
        "ε = 3 on.",
        "rates, fashion-rates",
        _grid("MNIST", *EPS), _grid("Fashion-MNIST", *FASHION_EPS, presets=("reduced",)),
    ),
    _best(
        "fig5b", "Figure 5b", "The best batch against the rate",
        "In the paper: proportional (1 on logarithmic axes). Constant g = ε(N/B − 1) bends towards N. The parabola "
        "leans towards larger batches, as the error rises faster below the best one than above.",
        "rates, fashion-rates", "lr", "learning rate ε",
        *_peaks("", "bopt-eps-{eps}", laws=(_linear("∝ ε", "bopt-eps-1"), _exact("bopt-eps-1"))),
        *_peaks("Fashion-MNIST, ", "fashion-bopt-eps-{eps}", ("reduced",),
                (_linear("∝ ε", "fashion-bopt-eps-1"), _exact("fashion-bopt-eps-1"))),
    ),
    _errors(
        "fig6a", "Figure 6a", "Test error against the batch by number of images",
        "In the paper: more images raise the accuracy, move the peak to the right and make the gap smaller.",
        "sizes, sizes-large, sizes-time", _grid("10,000 updates", *SIZES), _grid("10 N updates", *TIMED),
    ),
    _best(
        "fig6b", "Figure 6b", "The best batch against the number of images",
        "In the paper: proportional to N from about 20,000 on.",
        "sizes, sizes-large", "images", "training images N",
        *_peaks("", "bopt-n-*", ("paper", "smoke"), (_linear("∝ N: equal noise scale", "bopt-n-1000"),)),
    ),
    _errors(
        "fig7a", "Figure 7a", "Test error against the batch by momentum",
        "Left: momentum that sums the gradient, at ε = 0.1, where m = 0.9 is the main curve itself. Right: momentum "
        "that averages it, at ε = 1. In the paper, whose sources give the sum: the peak moves to the right with m.",
        "accumulating, momentum", _grid("momentum sums, ε = 0.1", *SUMMED),
        _grid("momentum averages, ε = 1", *AVERAGED),
    ),
    _best(
        "fig7b", "Figure 7b", "The best batch against 1/(1 − m)",
        "In the paper: proportional. Momentum that averages the gradient leaves the noise scale alone.",
        "accumulating, momentum", "gain", "1/(1 − m)",
        *_peaks("sums: ", "bopt-acc-m-{m_acc}", laws=(_linear("∝ 1/(1 − m)", "bopt-acc-m-0.9"),
                                                      _exact("bopt-acc-m-0.9"))),
        *_peaks("averages: ", "bopt-m-{m}", laws=(_constant("bopt-m-0.9"),)),
    ),
    _gap(
        "fig8", "Figure 8", "Small and full batch with L2",
        "Dashed: without (Figure 3). In the paper: a much smaller gap, a full batch that converges later and, from "
        "memory, a test loss that no longer rises.",
        "l2, gap", (", L2", "l2-", "solid"), ("", "", "dash"),
    ),
    Curves(
        key="fig9",
        where="Figure 9",
        title="The gradient of one softmax weight at the start",
        caption="In standard deviations from the mean, a weight, a start and a line for each seed. In the paper: over "
        "batches of 30 nearly Gaussian, over single images not.",
        panels=(
            Panel("(a) single images", (_density("example", "base"),)),
            Panel("(b) batches of 30", (_density("batch", "large"),)),
        ),
        sweep="gradients",
        x="gradient",
        x_label="gradient, standard deviations",
        y_label="density",
        share_y=False,
        legend_metric=None,
        columns=2,
    ),
    _errors(
        "tuned", "Beyond Figure 4", "Test error against the batch, each with a rate of its own",
        "Ours alone, after Shallue et al. 2019: rates chosen on held-out images, six for each batch.",
        "tuned", _grid("", ("ε = 1", "b-{grid}"), ("its best rate", "{tuned}")),
    ),
    _errors(
        "width-a", "Beyond Figure 4", "Test error against the batch by width of the net",
        "Ours alone, after Park et al. 2019: the best batch is one of a width.",
        "widths", _grid("", *WIDTHS),
    ),
    _best(
        "width-b", "Beyond Figure 5", "The best batch against the width of the net",
        "Ours alone, after Park et al. 2019.",
        "widths", "width", "hidden units",
        *_peaks("", "bopt-width-{width}"), x_log=False,
    ),
)  # fmt: skip


# -- tables ------------------------------------------------------------------------------------------------------------

CURVES = (
    *(Row(f"ε = {e}", f"bopt-eps-{e}") for e in ("0.1", "1", "3", "10")),
    *(Row(f"N = {int(n):,}", f"bopt-n-{n}") for n in ("5000", "20000", "40000", "60000")),
    Row("N = 3,000, equal time", "bopt-time-n-3000"),
    *(Row(f"m = {m}, summed", f"bopt-acc-m-{m}") for m in ("0", "0.5", "0.9", "0.975")),
    *(Row(f"m = {m}, averaged", f"bopt-m-{m}") for m in ("0", "0.975")),
    *(Row(f"{w} units", f"bopt-width-{w}") for w in ("200", "3200")),
    *(Row(f"Fashion-MNIST, ε = {e}", f"fashion-bopt-eps-{e}") for e in ("1", "3", "10")),
)
LAWS = (
    Row("ε", "fit-eps"), Row("N up to 20,000", "fit-n"), Row("N from 20,000", "fit-n-large"),
    Row("1/(1 − m), summed", "fit-acc-m"), Row("1/(1 − m), averaged", "fit-m"), Row("width", "fit-width"),
    Row("ε, Fashion-MNIST", "fashion-fit-eps"),
)  # fmt: skip
CONTROLS = (
    Row("B = 30", "b-{small}"), Row("B = 1000", "b-{full}"),
    Row("B = 30, its best rate", "{tuned_small}"), Row("B = 1000, its best rate", "{tuned_full}"),
    Row("B = 100, epochs of B = 30", "epochs-b-100"), Row("B = 1000, epochs of B = 30", "epochs-b-1000"),
    Row("B = 30, drawn afresh", "fresh-b-{small}"), Row("B = 30, with replacement", "replacement-b-{small}"),
    Row("B = 1000, with replacement", "replacement-b-{full}"),
    Row("B = 30, L2", "l2-b-{small}"), Row("B = 1000, L2", "l2-b-{full}"),
    Row("B = 30, linear model", "linear-b-{small}"), Row("B = 1000, linear model", "linear-b-{full}"),
    Row("B = 30, momentum sums", "acc-b-30"), Row("B = 100, momentum sums", "acc-b-100"),
    Row("B = 220, momentum sums", "acc-b-220"),
)  # fmt: skip

TABLES = (
    Table("pilot", "Before Figure 4", "Held-out error % after 2,000 updates: which convention has the threshold",
          tuple(Row(c.name, c.name) for c in CANDIDATES), "pilot", presets=AT_PAPER,
          cells=tuple(Cell(f"B = {b}", "val/error", f"pilot-{{row}}-b-{b}") for b in PILOT_GRID)),
    Table("tune", "Before the rates of their own", "Held-out error % after 10,000 updates: the rate for each batch",
          tuple(Row(f"B = {b}", str(b)) for b in TUNED), "tune", presets=AT_PAPER,
          cells=tuple(Cell(f"ε = {lr:g}", "val/error", f"tune-b-{{row}}-lr-{lr:g}") for lr in TUNE_LRS)),
    Table("peaks", "Figures 4 to 7", "The best batch of each curve, on the test set and on held-out images; the gain "
          "of the latter, in points, is over the largest batch of that curve's grid", CURVES,
          "batch-size, rates, sizes, sizes-time, accumulating, momentum, widths",
          cells=(Cell("B_opt", "b_opt"), Cell("lower", "b_opt/low"), Cell("upper", "b_opt/high"),
                 Cell("held out", "held_out/b_opt"), Cell("g there", "noise_scale"),
                 Cell("error %", "peak/error"), Cell("gain", "held_out/gain"))),
    Table("laws", "Figures 5 to 7", "Exponents of the best batch; grid: their standard error from the spacing of the "
          "batches, which the spread of seeds does not show", LAWS,
          "rates, sizes, accumulating, momentum, widths", reference="laws.csv",
          cells=(Cell("B_opt", "exponent"), Cell("grid", "exponent/grid_error"), Cell("parabola", "exponent/vertex"),
                 Cell("held out", "exponent/held_out"),
                 Cell("B/(N − B)", "exact_exponent"), Cell("exact law's gain", "exact_gain"))),
    Table("evidence", "Figures 1 and 2", "Both ends of λ and the lowest E",
          tuple(Row(f"{words} labels", f"evidence-{kind}") for words, kind in
                (("random", "random"), ("true", "true"), ("coin toss", "iid"))),
          "evidence", reference="evidence.csv",
          cells=(Cell("train error %", "weak/train_error"), Cell("test error %", "weak/test_error"),
                 Cell("strong test CE", "strong/test_loss"), Cell("lowest E", "evidence_min"),
                 Cell("at lg λ", "evidence_at"), Cell("test CE lowest at", "test_loss_at"),
                 Cell("margin", "weak/margin"))),
    Table("controls", "Beyond Figures 3, 4 and 8", "Is the gap one of rate, of updates, of noise or of the model?",
          CONTROLS, "gap, tuned, epochs, sampling, l2, linear, accumulating",
          (("batch_size", "B"), ("lr", "ε"), ("updates", "updates"), (images, "N")), ERROR, "test error %",
          presets=AT_PAPER),
)  # fmt: skip
