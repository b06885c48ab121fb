"""What the end of a ``--set`` command says: each arm as set beside the arm as declared."""

from __future__ import annotations

import json
import shutil

import pytest

from shared.runs import snapshot, table
from shared.workflow.changed import changed_rows
from tests.runs import toy


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def made(results, spec, errors):
    """A finished run of the spec whose last error is the last of ``errors``."""
    logged = [{"trainer/global_step": 10 * (i + 1), "val/error": e} for i, e in enumerate(errors)]
    toy.write(toy.folder(results, spec), spec, logged, extra=None)
    (toy.folder(results, spec) / "done.json").write_text(json.dumps({"run_id": spec.run_id, "status": "finished"}))
    return spec


@pytest.mark.parametrize("collated", [True, False], ids=["from the snapshot", "from the runs"])
def test_an_arm_as_set_stands_beside_the_same_seeds_as_declared(tmp_path, collated):
    for seed, error in ((1, 10.0), (2, 12.0), (3, 50.0)):
        made(tmp_path, toy.spec(seed), (90.0, error))
    if collated:  # as in a clone, which has the rows and not the runs
        rows, history = table.collate(tmp_path, "toy", runs=set(toy.PAPER.runs("smoke")))
        snapshot.save(rows, history, tmp_path, "toy", keep=set(toy.PAPER.runs("smoke")))
        shutil.rmtree(tmp_path / "runs")
    tried = [made(tmp_path, toy.spec(seed).but(lr=2.0), (80.0, error)) for seed, error in ((1, 20.0), (2, 24.0))]

    found = {row["metric"]: row for row in changed_rows(toy.PAPER, tried, tmp_path)}
    assert found["val/error"]["as set"] == "22 ± 2.828 (2)"
    assert found["val/error"]["as declared"] == "11 ± 1.414 (2)"  # seed 3 has no counterpart
    assert (found["val/error"]["arm"], found["val/error"]["preset"]) == ("small", "smoke")


def test_without_declared_results_the_arm_stands_alone(tmp_path):
    tried = made(tmp_path, toy.spec().but(lr=2.0), (80.0, 20.0))
    row, *_ = (r for r in changed_rows(toy.PAPER, [tried], tmp_path) if r["metric"] == "val/error")
    assert (row["as set"], row["as declared"]) == ("20 (1)", "–")
    assert changed_rows(toy.PAPER, [toy.spec().but(lr=3.0)], tmp_path) == []
