"""The figures and tables of Smith et al. 2018 as declarations: same series, axes, units and order as printed."""

from __future__ import annotations

from shared.report.declare import SCORE, Cell, Curves, Panel, Points, Row, Series, Table

ACCURACY = "100-val/error"
SCHEDULES = (
    ("Decaying learning rate", "decay", "large"),
    ("Hybrid", "hybrid", "other"),
    ("Increasing batch size", "increase", "fifth"),
)
FASTER = (
    ("Original schedule", "decay", "large"),
    ("Increasing batch size", "increase-capped", "fifth"),
    ("Increased initial rate", "higher-lr", "other"),
    ("Increased momentum", "higher-momentum", "fourth"),
)
STEPS = "trainer/global_step"


def _schedules(title: str, prefix: str = "", metric: str = ACCURACY, x: str = "", **options) -> Panel:
    series = (Series(label, f"{prefix}{arm}", metric, color, x=x) for label, arm, color in SCHEDULES)
    return Panel(title, tuple(series), **options)


def _accuracy(key: str, where: str, title: str, caption: str, panels: tuple[Panel, ...], sweep: str) -> Curves:
    return Curves(key=key, where=where, title=title, caption=caption, panels=panels, sweep=sweep,
                  y_label="test accuracy %", share_y=False, columns=2, reference="fig3.csv")  # fmt: skip


FIGURES = (
    Curves(
        key="fig1",
        where="Figure 1",
        title="Learning rate, batch and noise scale of the three schedules",
        caption="As recorded at every evaluation. The noise scale is the exact one, ε/(1−m)·(N/B−1): with the growing "
        "batch it falls below the others in the last phase, where B is no longer far below N.",
        panels=(
            _schedules("(a) learning rate", metric="lr", y_label="learning rate", y_log=True),
            _schedules("(b) batch size", metric="batch", y_label="batch size", y_log=True),
            _schedules("noise scale", metric="noise/exact", y_label="noise scale", y_log=True),
        ),
        sweep="schedules",
        share_y=False,
        legend_metric=None,
    ),
    Curves(
        key="fig2",
        where="Figure 2",
        title="Training loss of the three schedules, against epochs and against updates",
        caption="In the paper: one curve against epochs, 80,000 against 34,500 and 29,000 updates. The paper's points "
        "are medians, of its growing batch.",
        panels=(
            _schedules("(a) epochs", metric="train/loss", x="epoch", x_label="epochs"),
            _schedules("(b) updates", metric="train/loss", x_label="updates"),
        ),
        sweep="schedules",
        x=STEPS,
        y_label="training cross-entropy",
        share_y=False,
        columns=2,
        legend_metric=None,
        reference="fig2.csv",
    ),
    _accuracy(
        "fig3", "Figure 3", "Test accuracy with momentum and with Nesterov momentum",
        "The legend gives the error of the last five evaluations. In the paper: the three coincide, jump at the first "
        "drop of the noise, sag until the second. Its points are medians over some twenty epochs.",
        (_schedules("(a) momentum"), _schedules("(b) Nesterov", "nesterov-")), "schedules, optimizers",
    ),
    _accuracy(
        "fig4", "Figure 4", "Test accuracy without momentum and with Adam",
        "The legend gives the error. In the paper: without momentum there is no sag; with Adam both growing batches "
        "lie a point below the decaying rate before the second drop.",
        (_schedules("(a) vanilla SGD", "sgd-"), _schedules("(b) Adam", "adam-")), "optimizers",
    ),
    Curves(
        key="fig5",
        where="Figure 5",
        title="Test accuracy against updates",
        caption="All arms see as many epochs; the legend gives the error. In the paper: 80,000, 29,000, 6,500 and "
        "2,500 updates, the last at a point less. Its points are the ends of the curves.",
        panels=(Panel("", tuple(Series(label, arm, ACCURACY, color) for label, arm, color in FASTER)),),
        sweep="updates",
        x=STEPS,
        x_label="updates",
        y_label="test accuracy %",
        share_y=False,
        columns=1,
        reference="fig5.csv",
    ),
    Points(
        key="fig8",
        where="Appendix B, Figure 8",
        title="Test error against the initial rate at a constant batch",
        caption="The decaying schedule. The paper's figure was not at hand; from memory it rises from 0.4 on.",
        panels=(Panel("", (Series("decaying schedule", "lr-*", SCORE),
                           Series("the rate kept here", "decay", SCORE, "base"))),),
        sweep="rates",
        x="lr",
        x_label="initial learning rate",
        y_label="test error %",
        band="ci95",
    ),
    Curves(
        key="controls",
        where="Figure 3a, controls of ours",
        title="What the paper leaves out",
        caption="Ours alone. No decay at all; rate and batch changed both, so that the noise falls by 25 at a time; as "
        "many updates as the growing batch; batch norm over the whole batch; Adam's batch grown by the square-root "
        "rule.",
        panels=(
            Panel("noise", (Series("decay", "decay", ACCURACY, "large"),
                            Series("constant", "constant", ACCURACY, "base"),
                            Series("both", "both", ACCURACY, "other"))),
            Panel("updates and ghosts", (Series("increase, capped", "increase-capped", ACCURACY, "fifth"),
                                         Series("no ghost batches", "no-ghost", ACCURACY, "base"),
                                         Series("decay, equal updates", "equal-updates", ACCURACY, "large", "dash"))),
            Panel("Adam", (Series("decay", "adam-decay", ACCURACY, "large"),
                           Series("increase", "adam-increase", ACCURACY, "fifth"),
                           Series("increase, √ rule", "adam-sqrt", ACCURACY, "other"))),
        ),
        sweep="controls, adam-sqrt",
        y_label="test accuracy %",
        share_y=False,
        legend_metric=None,
    ),
)  # fmt: skip

