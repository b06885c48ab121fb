"""The figures and tables of You et al. 2017 as declarations: same series, axes and order as printed."""

from __future__ import annotations

from shared.report.declare import Cell, Curves, Figure, Panel, Points, Row, Series, Table
from shared.report.style import COLORS

ACCURACY, PLOTTED = "val/accuracy", "plotted/accuracy"
UNIT = "top-1 accuracy %"
PLACES = ("small", "mid", "large", "huge", "most")
BY_PLACE = dict(zip(PLACES, (c for c in COLORS if c != "paper"), strict=True))
TENSORS = tuple(f"{layer}.{kind}" for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
                for kind in ("weight", "bias"))  # fmt: skip


def _epochs(title: str, large: str, label: str) -> Panel:
    """Figure 3: the small batch against the large one, accuracy by epoch."""
    return Panel(
        title,
        (
            Series("B={b_small}", "{bn_small}", "100-val/error", "base", printed_metric=PLOTTED),
            Series(label, large, "100-val/error", "large", printed_metric=PLOTTED),
        ),
    )


def _local(tensor: str) -> Panel:
    colors = ("base", "other", "large")
    lines = (
        Series(f"B={{b_local_{x}}}", f"{{local_{x}}}", f"local_rate/{tensor}", c)
        for x, c in zip("abc", colors, strict=True)
    )
    return Panel(tensor, tuple(lines))


def _cliff(title: str, stem: str) -> Panel:
    """Accuracy on held-out images against the rate, a line for each batch."""
    lines = (Series("B={kn}", f"tune-{stem.format('{' + p + '}')}-lr-*", "100-val/error", BY_PLACE[p]) for p in PLACES)
    return Panel(title, tuple(lines), presets=("reduced",))


def _batches(title: str, label: str) -> Panel:
    """SGD and LARS at their best rates against the batch."""
    sgd = Series("SGD", f"{{{label}_sgd}}", ACCURACY, "base")
    return Panel(title, (sgd, Series("LARS", f"{{{label}_lars}}", ACCURACY, "large")))


def _search(title: str, metric: str) -> Panel:
    names = (("Nesterov", "base"), ("LARS", "large"), ("Adam", "other"))
    lines = (Series(name, f"needed-{name.lower()}-best-of", metric, color) for name, color in names)
    return Panel(title, tuple(lines), presets=("reduced", "smoke"))


def _rates(key: str, where: str, tensors: tuple[str, ...], caption: str) -> Figure:
    return Figure(
        key=key, where=where, title="Local learning rates along training", caption=caption,
        panels=tuple(_local(t) for t in tensors), sweep="lars", y_label="local rate λ", columns=2, reference="fig2.csv",
    )  # fmt: skip


FIGURES = (
    Points(
        key="cliff",
        where="Table 1, as curves",
        title="Accuracy against the learning rate, batch by batch",
        caption="The runs that chose the rates: one seed, held-out images. In the paper: without batch norm the best "
        "rate hardly rises with the batch and a cliff follows; with it, it rises and the fall is gentle. With LARS it "
        "should matter less.",
        panels=(
            _cliff("AlexNet, SGD", "alexnet-{}"),
            _cliff("AlexNet-BN, SGD", "alexnet-bn-{}"),
            _cliff("AlexNet, LARS", "alexnet-{}-lars"),
            _cliff("AlexNet-BN, LARS", "alexnet-bn-{}-lars"),
        ),
        sweep="tune",
        x="lr",
        x_label="learning rate (γ for LARS)",
        y_label="held-out accuracy %",
        columns=2,
    ),
    Points(
        key="batches",
        where="Tables 1 and 3, as curves",
        title="SGD and LARS against the batch, each at the rate chosen on held-out images",
        caption="SGD at the two largest batches is ours alone: the paper does not train it there.",
        panels=(_batches("AlexNet", "lrn"), _batches("AlexNet-BN", "bn")),
        sweep="sgd, lars",
        y_label=UNIT,
        x_label="batch",
        columns=2,
    ),
    Curves(
        key="fig1",
        where="Figure 1",
        title="Distance of test and training loss",
        caption="In the paper: noisy, and about 0.45 late in training at 512 and at 8K alike.",
        panels=(
            Panel(
                "AlexNet-BN",
                (
                    Series("B={b_small}", "{bn_small}", "loss_gap", "base"),
                    Series("B={b_large}", "{bn_large}", "loss_gap", "large"),
                ),
            ),
        ),
        sweep="sgd",
        y_label="|test − train loss|",
        legend_metric=None,
        share_y=False,
        columns=1,
    ),
    _rates(
        "fig2", "Figure 2", ("conv1.weight", "conv5.weight"),
        "In the paper (batches 256, 1K and 8K): a peak in the first epochs, and the lower the larger the "
        "batch. The legend has our batch, which stands for 512, 4K and 8K, and then the paper's. Here conv5's rates "
        "rise instead. The paper's scale cannot be equation 6's (E5).",
    ),
    _rates("fig2-biases", "Figure 2, biases", ("conv1.bias", "conv5.bias"), "As Figure 2, for biases."),
    Curves(
        key="fig3",
        where="Figure 3",
        title="Accuracy along training, without LARS and with it",
        caption="In the paper: without LARS the large batch stays below all the way, with it it overtakes the small "
        "one after two thirds of training. In brackets the paper's batch.",
        panels=(
            _epochs("(a) without LARS", "{bn_large}", "B={b_large}"),
            _epochs("(b) with LARS", "{bn_large_lars}", "B={b_large}, LARS"),
        ),
        sweep="sgd, lars",
        y_label=UNIT,
        legend_metric=ACCURACY,
        columns=2,
        reference="fig3.csv",
    ),
    Points(
        key="fig4",
        where="Figure 4",
        title="LARS against its rate at the two largest batches",
        caption="In the paper: flat from 13 to 22 at 16K and from 17 to 28 at 32K, and erratic beyond. Here γ "
        "is in steps from a quarter to four times the chosen one. In brackets the paper's batch.",
        panels=(
            Panel("B={b_huge}", (Series("AlexNet-BN", "{plateau_huge}", ACCURACY, "base", printed_metric=PLOTTED),)),
            Panel("B={b_most}", (Series("AlexNet-BN", "{plateau_most}", ACCURACY, "large", printed_metric=PLOTTED),)),
        ),
        sweep="plateau",
        x="lr",
        x_label="γ",
        x_log=False,
        y_label=UNIT,
        columns=2,
        reference="fig4.csv",
    ),
    Figure(
        key="needed",
        where="Beyond the paper, after Nado et al. 2021",
        title="Expected test accuracy of the best of k trials",
        caption="32 trials each, quasi-random in boxes of one size (rate, weight decay, momentum, warm-up), AlexNet-BN "
        "at the batch for 32K; chosen on held-out images. The ends are those of the middle 90 % over resampled trials; "
        "as k nears 32 they close on the best trial drawn and are too narrow.",
        panels=(
            _search("expected", "accuracy"),
            _search("5 % of searches below", "accuracy/low"),
            _search("5 % of searches above", "accuracy/high"),
        ),
        sweep="needed-curve",
        x="k",
        x_label="trials k",
        y_label=UNIT,
        columns=3,
    ),
)  # fmt: skip


