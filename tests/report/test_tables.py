"""Tables: the paper's rows beside ours, deviations from diffs, cost, and generated blocks that can go stale."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from replications.goyal.figures import TABLES
from replications.smith_b import PAPER as SMITH_B
from replications.smith_b.figures import TABLES as SMITH_B_TABLES
from shared.report import blocks, claims, ledger, tables
from shared.report.data import ReportError, Source
from shared.report.declare import SCORE
from shared.report.grid import Column, Grid, number, short

BY_KEY = {table.key: table for table in TABLES}


@pytest.fixture(scope="module")
def source(paper, runs):
    return Source.select(paper, "reduced", *runs)


def test_table_1_sets_ours_beside_the_papers(source, paper, runs):
    grid = tables.of_paper(BY_KEY["table1"], source)
    rows = {r[0]: r for r in grid.rows}
    large = paper.roles("reduced")["large"]
    values = runs[0][runs[0]["arm"] == f"kn-{large}-no-warmup"]["val/error_last5_median"]
    assert rows["no warm-up"][1:4] == (str(int(large) // 32), "32", large)
    assert rows["no warm-up"][5] == f"{values.mean():.2f} ± {values.std(ddof=1):.2f} (5)"
    assert rows["no warm-up"][6:] == ("256", "32", "8k", "3.2", "24.84 ± 0.37 (5)")
    assert rows["no warm-up, twice the batch"][6:] == ("–", "–", "–", "–", "–")
    saved = pd.read_csv(io.StringIO(grid.csv())).set_index("run")
    assert saved.loc["no warm-up", "ours_mean"] == pytest.approx(values.mean(), rel=1e-9)
    assert saved.loc["baseline", "paper_mean"] == 23.6


def test_every_printed_number_of_the_papers_tables_is_found(source):
    """Each of the paper's rows of Tables 1 and 2 meets exactly one row of the reference file."""
    for key, rows in {"table1": 4, "table2a": 8, "table2b": 4, "table2c": 2}.items():
        grid = tables.of_paper(BY_KEY[key], source)
        assert sum(row[-1] != "–" for row in grid.rows) == rows, key


def test_table_2b_shows_gamma_of_ours_and_of_the_paper(source):
    rows = tables.of_paper(BY_KEY["table2b"], source).rows
    assert [(r[3], r[7]) for r in rows] == [("1", "1"), ("0", "0")] * 2


def test_derived_numbers_keep_their_digits_and_say_where_they_come_from(source):
    grid = tables.of_paper(BY_KEY["fig7"], source)
    assert grid.rows[0] == ("256", "0.1", "0.232 (D)", "§5.5, derived: 29 hours for 90 epochs")
    assert [r[3] for r in tables.of_paper(BY_KEY["fig6"], source).rows] == ["25.83", "26.09"]


def test_arms_outside_a_preset_and_tables_not_run_show_the_papers_numbers(source):
    deep = tables.of_paper(BY_KEY["table2c"], source)
    assert [r[3] for r in deep.rows] == ["not at this scale"] * 2
    assert deep.rows[1][-1] == "22.36 ± 0.09 (5)"
    transfer = tables.of_paper(BY_KEY["table3a"], source)
    assert transfer.rows[-1] == ("16k", "6.4", "24.79 ± 0.27 (5)", "35.1 ± 0.3 (5)", "33.2 ± 0.3 (5)")
    assert "not run: needs COCO" in transfer.title


def test_diverged_seeds_are_named_in_the_cell(source):
    grid = tables.of_paper(BY_KEY["table2a"], source)
    assert [r[0] for r in grid.rows if "1 diverged" in r[3]] == ["linear, twice the rate"]


def test_a_diverged_seed_without_a_value_has_the_accuracy_of_chance(source):
    """Of a run that was lost before its first evaluation there is not even a best one."""
    arm = next(r for r in source.rows.to_dict("records") if r["status"] == "diverged")["arm"]
    error = source.rows["val/error"].where(source.rows["status"] != "diverged")
    made = replace(source, rows=source.rows.assign(**{"val/error_best": error}))
    ours = source.summary(arm, "val/error").mean
    assert made.summary(arm, "val/error_best").mean == pytest.approx(ours)
    assert made.summary(arm, "100-val/error_best").mean == pytest.approx(100 - ours)


