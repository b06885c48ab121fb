"""The figures and tables of Hoffer et al. 2017 as declarations: same series, axes, units and order as printed.

Batches of ResNet44 are named by |B|/|B_S|, since |B_S| is 128 in the paper and 16 in the small nets: ``{x8}`` is 1024
there and 128 here. Printed differences are taken from ``reference/``.
"""

from __future__ import annotations

import math

from replications.hoffer.checks import printed
from shared.report.declare import Cell, Curves, Effect, Effects, Panel, Row, Series, Table
from shared.spec import Preset

ERROR, BEST, TRAIN = "val/error", "val/error_best", "train/error"
ACCURACY, BEST_ACCURACY = f"100-{ERROR}", f"100-{BEST}"
ONLY: tuple[Preset, ...] = ("reduced", "smoke")
COLUMNS = (("SB", "sb"), ("LB", "lb"), ("+LR", "lr"), ("+GBN", "gbn"), ("+RA", "ra"))
NETS = (("F1", "f1"), ("C1", "c1"), ("ResNet44", "r44"), ("VGG", "vgg"), ("C3", "c3"), ("WRN16-4", "wrn"))
BATCHES = (("|B_S|", "sb", "base"), ("2 |B_S|", "{x2}", "fifth"), ("4 |B_S|", "{x4}", "other"),
           ("8 |B_S|", "{x8}", "fourth"), ("16 |B_S|", "{x16}", "large"))  # fmt: skip
HALF = ("|B_S|/2", "{half}", "paper")
FIRST = (("SB", "sb", "base", "solid"), ("LB", "lb", "large", "solid"), ("+LR", "lr", "other", "solid"),
         ("+LR +GBN", "gbn", "fifth", "dash"))  # fmt: skip
STEP = "trainer/global_step"


def _by_batch(title: str, metric: str, batches=BATCHES, printed_metric: str = "", **options) -> Panel:
    lines = (Series(label, f"r44-{kind}", metric, color, printed_metric=printed_metric)
             for label, kind, color in batches)  # fmt: skip
    return Panel(title, tuple(lines), **options)


def _errors(batches, **options) -> tuple[Panel, ...]:
    return tuple(_by_batch(title, metric, batches, y_label=label, **options)
                 for title, metric, label in (("(a) training", TRAIN, "training error %"),
                                              ("(b) validation", ERROR, "validation error %")))  # fmt: skip


def _distances(tensor: str, which: str, batches, printed_metric: str, **options) -> tuple[Panel, ...]:
    """Figure 2: SB's own curve stands in both panels."""
    adapted = tuple(
        Series(label, "r44-sb" if kind == "sb" else f"r44-{kind.replace('{', '{gbn_')}", f"path/{tensor}", color,
               printed_arm="r44-gbn-batch-128" if kind == "sb" else "", printed_metric=printed_metric)
        for label, kind, color in batches
    )  # fmt: skip
    return (
        _by_batch(f"(a) baseline, {which}", f"path/{tensor}", batches, printed_metric, **options),
        Panel(f"(b) +LR +GBN, {which}", adapted, **options),
    )


def _distances_of_f1(tensor: str, which: str) -> Panel:
    lines = (Series(label, f"f1-{kind}", f"path/{tensor}", color, dash) for label, kind, color, dash in FIRST)
    return Panel(f"F1, {which}", tuple(lines), presets=("paper",))


def _adapted(title: str, net: str, *lines: tuple[str, str, str], **options) -> Panel:
    return Panel(title, tuple(Series(label, f"{net}-{kind}", ERROR, color) for label, kind, color in lines), **options)


def _potential(title: str, net: str, **options) -> Panel:
    return Panel(
        title,
        (Series("standard deviation", f"{net}-potential", "potential/std"),
         Series("‖∇L‖ ‖w − w₀‖/√n, first order", f"{net}-potential", "potential/taylor", "other", "dash")),
        **options,
    )  # fmt: skip


