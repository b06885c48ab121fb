"""Cells, their arms at both scales, and what is chosen from the tuning runs."""

from __future__ import annotations

import pandas as pd
import pytest

from replications.you import PAPER, cells, experiments, method
from replications.you.cells import HUGE, LARGE, MOST, SMALL, Cell, arm, made


def sweep(name: str, preset: str = "reduced"):
    return next(s for s in PAPER.sweeps(preset) if s.name == name).specs


def test_arms_are_named_as_in_the_reference_files():
    printed = pd.concat(
        pd.read_csv(f) for f in (PAPER.folder / "reference").glob("*.csv") if f.name not in ("table6.csv", "fig5.csv")
    )
    declared = {s.arm for s in PAPER.runs("paper").values()}
    assert set(printed["arm"]) - declared == set()
    assert declared - set(printed["arm"]) == {*experiments.OURS}


def test_paper_specs_carry_the_printed_rates_and_lengths():
    """Every row of Tables 1 and 3 to 5 has its printed batch, rate, epochs and warm-up."""
    specs = {s.arm: s for s in PAPER.runs("paper", seeds=1).values()}
    checked = 0
    for file in ("table1", "table3", "table4", "table5", "fig4"):
        for row in pd.read_csv(PAPER.folder / "reference" / f"{file}.csv").to_dict("records"):
            spec = specs[row["arm"]]
            assert spec.batch_size == row["batch_size"]
            assert spec.lr == row.get("lr", spec.lr), row["arm"]
            assert spec.epochs == row.get("epochs", spec.epochs), row["arm"]
            assert spec.warmup_epochs == row.get("warmup_epochs", spec.warmup_epochs), row["arm"]
            checked += 1
    assert checked > 80
    assert specs["alexnet-8k-lr-0.03"].warmup_epochs == 2.5
    assert specs["alexnet-bn-8k-lr-0.3"].warmup_epochs == 0
    assert {s.optimizer.momentum_form for s in specs.values()} == {"absorbed"}
    assert {s.bn_batch for s in specs.values() if s.batch_size == HUGE} == {None, 1024}


def test_reduced_batches_keep_the_papers_ratios():
    for spec in (*sweep("sgd"), *sweep("lars")):
        theirs = PAPER.counterpart(spec)
        if theirs is not None:
            assert spec.batch_size * 32 == theirs.batch_size
            assert spec.optimizer == theirs.optimizer
            assert spec.warmup_epochs / spec.epochs == pytest.approx(theirs.warmup_epochs / theirs.epochs)
    assert max(s.batch_size for s in PAPER.runs("reduced").values()) == cells.IMAGES["reduced"] // 4


def test_what_stands_for_what():
    def other(cell: Cell):
        found = PAPER.counterpart(made(cell, "reduced", 3))
        return found and (found.arm, found.seed)

    assert other(Cell("alexnet", LARGE)) == ("alexnet-8k-lr-0.03", 3)
    assert other(Cell("alexnet-bn", LARGE, variant="far")) == ("alexnet-bn-8k-lr-0.41", 3)
    assert other(Cell("alexnet-bn", MOST, "lars", "200%")) == ("alexnet-bn-32k-lars-200-epochs", 3)
    assert other(Cell("resnet-50", 1024, "lars")) == ("resnet-50-1k-lars", 3)
    for ours in (Cell("alexnet", MOST), Cell("plain", LARGE), Cell("cifar-alexnet", LARGE, "lars"),
                 Cell("resnet-50", LARGE), Cell("alexnet-bn", HUGE, "lars", "x4")):  # fmt: skip
        assert other(ours) is None


def test_longer_runs_keep_their_warmup():
    short, long = (made(Cell("alexnet-bn", MOST, "lars", v), "reduced") for v in ("", "200%"))
    assert (short.epochs, long.epochs, long.arm) == (16, 32, "alexnet-bn-1k-lars-32-epochs")
    assert short.warmup_epochs == long.warmup_epochs == pytest.approx(0.8)