def test_an_infinite_error_of_a_diverged_run_is_chance_level_in_tables_as_in_verdicts(paper, runs):
    rows, history = runs
    (base,) = paper.arms("kn-{base}", "reduced")
    first = rows.index[rows["arm"] == base][0]
    rows = rows.assign(**{"val/error_best": rows["val/error"]})
    rows.loc[first, ["status", "val/error", "val/error_best"]] = ["diverged", 90.0, np.inf]
    found = Source.select(paper, "reduced", rows, history).summary(base, "val/error_best")
    others = rows[(rows["arm"] == base) & (rows.index != first)]["val/error_best"]
    assert found.mean == pytest.approx(np.mean([90.0, *others]))
    assert found.diverged == 1


def test_a_printed_number_from_memory_says_so():
    table = next(t for t in SMITH_B_TABLES if t.key == "section54")
    grid = tables.of_paper(table, Source.select(SMITH_B, "paper", pd.DataFrame(), pd.DataFrame()))
    cells = [cell for row in grid.rows for cell in row]
    assert "23.9 (1) (M)" in cells


def test_deviations_come_from_the_specs(source, paper):
    grid = ledger.deviations(source)
    rows = [r for r in grid.rows]
    ours = next(iter(paper.runs("reduced").values()))
    assert ("`data.name`", "imagenet", ours.data.name, "every arm") in rows
    assert ("`epochs`", "90", str(ours.epochs), "every arm") in rows
    assert not [r for r in rows if r[0] in ("`seed`", "`arm`", "`preset`")]
    itself = Source(paper, "paper", pd.DataFrame(), pd.DataFrame())
    assert ledger.deviations(itself).rows == ()


def test_tuning_marks_the_lowest_rate_of_a_batch(source):
    grid = tables.tuning(source, SCORE)
    tuned = [r for r in grid.rows if r[0] == "tune"]
    best = min(tuned, key=lambda r: float(r[4].split(" ")[0]))
    assert [r for r in tuned if r[5]] == [best]
    assert {r[0] for r in grid.rows} == {"tune", "pilot"}


def test_a_long_table_of_choices_shows_the_lowest_and_keeps_all_in_its_file(source, monkeypatch):
    whole = tables.tuning(source, SCORE)
    monkeypatch.setattr(tables, "LONG", 3)
    short = tables.tuning(source, SCORE)
    assert short.rows == tuple(row for row in whole.rows if row[5])
    assert short.csv() == whole.csv()
    assert f"all {len(whole.rows)} arms are in tables/{short.key}.csv" in short.title


def test_the_choice_is_generated_from_the_tuning_and_pilot_runs(source, paper):
    text, roles = tables.choice(source), paper.roles("reduced")
    lowest = next(r for r in tables.tuning(source, SCORE).rows if r[5])
    assert f"at batch {roles['base']}: η = {lowest[3]} (" in text
    assert f"chosen for the judged runs: η = {short(source.specs['kn-32'].lr)}." in text
    means = {s: source.summary(f"pilot-kn-{s}").mean for s in roles["grid"]}
    assert f", {roles['twice']}: +{means[roles['twice']] - means[roles['base']]:.2f}, " in text
    assert text.endswith(f"chosen as the last good batch: {roles['large']}.")
    assert tables.choice(Source(paper, "reduced", pd.DataFrame(), pd.DataFrame())) == ""
    assert tables.choice(Source(paper, "paper", pd.DataFrame(), pd.DataFrame())) == ""


def test_cost_counts_every_run_once(source, paper):
    frame = ledger.cost(source).numbers
    assert frame["runs"].sum() == len(source.rows) == frame["declared"].sum()
    assert frame["core_hours"].sum() == pytest.approx(source.rows["wall_s"].sum() / 3600)
    assert frame["diverged"].sum() == 1


def test_origin_lists_revision_and_data(source):
    (row,) = ledger.origin(source).rows
    assert row[0] == "`0123456789ab`"
    assert row[1] == "no"
    assert row[-1] == str(len(source.rows))


def test_column_widths_reach_markdown():
    text = Grid("k", "T", (Column("a", 10), Column("b", 30, "right")), (("x|y", "1"),)).markdown()
    head, rule, row = text.splitlines()[2:]
    assert head == "| a | b |"
    assert [len(p) for p in rule.strip("|").split("|")] == [10, 30]
    assert row == "| x\\|y | 1 |"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (3, "3.00"), ("a", "a"), (1234.5, "1,234.50")]
)
def test_numbers_for_print(value, text):
    assert number(value) == text


def test_settings_for_print():
    assert [short(v) for v in (0.1 + 0.2, [6, 12], None, True)] == ["0.3", "6, 12", "default", "True"]


CARD = "# Card\n<!-- generated:cost -->\nold\n<!-- /generated:cost -->\nkept\n"