FIGURES = (
    Curves(
        key="fig1",
        where="Figure 1",
        title="Error against epochs by batch",
        caption="ResNet44 and its small stand-in, the baseline. In the paper: after the drop of the rate the "
        "validation error rises with the batch.",
        also={"paper": "Its training error of 1024 ends below that of 64."},
        panels=(*_errors((HALF, *BATCHES), alone=True, presets=("paper",)), *_errors(BATCHES, presets=ONLY)),
        sweep="r44-batches, r44-table1",
        y_label="error %",
        share_y=False,
        legend_metric=None,
        band="sd2",
        columns=2,
        reference="fig1.csv",
    ),
    Curves(
        key="fig2",
        where="Figure 2",
        title="Distance from the start against updates, at the first rate",
        caption="On this axis log t is a straight line. In the paper: (a) lines whose slope depends on the batch, (b) "
        "nearly one line. It does not say of which weights its distances are: ours are given for all of them and for "
        "the first tensor, which is what the released code logs.",
        panels=(
            *_distances("all", "all weights", (HALF, *BATCHES), "distance", alone=True, presets=("paper",)),
            *_distances("all", "all weights", BATCHES, "distance", presets=ONLY),
            *_distances("first", "first tensor", BATCHES, ""),
            _distances_of_f1("all", "all weights"),
            _distances_of_f1("first", "first tensor"),
        ),
        sweep="r44-batches, r44-table1, f1-table1",
        x=STEP,
        x_label="updates",
        x_log=True,
        y_label="‖w − w₀‖",
        share_y=False,
        legend_metric=None,
        band="sd2",
        columns=2,
        reference="fig2.csv",
    ),
    Curves(
        key="fig3",
        where="Figure 3",
        title="Validation error against updates in the adapted regime",
        caption="As many updates for every batch. In the paper: the curves of 2048 and 4096 lie on that of 128; one "
        "point of each, after the drop, is digitised, by which 4096 is lower by 0.45 (read to 0.2).",
        also={"paper": "F1 is ours alone.", "reduced": "RA is at a batch of 128."},
        panels=(
            _adapted("ResNet44", "r44", ("SB, 128", "sb", "base"), ("RA at 2048", "ra-16", "other"),
                     ("RA at 4096", "ra", "large"), alone=True, presets=("paper",)),
            _adapted("ResNet44", "r44", ("SB", "sb", "base"), ("RA", "ra", "large"), presets=ONLY),
            _adapted("F1", "f1", ("SB, 128", "sb", "base"), ("RA at 1024", "ra-8", "other"),
                     ("RA at 4096", "ra", "large"), presets=("paper",)),
        ),
        sweep="f1-table1, f1-ra-8, f1-ra-32, r44-table1, r44-ra, r44-fig3",
        x=STEP,
        x_label="updates",
        y_label="validation error %",
        share_y=False,
        legend_metric=None,
        band="sd2",
        columns=2,
        reference="fig3.csv",
    ),
    Curves(
        key="potential",
        where="Figure on the slides",
        title="Loss at random points around the start",
        caption="√E(L(w) − L(w₀))² over random directions, by distance. In the paper: near-linear, which it reads as "
        "a random potential with γ = 1; its left end lies at 0.0012, where the definition gives 0. Any smooth loss is "
        "linear so close to a point: the dashed line is what the gradient at w₀ alone predicts.",
        panels=(_potential("ResNet44", "r44", alone=True), _potential("F1", "f1", presets=("paper",))),
        sweep="r44-potential, f1-potential",
        x="distance",
        x_label="‖w − w₀‖",
        y_label="std of L(w) − L(w₀)",
        share_y=False,
        legend_metric=None,
        band="sd2",
        columns=2,
        reference="potential.csv",
    ),
)  # fmt: skip


# -- the paper's tables ------------------------------------------------------------------------------------------------


def _columns(metric: str) -> tuple[Cell, ...]:
    """The columns of Table 1; the paper's numbers are of an epoch that it does not name."""
    return tuple(Cell(f"{heading} %", metric, f"{{row}}-{kind}", ACCURACY) for heading, kind in COLUMNS)


def _variants(net: str) -> tuple[Cell, ...]:
    return tuple(Cell(f"{heading} %", ERROR, f"{net}-{kind}{{row}}") for heading, kind in COLUMNS[:4])


ROWS = tuple(Row(label, net) for label, net in NETS)
IN_TABLE1 = ", ".join(
    (
        "f1-table1",
        "f1-ra-32",
        *(f"{net}-{part}" for net in ("r44", "c1", "vgg", "c3", "wrn") for part in ("table1", "ra")),
    )
)
FITS = (*(Row(label, f"r44-{kind}") for label, kind, _ in (HALF, *BATCHES)),
        Row("|B_S| for as many epochs as RA", "r44-sb-long"), Row("LB, momentum kept", "r44-lb-kept"))  # fmt: skip
FITS_F1 = (Row("SB", "f1-sb"), Row("LB", "f1-lb"), Row("+LR", "f1-lr"), Row("+LR +GBN", "f1-gbn"), Row("RA", "f1-ra"),
           *(Row(f"{heading}, momentum kept", f"f1-{kind}-kept") for heading, kind in COLUMNS[:4]))  # fmt: skip