ENDS = (
    Cell("test error %", "val/error_last5_median"),
    Cell("before 1st drop", "before/val/error"),
    Cell("before 2nd drop", "sag/val/error"),
    Cell("end", "end/val/error"),
    Cell("updates", "updates"),
)
TABLES = (
    Table(
        key="schedules",
        where="Figures 2 to 4",
        title="Where the curves stand, and how many updates they take",
        rows=tuple(
            Row(f"{name}{word}", f"{prefix}{arm}")
            for name, prefix in (("", ""), ("Nesterov, ", "nesterov-"), ("SGD, ", "sgd-"), ("Adam, ", "adam-"))
            for word, arm in (("decay", "decay"), ("hybrid", "hybrid"), ("increase", "increase"))
        ),
        sweep="schedules, optimizers",
        cells=ENDS,
        reference="windows.csv",
    ),
    Table(
        key="updates",
        where="Figure 5",
        title="Fewer updates at equal epochs",
        rows=(
            *(Row(label, arm) for label, arm, _ in FASTER),
            Row("Increasing, no cap", "increase"),
            Row("Hybrid", "hybrid"),
        ),
        sweep="updates",
        cells=(Cell("test error %", "val/error_last5_median"), Cell("updates", "updates")),
        reference="updates.csv",
    ),
    Table(
        key="controls",
        where="Beyond Figures 3 to 5",
        title="Controls",
        rows=(
            Row("decay", "decay"),
            Row("increase", "increase"),
            Row("constant", "constant"),
            Row("both", "both"),
            Row("decay, equal updates", "equal-updates"),
            Row("increase, capped", "increase-capped"),
            Row("… without ghosts", "no-ghost"),
            Row("rate and batch ×125", "beyond"),
            Row("increased momentum", "higher-momentum"),
            Row("… at momentum 0.9", "higher-lr-twice"),
            Row("… longer", "higher-momentum-longer"),
            Row("increased rate, longer", "higher-lr-longer"),
            Row("decay, longer", "decay-longer"),
            Row("Adam, √ rule", "adam-sqrt"),
        ),
        sweep="controls, adam-sqrt, longer, buffer",
        cells=ENDS,
    ),
    Table(
        key="imagenet",
        where="Figures 6 and 7",
        title="Inception-ResNet-V2 on ImageNet",
        rows=(
            Row("decay", "inception-decay"),
            Row("increase", "inception-increase"),
            Row("momentum 0.9", "inception-m-0.9"),
            Row("momentum 0.95", "inception-m-0.95"),
            Row("momentum 0.975", "inception-m-0.975"),
        ),
        sweep="inception",
        cells=(Cell("top-1 error %", "val/error_last5_median"), Cell("updates", "updates")),
        reference="fig6.csv",
        presets=("paper",),
    ),
    Table(
        key="section54",
        where="Section 5.4",
        title="ResNet-50 on ImageNet",
        rows=(
            Row("8192", "resnet-50-constant"),
            Row("8192, then 16,384", "resnet-50-increase"),
            Row("16,384, twice the rate", "resnet-50-double"),
        ),
        sweep="resnet-50",
        cells=(Cell("top-1 error %", "val/error_last5_median"), Cell("minutes", "minutes")),
        reference="section54.csv",
        presets=("paper",),
    ),
)
