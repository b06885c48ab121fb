"""Costs, bands, bars and the rows of tables, where a slip would leave the report looking sound."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from shared.report.figures import _curve, _dots
from shared.report.ledger import cost_of
from shared.report.lines import Line
from tests.contract import papers


def test_core_hours_count_threads_devices_and_nodes():
    part = pd.DataFrame(
        {
            "status": ["finished"] * 3,
            "wall_s": [3600.0] * 3,
            "execution.threads": [1, 2, 1],
            "execution.devices": [1, 1, 8],
            "execution.nodes": [1, 1, 4],
            "images_per_s": [1.0, 2.0, 9.0],
            "samples": [1] * 3,
        }
    )
    assert cost_of(part)["core_hours"] == 1 + 2 + 32
    assert cost_of(part)["images_per_s"] == 2


@papers
def test_no_two_rows_or_columns_of_a_table_show_one_and_the_same(paper):
    for table in paper.dotted("figures").TABLES:
        rows = [(r.arm, r.at) if hasattr(r, "arm") else r.terms for r in table.rows]
        assert len(set(rows)) == len(rows), table.key
        cells = [(c.metric, c.arm) for c in table.cells]
        assert len(set(cells)) == len(cells), table.key


def test_bands_and_bars_are_drawn_from_low_to_high():
    frame = pd.DataFrame(
        {"x": [1.0, 2.0], "mean": [5.0, 6.0], "sd": 1.0, "n": 5.0, "low": [4.0, 4.5], "high": [7.0, 9.0]}
    )
    ax = Figure().subplots()
    _curve(ax, Line("a", "arm", frame, "large"), None)
    y = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (y.min(), y.max()) == (4, 9)
    ax = Figure().subplots()
    _dots(ax, Line("a", "arm", frame, "large", points=True), None)
    bars = [s[:, 1].tolist() for s in ax.containers[0].lines[2][0].get_segments()]
    assert bars == [[4, 7], [4.5, 9]]