def test_blocks_go_stale_and_are_refreshed(tmp_path):
    card = tmp_path / "README.md"
    card.write_text(CARD)
    assert blocks.stale(card, {"cost": "new"}) == ["cost"]
    assert blocks.update(card, {"cost": "new"}) is True
    assert blocks.stale(card, {"cost": "new"}) == []
    assert blocks.update(card, {"cost": "new"}) is False
    text = card.read_text()
    assert text.startswith("# Card\n")
    assert text.endswith("\nkept\n")
    assert "old" not in text
    assert blocks.stale(card, {"cost": "new", "status": "x"}) == ["status"]


def test_an_unclosed_block_is_an_error(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("<!-- generated:cost -->\n")
    with pytest.raises(ReportError, match="generated:cost"):
        blocks.update(card, {"cost": "new"})


def test_the_card_has_every_block_and_heading(paper, runs, verdicts):
    card = paper.folder / "README.md"
    made = blocks.card_blocks(paper, {"goyal": runs}, verdicts)
    assert set(blocks.names(card)) == set(made)
    headings = [line[3:] for line in card.read_text().splitlines() if line.startswith("## ")]
    assert headings == ["Claim in one line", "Run it", "What came out", "What you should see",
                        "Figure and table map", "Known differences", "Implementation details", "Errata",
                        "Cost"]  # fmt: skip
    assert made["notes"].count("\n- ") == len(paper.notes) - 1
    assert paper.errata[0] in made["errata"]
    assert "| G3 |" in made["expected"]
    assert "not-reproduced" in made["expected"]


def test_blocks_of_a_paper_without_runs_name_the_command(paper):
    made = blocks.card_blocks(paper, {}, ())
    assert "make replicate-goyal" in made["expected"]
    assert "make replicate-goyal" in made["cost"]
    assert "fashion-mnist" in made["deviations"]


def test_status_counts_outcomes_by_scale(paper, runs, verdicts):
    status = blocks.readme_blocks([paper], {"goyal": runs}, {"goyal": verdicts})["status"]
    row = status.splitlines()[-1]
    assert [c.strip() for c in row.strip("|").split("|")] == [
        "Goyal et al. 2017", "reduced", str(len(runs[0])), "1", "1", "1", "1", "1", "0", "–"
    ]  # fmt: skip
    apart = [{**verdicts[0], "rule": "exact", "outcome": found, "scale": "paper"} for found in
             ("reproduced", "not-reproduced")] + [{**verdicts[-1], "scale": None}]  # fmt: skip
    status = blocks.readme_blocks([paper], {"goyal": runs}, {"goyal": [*verdicts, *apart]})["status"]
    assert status.count("Goyal") == 1, "exact checks and claims not run are of no scale: they make no row"
    assert status.splitlines()[-1].endswith("| 1 | 1 | 1 | 1 | 2 | 0 | 1 of 2 hold |")
    status = blocks.readme_blocks([paper], {}, {"goyal": apart})["status"]
    assert status.splitlines()[-1].endswith("| 1 | 0 | 1 of 2 hold |"), "and are told where nothing has run"
    own = {**verdicts[0], "own": True}
    status = blocks.readme_blocks([paper], {"goyal": runs}, {"goyal": [*verdicts, own]})["status"]
    assert "| 1 + 1 | 1 |" in status, "one is the paper's, one is put to it by us"


@pytest.mark.parametrize(("metric", "words"), [
    ("val/error", "greater, 0.50\n`val/error`, %"),
    ("log10/sharp10k/full-sign@0.001", "greater, 0.50\n`log10/sharp10k/full-sign@0.001`, decades"),
    ("full/train_loss", "greater, 0.50\n`full/train_loss`, nats"),
    ("sharp/full@0.001/at_bound", "greater, 0.50\n`sharp/full@0.001/at_bound`"),
    ("diffusion/all/log-over-sqrt", "greater, 0.50\n`diffusion/all/log-over-sqrt`, AICc"),
])  # fmt: skip
def test_a_rule_names_the_columns_that_it_reads_with_their_units(metric, words):
    assert claims.rule({"rule": "greater", "margin": 0.5, "metric": [metric]}) == words


def test_an_outcome_written_after_its_runs_is_marked_and_counted(paper, runs, verdicts):
    late = [{**v, "reason": f"post hoc: {v['reason']}"} if v["outcome"] == "reproduced" else v for v in verdicts]
    status = blocks.readme_blocks([paper], {"goyal": runs}, {"goyal": late})["status"]
    assert status.splitlines()[-1].endswith("| 1 | 1 | 1 | 1 | 1 | 1 | – |")
    assert claims.outcomes(late, "goyal").markdown().count("`reproduced`<br>post hoc") == 1
