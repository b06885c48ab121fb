"""The figures and tables of Goyal et al. 2017 as declarations: same series, axes, units and order as printed."""

from __future__ import annotations

from shared.report.declare import Curves, Panel, Points, Row, Series, Table

KN = "kn={kn}, η={lr:.3g}"
BASE = Series(KN, "kn-{base}", color="base")


def _against_base(title: str, arm: str) -> Panel:
    return Panel(title, (BASE, Series(KN, arm)))


def _warmups(batch: str) -> tuple[Panel, ...]:
    return (
        _against_base("(a) no warm-up", f"kn-{batch}-no-warmup"),
        _against_base("(b) constant warm-up", f"kn-{batch}-constant-warmup"),
        _against_base("(c) gradual warm-up", f"kn-{batch}"),
    )


FIGURES = (
    Points(
        key="fig1",
        where="Figure 1",
        title="Validation error against minibatch size",
        caption="Linear scaling with gradual warm-up and a fixed number of epochs: flat up to a batch, then a rise.",
        arms="kn-{grid}",
        sweep="batch-size",
        reference="fig1.csv",
    ),
    Curves(
        key="fig2",
        where="Figure 2",
        title="Training error under the three warm-ups at the last good batch",
        caption="Each panel sets the small batch against the large one; the legend gives the validation error.",
        panels=_warmups("{large}"),
        sweep="warmup",
        y_label="training error %",
    ),
    Curves(
        key="fig2-twice",
        where="Figure 2, at twice the batch",
        title="Training error under the three warm-ups at twice the last good batch",
        caption="The paper shows 8k alone; at twice the last good batch the warm-up has more to repair.",
        panels=_warmups("{twice}"),
        sweep="warmup",
        y_label="training error %",
    ),
    Curves(
        key="fig3",
        where="Figure 3",
        title="Training error of every minibatch size against the small batch",
        caption="Curves that coincide, not only at their ends, up to the last good batch; a gap all the way beyond it.",
        panels=(_against_base("kn={kn}", "kn-{grid}"),),
        sweep="batch-size",
        y_label="training error %",
    ),
    Curves(
        key="fig4",
        where="Figure 4",
        title="Training and validation error of the small and the large batch",
        caption="Validation at the large batch is noisy while its running batch-norm averages lag; with statistics "
        "recomputed before each evaluation the noise goes.",
        panels=(
            Panel(
                "training (dashed) and validation",
                (
                    Series("train kn={kn}", "kn-{base}", color="base", dash="dash"),
                    Series("train kn={kn}", "kn-{large}", dash="dash"),
                    Series("val kn={kn}", "kn-{base}", "val/error", "base"),
                    Series("val kn={kn}", "kn-{large}", "val/error"),
                ),
            ),
            Panel(
                "validation, statistics recomputed",
                (
                    Series("recomputed kn={kn}", "kn-{base}", "val/error_precise_bn", "base"),
                    Series("recomputed kn={kn}", "kn-{large}", "val/error_precise_bn"),
                    Series("running kn={kn}", "kn-{large}", "val/error", "fourth", "dot"),
                ),
            ),
        ),
        sweep="batch-size",
        legend_metric=None,
        columns=2,
    ),
    Curves(
        key="fig5",
        where="Figure 5",
        title="Training error of the small batch at two learning rates",
        caption="The end errors are close, the curves are not: overlaying curves are a sharper test than end points.",
        panels=(Panel("kn={kn}", (BASE, Series(KN, "kn-{base}-lr-x2"))),),
        sweep="lr-rules",
        y_label="training error %",
        columns=1,
    ),
)


TABLES = (
    Table(
        key="table1",
        where="Table 1",
        title="Warm-up strategies",
        rows=(
            Row("baseline", "kn-{base}"),
            Row("no warm-up", "kn-{large}-no-warmup"),
            Row("constant warm-up", "kn-{large}-constant-warmup"),
            Row("gradual warm-up", "kn-{large}"),
            Row("no warm-up, twice the batch", "kn-{twice}-no-warmup"),
            Row("constant warm-up, twice the batch", "kn-{twice}-constant-warmup"),
            Row("gradual warm-up, twice the batch", "kn-{twice}"),
        ),
        sweep="warmup",
        reference="table1.csv",
    ),
    Table(
        key="table2a",
        where="Table 2a",
        title="Learning rate scaling rules",
        rows=(
            Row("half the rate", "kn-{base}-lr-x0.5"),
            Row("reference rate", "kn-{base}"),
            Row("twice the rate", "kn-{base}-lr-x2"),
            Row("linear, half the rate", "kn-{large}-lr-x0.5"),
            Row("linear", "kn-{large}"),
            Row("linear, twice the rate", "kn-{large}-lr-x2"),
            Row("fixed", "kn-{large}-fixed-lr"),
            Row("square root", "kn-{large}-sqrt-lr"),
        ),
        sweep="lr-rules",
        reference="table2a.csv",
    ),
    Table(
        key="table2b",
        where="Table 2b",
        title="γ of the last batch norm in each residual block at the start",
        rows=(
            Row("γ = 1", "kn-{base}-gamma-1"),
            Row("γ = 0", "kn-{base}"),
            Row("γ = 1", "kn-{large}-gamma-1"),
            Row("γ = 0", "kn-{large}"),
        ),
        sweep="gamma",
        reference="table2b.csv",
    ),
    Table(
        key="table2c",
        where="Table 2c",
        title="ResNet-101",
        rows=(
            Row("ResNet-101", "kn-{base}-resnet-101"),
            Row("ResNet-101", "kn-{large}-resnet-101"),
        ),
        sweep="resnet-101",
        reference="table2c.csv",
    ),
    Table(
        key="table3a",
        where="Table 3a",
        title="Transfer to Mask R-CNN",
        rows=(),
        reference="table3a.csv",
        not_run="needs COCO and models pre-trained on ImageNet",
    ),
    Table(
        key="table3b",
        where="Table 3b",
        title="Linear scaling in Mask R-CNN",
        rows=(),
        reference="table3b.csv",
        not_run="needs COCO and models pre-trained on ImageNet",
    ),
)
