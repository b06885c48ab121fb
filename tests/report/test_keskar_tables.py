"""Keskar's tables of several metrics, and a report and a card that speak of two scales."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from replications.keskar import PAPER
from replications.keskar.figures import TABLES
from shared.report import blocks, build, ledger, tables
from shared.report.data import Summary, spread
from shared.report.declare import Cell, Row
from tests.report.made_up_keskar import made_up

TABLE = {table.key: table for table in TABLES}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """From a few arms at both scales."""
    arms = ("f1-sb", "f1-lb", "f1-line", "c1-sb", "c1-lb", "c1-line")
    parts = [made_up("paper", lambda s: s.arm in arms[:3]), made_up("reduced", lambda s: s.arm in arms[3:])]
    runs = tuple(pd.concat(pair, ignore_index=True) for pair in zip(*parts, strict=True))
    return build.build_report([PAPER], {"keskar": runs}, {}, tmp_path_factory.mktemp("report"))


def test_table_3_sets_ours_above_the_papers_for_each_net(at, keskar_runs):
    grid = tables.of_paper(TABLE["table3"], at["paper"])
    rows = keskar_runs[0]
    values = rows[(rows["arm"] == "f1-lb") & (rows["preset"] == "paper")]["sharp/full@0.001"]
    assert [c.name for c in grid.columns[2:]] == ["SB 1e-3 (n)", "LB 1e-3 (n)", "SB 5e-4 (n)", "LB 5e-4 (n)"]
    assert grid.rows[0][:2] == ("F1", "here")
    assert grid.rows[0][3] == f"{values.mean():.2f} ± {values.std(ddof=1):.2f} (5)"
    assert grid.rows[1] == ("", "paper", "1.23 ± 0.83 (5)", "205.14 ± 69.52 (5)", "0.61 ± 0.27 (5)",
                            "42.90 ± 17.14 (5)")  # fmt: skip
    assert [r[0] for r in grid.rows[2:]] == [f"{n} (not run)" for n in ("F2", "C1", "C2", "C3", "C4")]
    assert grid.rows[-1][2:] == ("12.83 ± 3.84 (5)", "421.84 ± 36.97 (5)", "4.07 ± 0.87 (5)", "109.35 ± 16.57 (5)")
    assert len(grid.numbers) == 6 * 4


@pytest.mark.parametrize(("key", "nets"), [("table2", 6), ("table3", 6), ("table4", 6), ("table6", 4), ("table7", 6)])
def test_every_printed_number_of_the_papers_tables_is_shown(key, nets, at):
    grid = tables.of_paper(TABLE[key], at["paper"])
    printed = [row[2:] for row in grid.rows if row[1] == "paper"]
    assert len(printed) == nets
    assert all("–" not in row for row in printed)


def test_a_smaller_preset_shows_only_the_nets_that_it_has(at):
    grid = tables.of_paper(TABLE["table2"], at["reduced"])
    assert [r[:2] for r in grid.rows] == [("C1", "here"), ("", "paper")]
    assert grid.rows[1][2:] == ("99.89 ± 0.02 (5)", "99.66 ± 0.20 (5)", "80.04 ± 0.12 (5)", "77.26 ± 0.42 (5)")


def test_the_table_of_stopping_points_reads_the_history_at_each_measured_epoch(at, keskar_runs):
    grid = tables.of_paper(TABLE["stopping"], at["paper"])
    rows, history = keskar_runs
    ids = rows[rows["arm"] == "f1-lb-path"]["run_id"]
    epochs = at["paper"].specs["f1-lb-path"].measure.at
    assert [r[0] for r in grid.rows] == [*(f"{b}, epoch {e}" for b in ("SB", "LB") for e in epochs),
                                         "SB, at the plateau", "LB, at the plateau"]  # fmt: skip
    values = history[history["run_id"].isin(ids) & (history["epoch"] == 10)]["sharp10k/full-sign@0.001"]
    cell = grid.rows[[r[0] for r in grid.rows].index("LB, epoch 10")][-1]
    assert cell == spread(Summary(len(values), values.mean(), values.std())) + f" ({len(values)})"


def test_a_control_without_a_value_is_not_called_not_run(at):
    cells = (*TABLE["controls"].cells, Cell("odd", "never/recorded"))
    rows = {r[0]: r for r in tables.of_paper(replace(TABLE["controls"], cells=cells), at["paper"]).rows}
    assert rows["SB"][-1] == "–"
    assert "(5)" in rows["SB"][1]


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [(205.14, 69.52, "205.14 ± 69.52"), (0.033, 0.009, "0.033 ± 0.009"), (2.3e-4, 1e-5, "2.3e-4 ± 1.0e-5"),
     (0.0, 0.0, "0.00 ± 0.00"), (-6.4e-18, 3.0e-17, "0.00 ± 0.00")],
)  # fmt: skip
def test_small_values_keep_two_digits(mean, sd, text):
    assert spread(tables._fine(Summary(5, mean, sd))) == text


# The report and the card at two scales


def test_both_scales_have_a_section_each_with_its_figures_and_command(report):
    text = report.markdown.read_text()
    paper, reduced = text.split("### Figures and tables, reduced scale")
    drawn = {"paper": ("fig3", "fit", "noise"), "reduced": ("fig2", "fig3", "fit")}
    assert [p.name for p in report.plots] == [f"keskar-{preset}-{key}" for preset in drawn for key in drawn[preset]]
    assert "    make replicate-keskar\n    make report\n" in paper
    assert "| F1 | here | " in paper
    assert "| C1 | here | " in reduced
    assert "Nothing is declared at this scale for: Figure 5; Figure 6; Figure 7" in reduced


def test_sweeps_without_a_run_take_a_line_with_the_command_that_runs_them(report):
    text = report.markdown.read_text()
    about = next(line for line in text.splitlines() if "declared runs are finished" in line)
    own = len(PAPER.own_scale) - 2  # all but the two that have runs
    assert f"Arms without a run: `f1-curve`. Not run: {own} sweeps on mnist; needs `make replicate-keskar`." in about
    mnist = [s.name for s in PAPER.sweeps("paper") if s.specs[0].data.name == "mnist"]
    later = "".join(f"sweep `{name}` on mnist, " for name in mnist if name not in PAPER.own_scale)
    assert f"Not run: {later}6 sweeps on timit, 14 sweeps on cifar10, 12 sweeps on cifar100; needs " in about
    assert about.endswith("`make replicate-keskar PRESET=paper`.")
    assert "`c2-sb`" not in about


def test_a_figure_without_runs_says_so_and_what_would_make_them(report):
    text = report.markdown.read_text()
    lines = {key: next(x for x in text.splitlines() if x.startswith(f"**Figure {key}:")) for key in (4, 6, 7)}
    assert "no finished runs of sweep `f2-batches`, sweep `c1-batches`. Run `make rep" in lines[4]
    assert lines[4].endswith("Run `make replicate-keskar PRESET=paper ARGS='--sweep c1-batches'`."), "nobody can run F2"
    assert "no finished runs of `f1-sb-path`, `f1-lb-path`, `f2-sb-path`" in lines[6]
    assert "no finished runs of `f1-curve`, `f2-curve`" in lines[7]


def test_a_cell_that_no_sweep_declares_is_a_dash_and_one_without_runs_says_so(at):
    cells = (Cell("SB", "full/test_accuracy"), Cell("no such arm", "full/test_accuracy", "{row}-of-nobody"))
    table = replace(TABLE["controls"], rows=(Row("SB", "f1-sb"), Row("F2", "f2-sb")), cells=cells)
    texts = {row[0]: row[1:] for row in tables.of_paper(table, at["paper"]).rows}
    assert texts["SB"][0].endswith("(5)")
    assert texts["SB"][1] == "–"
    assert texts["F2"] == ("not run", "–")


def test_cost_puts_the_sweeps_without_runs_into_one_row(at):
    frame = ledger.cost(at["paper"]).numbers.set_index("sweep")
    idle = len(set(at["paper"].idle.values()))
    assert frame.loc[f"{idle} others", "runs"] == 0
    assert frame["declared"].sum() == len(PAPER.runs("paper"))


def test_what_was_run_is_said_sweep_by_sweep(at):
    grid = ledger.setup(at["paper"])
    rows = {row[0]: dict(zip((c.name for c in grid.columns), row, strict=True)) for row in grid.rows}
    assert rows["f1-tables"] == {
        "sweep": "f1-tables", "data": "mnist", "net": "mlp-bn, bn_eval=batch", "batches": "256, 6000", "rates": "0.001",
        "optimizer": "adam, β₁ 0.9", "length": "100 epochs", "seeds": "1–5",
    }  # fmt: skip
    assert "f1-slices" not in rows, "measurements train nothing"
    assert "c2-tables" not in rows, "not run"


def test_settings_that_differ_do_not_count_the_parents_of_a_run(at):
    fields = [row[0] for row in ledger.deviations(at["reduced"]).rows]
    assert "`data.train_size`" in fields
    assert "`parents`" not in fields
    assert ledger.deviations(at["paper"]).rows == ()


def test_the_card_speaks_of_both_scales(keskar_runs):
    made = blocks.card_blocks(PAPER, {"keskar": keskar_runs}, ())
    rows, _ = keskar_runs
    plain, rest = (len(PAPER.planned("reduced")), len(set(PAPER.runs("paper")) - set(PAPER.planned("reduced"))))
    assert f"- `make replicate-keskar`: {len(rows)} of {plain} runs done, " in made["time"]
    assert f"- `make replicate-keskar PRESET=paper`: none of {rest} runs done." in made["time"]
    assert "At paper scale:" in made["cost"]
    assert "At reduced scale:" in made["cost"]
    assert "At paper scale, on mnist:" in made["deviations"]
    assert "At reduced scale, on " in made["deviations"]
    assert "Sharpness in the full space, by ε, paper scale:" in made["expected"]
    assert "| `c1-batch-10` |" in made["expected"]
    assert "With data augmentation, paper scale:" not in made["expected"]  # not run there
    assert "With data augmentation, reduced scale:" in made["expected"]
    assert "`figures/keskar-paper-fig3.svg`<br>`figures/keskar-reduced-fig3.svg`" in made["figures"]
    assert "`figures/keskar-reduced-fig5.svg`" not in made["figures"]