FIT = (
    "the distance grow like log t or √t? Epoch 2 to the drop; exponent p of a·t^p, √t with an offset is a + b√t. "
    "The gain grows with the number of points: its sign compares"
)
ENDS = (Cell("last epoch %", ERROR), Cell("best epoch %", BEST), Cell("training % since the last evaluation", TRAIN))
VARIANTS = (Row("main arm", ""), Row("momentum kept", "-kept"), Row("digits not mirrored", "-unflipped"),
            Row("drawn with replacement", "-replaced"), Row("in bfloat16", "-bf16"))  # fmt: skip


def _fit(heading: str, metric: str, tensor: str = "all") -> Cell:
    return Cell(heading, f"diffusion/{tensor}/{metric}", printed=f"diffusion/{metric}" if tensor == "all" else "")


_GAIN = _fit("AICc gain of log t over √t", "log-over-sqrt")
_POWERS = _fit("exponent of a power", "exponent"), _fit("the same, first tensor", "exponent", "first")
_FIT_CELLS = (
    _GAIN, _fit("the same, first tensor", "log-over-sqrt", "first"),
    _fit("slope in ln t", "slope"), _fit("R² of log t", "r2-log"), *_POWERS,
)  # fmt: skip
_FIT_CELLS_F1 = (
    _GAIN, _fit("over a 32nd of these updates", "log-over-sqrt-early"),
    _fit("all of them, first tensor", "log-over-sqrt", "first"), *_POWERS,
)  # fmt: skip


# -- confounds: differences of a main arm and one that takes back one thing --------------------------------------------

Terms = tuple[tuple[float, str, str], ...]


def _difference(a: str, b: str, metric: str = ERROR) -> Terms:
    return ((1.0, a, metric), (-1.0, b, metric))


def _minus(terms: Terms) -> Terms:
    return tuple((-weight, arm, metric) for weight, arm, metric in terms)


def _gap(net: str, change: str = "", metric: str = ERROR) -> Terms:
    return _difference(f"{net}-lb{change}", f"{net}-sb{change}", metric)


def _printed_gap(net: str) -> float:
    return round(printed("table1", f"{net}-lb") - printed("table1", f"{net}-sb"), 2)


def _confounds(net: str) -> tuple[Effect, ...]:
    return (
        Effect("the gap, LB − SB, after the last epoch", _gap(net), _printed_gap(net)),
        Effect("momentum emptied at every epoch: LB alone", _difference(f"{net}-lb", f"{net}-lb-kept")),
        Effect("… in LB and SB", (*_gap(net), *_minus(_gap(net, "-kept")))),
        Effect("… +LR", _difference(f"{net}-lr", f"{net}-lr-kept")),
        Effect("… +LR +GBN", _difference(f"{net}-gbn", f"{net}-gbn-kept")),
        Effect("+LR scaled from 2 |B_S|, not from |B_S|", _difference(f"{net}-lr-base-x2", f"{net}-lr")),
        Effect("the last epoch, not the best on the test set", (*_gap(net), *_minus(_gap(net, metric=BEST)))),
        Effect("RA over SB for as many epochs", _difference(f"{net}-ra", f"{net}-sb-long")),
        Effect("digits mirrored", (*_gap(net), *_minus(_gap(net, "-unflipped")))),
        Effect("LB at 4096, not at 2048 as in the script", _difference(f"{net}-lb", f"{net}-batch-2048")),
    )


def _ln_ratio(a: float, b: float) -> float:
    return round(math.log(a / b), 2)


def _fans() -> tuple[Effect, ...]:
    """ln of |B_S|'s distance over 16 |B_S|'s, so that a fan is a number above 0 and a collapse is 0."""
    ends = [printed("fig2", arm, "distance", epoch=80) for arm in ("r44-sb", "r44-batch-2048")]
    late = [printed("fig2", arm, "distance", global_step=t)
            for arm, t in (("r44-gbn-batch-128", 1900), ("r44-gbn-batch-2048", 1953))]  # fmt: skip
    small = printed("fig2", "r44-sb", "distance", global_step=1953)
    found = []
    for tensor, name in (("all", "all weights"), ("first", "first tensor")):
        stated = tensor == "all"
        for label, other, metric, pair in (
            ("as many epochs", "r44-{x16}", "ln-high-lr", ends),
            ("as many updates", "r44-{x16}", "ln-common", (small, ends[1])),
            ("as many updates, +LR +GBN", "r44-{gbn_x16}", "ln-common", late),
        ):
            terms = _difference("r44-sb", other, f"diffusion/{tensor}/{metric}")
            found.append(Effect(f"{name}, {label}", terms, _ln_ratio(*pair) if stated else None))
    return tuple(found)