def _sides(label: str, place: str, name: str) -> tuple[Row, ...]:
    order = ("_below", "", "_above", "_far")
    return tuple(Row(name, f"{{{label}_{place}{side}}}") for side in order)


def _table1(key: str, label: str, title: str) -> Table:
    return Table(
        key=key,
        where=f"Table 1{key[-1]}",
        title=f"{title} with SGD, by batch and rate",
        rows=(Row("512", f"{{{label}_small}}"), *_sides(label, "mid", "4K"), *_sides(label, "large", "8K"),
              Row("8K, linear scaling", f"{{{label}_large_linear}}")),
        sweep="sgd",
        fields=(("batch_size", "B"), ("lr", "η")),
        metric=ACCURACY,
        unit=UNIT,
        reference="table1.csv",
    )  # fmt: skip


def _norms(key: str, arm: str, title: str) -> Table:
    return Table(
        key=key,
        where="Table 2",
        title=title,
        rows=tuple(Row(tensor, tensor) for tensor in TENSORS),
        sweep="norms",
        cells=(
            Cell("‖w‖", "weight_norm/{row}", arm),
            Cell("‖∇L‖", "gradient_norm/{row}", arm),
            Cell("‖w‖/‖∇L‖", "norm_ratio/{row}", arm),
        ),
        reference="table2.csv",
    )


def _lars(label: str, name: str) -> tuple[Row, ...]:
    batches = ("512", "4K", "8K", "16K", "32K")
    return tuple(Row(f"{name}, {b}", f"{{{label}_{p}_lars}}") for p, b in zip(PLACES, batches, strict=True))


def _resnet(*arms: str) -> tuple[Row, ...]:
    return tuple(Row(name, arm) for name, arm in (a.split("=") for a in arms))