def test_every_cell_that_is_judged_is_tuned_over_one_grid():
    """The same rates for every batch of a net and optimizer, and as many for every net and optimizer."""
    grids: dict[str, dict[int, set[float]]] = {}
    for spec in sweep("tune"):
        kind = spec.arm.rpartition("-lr-")[0].replace(f"-{cells.size(spec.batch_size)}", "")
        grids.setdefault(kind, {}).setdefault(spec.batch_size, set()).add(spec.lr)
    assert {len(g) for batches in grids.values() for g in batches.values()} == {cells.RATES}
    assert all(len(set(map(frozenset, batches.values()))) == 1 for batches in grids.values())
    tuned = {spec.arm.rpartition("-lr-")[0].removeprefix("tune-") for spec in sweep("tune")}
    assert tuned == set(cells.CHOSEN)


def rows(errors: dict[str, float]) -> pd.DataFrame:
    table = [{"arm": a, "lr": float(a.rpartition("-")[2]), "val/error": e} for a, e in errors.items()]
    return pd.DataFrame(table)


def test_the_chosen_rate_is_the_best_on_held_out_images_and_edges_are_named():
    found, edges = method.chosen_rates(
        rows({
            "tune-alexnet-256-lr-0.01": 40.0, "tune-alexnet-256-lr-0.02": 30.0, "tune-alexnet-256-lr-0.04": 30.0,
            "tune-alexnet-256-lr-0.08": 90.0, "tune-alexnet-256-lars-lr-1": 20.0, "tune-alexnet-256-lars-lr-2": 10.0,
            "alexnet-256-lr-0.08": 1.0,
        })
    )  # fmt: skip
    assert found == {"alexnet-256": 0.02, "alexnet-256-lars": 2.0}
    assert edges == ["alexnet-256-lars"]


def test_the_chosen_trial_is_the_best_of_each_optimizer():
    table = pd.DataFrame({
        "arm": ["trial-lars-10", "trial-lars-9", "trial-adam-0", "trial-adam-1", "needed-lars"],
        "val/error": [5.0, 5.0, 9.0, 8.0, 0.0],
    })  # fmt: skip
    assert method.chosen_trials(table) == {"lars": 9, "adam": 1}


def test_trials_fill_boxes_of_one_size():
    """The same 32 points for each optimizer: rates over three decades, decay, momentum and warm-up alike."""
    by_name = {n: experiments.trials(n, "reduced") for n in experiments.LOWEST}
    for name, specs in by_name.items():
        assert len({s.arm for s in specs}) == 32
        scaled = sorted(s.lr / experiments.LOWEST[name] for s in specs)
        assert 1 <= scaled[0] < 2
        assert 500 < scaled[-1] <= 1000
        assert {s.batch_size for s in specs} == {1024}
    shared = [[(s.optimizer.weight_decay, s.optimizer.momentum, s.warmup_epochs) for s in x] for x in by_name.values()]
    assert shared[0] == shared[1] == shared[2]
    decays, momenta, warm = zip(*shared[0], strict=True)
    assert min(decays) < 3e-5
    assert max(decays) > 4e-3
    assert min(momenta) < 0.75
    assert 0.96 < max(momenta) <= 0.97
    assert max(warm) <= 0.3 * 16


def test_searches_of_four_are_over_all_trials_with_the_diverged_ones():
    assert all(s.takes_diverged and len(s.parents) == 32 for s in sweep("needed-of-four"))


def test_table_2_takes_the_small_net_and_the_full_one():
    small, full = (
        next(s for s in sweep("norms") if s.arm == a) for a in ("alexnet-bn-norms", "alexnet-bn-norms-random")
    )
    assert (small.random_net, full.random_net) == ("", "alexnet-bn")
    assert PAPER.counterpart(small).arm == "alexnet-bn-norms"
    assert PAPER.counterpart(full) is None
    assert arm(Cell("alexnet-bn", SMALL, "lars"), "paper") == "alexnet-bn-512-lars"
