"""The figures and tables of Goyal et al. 2017 as declarations: same series, axes, units and order as printed."""

from __future__ import annotations

from shared.report.declare import Curves, Panel, Points, Row, Series, Table
from shared.spec import RunSpec

KN = "kn={kn}, η={lr:.3g}"
TRAIN = "train/error"
BASE = Series(KN, "kn-{base}", TRAIN, "base")


def workers(spec: RunSpec) -> int:
    """The paper's k in Table 1: workers of n = ``bn_batch`` images each."""
    return spec.batch_size // (spec.bn_batch or spec.batch_size)


def gamma(spec: RunSpec) -> int:
    """γ at the start in the last batch norm of each block."""
    return 0 if spec.model.args["zero_gamma"] else 1


def _against_base(title: str, arm: str) -> Panel:
    return Panel(title, (BASE, Series(KN, arm, TRAIN)))


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
        caption="Linear scaling, gradual warm-up, a fixed number of epochs. In the paper: flat up to 8k, then a rise.",
        arms="kn-{grid}",
        sweep="batch-size",
        reference="fig1.csv",
        reach=20.0,
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
        caption="Ours alone: the paper shows 8k only.",
        panels=_warmups("{twice}"),
        sweep="warmup",
        y_label="training error %",
    ),
    Curves(
        key="fig3",
        where="Figure 3",
        title="Training error of every minibatch size against the small batch",
        caption="In the paper: up to 8k curves that coincide after the warm-up, not only at their ends; beyond it a "
        "gap all the way.",
        panels=(_against_base("kn={kn}", "kn-{grid}"),),
        omit=("kn-64",),
        sweep="batch-size",
        y_label="training error %",
    ),
    Curves(
        key="fig4",
        where="Figure 4",
        title="Training and validation error of the small and the large batch",
        caption="In the paper: both pairs match in the end; early on, validation at 8k varies more, which the paper "
        "puts down to running batch-norm averages that are updated less often. The panel with statistics recomputed "
        "before each evaluation is ours.",
        panels=(
            Panel(
                "training (dashed) and validation",
                (
                    Series("train kn={kn}", "kn-{base}", TRAIN, "base", "dash"),
                    Series("train kn={kn}", "kn-{large}", TRAIN, dash="dash"),
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
        caption="In the paper: the end errors are close, the curves are not; curves that coincide are a sharper test.",
        panels=(Panel("kn={kn}", (BASE, Series(KN, "kn-{base}-lr-x2", TRAIN))),),
        sweep="lr-rules",
        y_label="training error %",
        columns=1,
    ),
)


TABLES = (
    Table(
        key="table1",
        where="Table 1",
        title="Warm-up strategies, with k workers of n images",
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
        fields=((workers, "k"), ("bn_batch", "n"), ("batch_size", "kn"), ("lr", "η")),
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
            Row("small batch", "kn-{base}-gamma-1"),
            Row("small batch", "kn-{base}"),
            Row("large batch", "kn-{large}-gamma-1"),
            Row("large batch", "kn-{large}"),
        ),
        sweep="gamma",
        fields=(("batch_size", "kn"), ("lr", "η"), (gamma, "γ")),
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
        key="fig6",
        where="Figure 6",
        title="ImageNet-5k",
        rows=(),
        reference="fig6.csv",
        not_run="needs ImageNet-22k",
    ),
    Table(
        key="fig7",
        where="Figure 7",
        title="Time per iteration",
        rows=(),
        reference="fig7.csv",
        not_run="needs 32 to 44 servers of eight GPUs",
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