TABLES = (
    _table1("table1a", "lrn", "AlexNet"),
    _table1("table1b", "bn", "AlexNet-BN"),
    _norms("table2", "alexnet-bn-norms", "Norms at the first update of AlexNet-BN, small here; columns put right (E1)"),
    _norms("table2-full", "{norms_full}", "Norms at the first update of the full AlexNet-BN, on random images here"),
    Table(
        key="table3",
        where="Table 3",
        title="With LARS, by batch",
        rows=(*_lars("lrn", "AlexNet"), *_lars("bn", "AlexNet-BN")),
        sweep="lars",
        fields=(("batch_size", "B"), ("lr", "γ")),
        metric=ACCURACY,
        unit=UNIT,
        reference="table3.csv",
    ),
    Table(
        key="table3-sgd",
        where="Table 3, beside SGD of our own",
        title="LARS and SGD at rates chosen with equal budgets, top-1 accuracy %",
        rows=tuple(Row(f"B for {b}", p) for p, b in zip(PLACES, ("512", "4K", "8K", "16K", "32K"), strict=True)),
        sweep="sgd, lars",
        cells=(
            Cell("AlexNet, SGD", ACCURACY, "{lrn_{row}}"),
            Cell("AlexNet, LARS", ACCURACY, "{lrn_{row}_lars}"),
            Cell("AlexNet-BN, SGD", ACCURACY, "{bn_{row}}"),
            Cell("AlexNet-BN, LARS", ACCURACY, "{bn_{row}_lars}"),
        ),
        presets=("reduced", "smoke"),
    ),
    Table(
        key="table4",
        where="Table 4",
        title="ResNet-50, and a small residual net at reduced scale",
        rows=_resnet(
            "256, v3=resnet-50-256-poly", "8K, v3=resnet-50-8k-v3", "16K, v3=resnet-50-16k-lars-v3",
            "32K, v3=resnet-50-32k-lars-v3", "256, ICLR={resnet_256_lars}", "1K, ICLR={resnet_small_lars}",
            "8K, ICLR={resnet_large_lars}", "16K, ICLR={resnet_huge_lars}", "32K, ICLR={resnet_most_lars}",
            "256, augmented=resnet-50-256-lars-aug", "1K, augmented=resnet-50-1k-lars-aug",
            "8K, augmented=resnet-50-8k-lars-aug", "16K, augmented=resnet-50-16k-lars-aug",
            "32K, augmented=resnet-50-32k-lars-aug", "1K, SGD={resnet_small}", "8K, SGD={resnet_large}",
            "32K, SGD={resnet_most}",
        ),
        sweep="resnet",
        fields=(("batch_size", "B"), ("lr", "γ")),
        metric=ACCURACY,
        unit=UNIT,
        reference="table4.csv",
    ),
    Table(
        key="table5",
        where="Table 5",
        title="More epochs with LARS",
        rows=(
            Row("AlexNet-BN, 32K", "{bn_most_lars}"),
            Row("AlexNet-BN, 32K, 1.5 times", "{bn_long}"),
            Row("AlexNet-BN, 32K, twice", "{bn_longest}"),
            Row("AlexNet, 16K", "{lrn_huge_lars}"),
            Row("AlexNet, 16K, 1.5 times", "{lrn_long}"),
            Row("AlexNet, 16K, twice", "{lrn_longest}"),
            Row("ResNet-50, 16K", "resnet-50-16k-lars-aug"),
            Row("ResNet-50, 16K, 1.5 times", "resnet-50-16k-lars-aug-150-epochs"),
            Row("ResNet-50, 16K, twice", "resnet-50-16k-lars-aug-200-epochs"),
        ),
        sweep="epochs",
        fields=(("batch_size", "B"), ("epochs", "epochs")),
        metric=ACCURACY,
        unit=UNIT,
        reference="table5.csv",
    ),
    Table(
        key="others",
        where="Beyond Table 3",
        title="Without any normalisation, and on CIFAR-10, at the batch for 8K: top-1 accuracy %",
        rows=(
            Row("plain, Fashion-MNIST", "plain"),
            Row("plain, CIFAR-10", "cifar_plain"),
            Row("AlexNet, CIFAR-10", "cifar_lrn"),
            Row("AlexNet-BN, CIFAR-10", "cifar_bn"),
            Row("ResNet, CIFAR-10", "cifar_resnet"),
        ),
        sweep="plain, cifar",
        cells=(Cell("SGD", ACCURACY, "{{row}_large}"), Cell("LARS", ACCURACY, "{{row}_large_lars}")),
        presets=("reduced",),
    ),
    Table(
        key="needed",
        where="Beyond the paper, after Nado et al. 2021",
        title="Is LARS needed? AlexNet-BN at the batch for 32K, 32 trials of each optimizer",
        rows=tuple(Row(name, f"needed-{name.lower()}") for name in ("Nesterov", "LARS", "Adam")),
        sweep="needed, needed-of-four, needed-curve",
        cells=(
            Cell("best of 32, anew, %", ACCURACY),
            Cell("best of 4, %", "best-of-4", "{row}-best-of-4"),
            Cell("expected best of 32, %", "best-of/32", "{row}-best-of"),
            Cell("no longer finite, %", "diverged", "{row}-best-of"),
            Cell("updates to 75 %, where reached", "updates_to/75"),
        ),
        presets=("reduced", "smoke"),
    ),
    Table(
        key="table6",
        where="Table 6",
        title="GoogLeNet",
        rows=(),
        metric=ACCURACY,
        unit=UNIT,
        reference="table6.csv",
        not_run="needs GoogLeNet on ImageNet for up to 350 epochs",
    ),
    Table(
        key="fig5",
        where="Figure 5",
        title="ResNet-50 along training",
        rows=(),
        metric=PLOTTED,
        unit=UNIT,
        reference="fig5.csv",
        not_run="needs ResNet-50 on ImageNet; the runs with LARS are those of Table 4",
    ),
)  # fmt: skip