TABLES = (
    Table("table1", "Table 1", "Accuracy after the last epoch", ROWS, IN_TABLE1,
          cells=_columns(ACCURACY), reference="table1.csv"),
    Table("table1-best", "Table 1, best epoch", "The same at the best epoch on the test set, beside the same numbers",
          ROWS, IN_TABLE1, cells=_columns(BEST_ACCURACY), reference="table1.csv"),
    Table("table2", "Table 2", "AlexNet on ImageNet, accuracy by LB", (Row("4096", ""), Row("8192", "-8k")),
          "alexnet-table2", cells=(
              *(Cell(f"{heading} %", ACCURACY, f"alexnet-{kind}") for heading, kind in COLUMNS[:3]),
              *(Cell(f"{heading} %", ACCURACY, f"alexnet-{kind}{{row}}") for heading, kind in COLUMNS[3:])),
          reference="table2.csv"),
    Effects(key="confounds-f1", where="Confounds of Table 1",
            sweep="f1-table1, f1-momentum, f1-momentum-rest, f1-lr-base, f1-unflipped, f1-scripts",
            title="How much of F1's gap is due to what paper and code do not agree on", rows=_confounds("f1"),
            unit="points", presets=("paper",)),
    Effects(key="confounds-r44", where="Confounds of Table 1", sweep="r44-table1, r44-confounds, r44-longer",
            title="How much of ResNet44's gap is due to what paper and code do not agree on", rows=_confounds("r44"),
            unit="points"),
    Effects(key="confounds-c1", where="Confounds of Table 1", sweep="c1-table1",
            title="How much of C1's gap is due to the epoch that is printed", rows=_confounds("c1"), unit="points"),
    Effects(key="confounds-distance", where="Figure 2, more closely", sweep="r44-table1, r44-batches",
            title="How much of the fan, ln of |B_S|'s distance over 16 |B_S|'s, is due to weights and axis",
            rows=_fans(), unit="ln"),
    Table("variants-f1", "Table 1, one thing changed", "Error of F1", VARIANTS,
          "f1-table1, f1-momentum, f1-momentum-rest, f1-unflipped, f1-unflipped-rest, f1-replacement, f1-bf16",
          cells=_variants("f1"), presets=("paper",)),
    Table("variants-r44", "Table 1, one thing changed", "Error of ResNet44", VARIANTS, "r44-confounds",
          cells=_variants("r44"), presets=ONLY),
    Table("others-f1", "Beyond Table 1", "Other arms of F1, error",
          (Row("LB at 1024 (ratio 8)", "f1-batch-1024"),
           Row("+LR +GBN at 1024", "f1-gbn-batch-1024"), Row("RA at 1024", "f1-ra-8"),
           Row("RA at 1024, not mirrored", "f1-ra-8-unflipped"), Row("noise of variance 31", "f1-noise"),
           Row("+LR scaled from 256", "f1-lr-base-x2"), Row("LB at 2048", "f1-batch-2048"),
           Row("+LR at 2048, scaled from 256", "f1-lr-2048")),
          "f1-batch-1024, f1-ra-8, f1-unflipped-ra-8, f1-noise, f1-lr-base, f1-scripts", cells=ENDS,
          presets=("paper",)),
    Table("others-r44", "Beyond Table 1", "Arms of ResNet44 without a printed number, error",
          (Row("noise of variance 7", "r44-noise"), Row("+LR scaled from 2 |B_S|", "r44-lr-base-x2"),
           Row("SB, the rate drops after half as many epochs", "r44-sb-early"),
           Row("SB for as many epochs as RA", "r44-sb-long")),
          "r44-noise, r44-confounds, r44-longer", cells=ENDS, presets=ONLY),
    Table("fits", "Figure 2, more closely", f"ResNet44: does {FIT}; of which weights the paper's are is not stated",
          FITS, "r44-batches, r44-table1, r44-longer, r44-confounds", cells=_FIT_CELLS, reference="fits.csv"),
    Table("fits-f1", "Figure 2, for F1", f"F1: does {FIT}", FITS_F1,
          "f1-table1, f1-momentum, f1-momentum-rest, f1-ra-32", cells=_FIT_CELLS_F1, presets=("paper",)),
    Table("table1-training", "Beside Table 1", "Training error in the last epoch (RA: its last |B_L|/|B_S|), a running "
          "mean over augmented images", ROWS, IN_TABLE1,
          cells=tuple(Cell(f"{heading} %", TRAIN, f"{{row}}-{kind}") for heading, kind in COLUMNS)),
)  # fmt: skip
