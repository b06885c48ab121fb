"""Collating: what enters the table, what is left out, and what is not read twice."""

from __future__ import annotations

import json
import os
import shutil

import pandas as pd
import pytest

from shared.runs import table
from shared.runs.frames import row_of
from shared.runs.read import wandb_files
from shared.runs.schema import RunRecord
from tests.runs import toy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs that are done; tests work on copies."""
    results = tmp_path_factory.mktemp("made")
    toy.write_done(results, toy.spec(1))
    toy.write_done(results, toy.spec(2), status="diverged")
    toy.write_done(results, toy.spec(1, "large", "reduced"), count=4)
    return results


@pytest.fixture
def results(made, tmp_path):
    shutil.copytree(made, tmp_path / "results")
    return tmp_path / "results"


def never_read(run_dir):
    raise AssertionError(f"{run_dir} was read though it is cached")


def test_rows_and_curves_are_tidy(results):
    rows, history = table.collate(results, "toy")
    identity = ["run_id", "paper", "arm", "preset", "seed", "protocol", "sweep", "status"]
    assert list(rows.columns[:8]) == identity
    assert list(rows["preset"]) == ["reduced", "smoke", "smoke"]
    assert list(rows["status"]) == ["finished", "finished", "diverged"]
    assert list(rows["updates"]) == [40, 30, 30]
    assert rows["config.updates"].isna().all()
    assert rows["images_per_s"].iloc[0] == 50.0  # from done.json: the summary has none
    assert rows["optimizer.decay_skip"].iloc[0] == '["bn", "bias"]'
    kinds = {"seed": "int64", "lr": "float64", "provenance.git_dirty": "bool", "provenance.cuda": "str"}
    assert {name: str(rows[name].dtype) for name in kinds} == kinds
    assert list(history.columns[:2]) == ["run_id", "trainer/global_step"]
    assert history.groupby("run_id").size().sum() == 10
    assert history.equals(history.sort_values(["run_id", "trainer/global_step"], ignore_index=True))
    assert rows.attrs["problems"] == []


def test_presets_and_declared_runs_select(results):
    assert list(table.collate(results, "toy", "reduced")[0]["arm"]) == ["large"]
    only = toy.spec(2).run_id
    rows, history = table.collate(results, "toy", runs=[only])
    assert list(rows["run_id"]) == [only] == list(history["run_id"].unique())
    assert len(table.collate(results, "toy")[0]) == 3


def test_nothing_is_an_empty_table(tmp_path):
    rows, history = table.collate(tmp_path, "toy")
    assert rows.empty
    assert history.empty
    assert "run_id" in rows
    assert "run_id" in history


def test_the_second_time_nothing_is_read(results, monkeypatch):
    first = table.collate(results, "toy")
    monkeypatch.setattr(table, "read_run", never_read)
    second = table.collate(results, "toy")
    pd.testing.assert_frame_equal(first[0], second[0])
    pd.testing.assert_frame_equal(first[1], second[1])


def test_a_run_that_changed_is_read_again_and_no_other(results, monkeypatch):
    table.collate(results, "toy")
    run_dir = toy.folder(results, toy.spec(1))
    toy.write(run_dir, toy.spec(1), toy.rows(6))
    real, read = table.read_run, []
    monkeypatch.setattr(table, "read_run", lambda d: read.append(d) or real(d))
    assert (table.collate(results, "toy", "smoke")[1]["run_id"] == toy.spec(1).run_id).sum() == 6
    done = run_dir / "done.json"
    done.write_text(json.dumps(json.loads(done.read_text()) | {"status": "diverged"}))
    assert set(table.collate(results, "toy", "smoke")[0]["status"]) == {"diverged"}
    shutil.rmtree(toy.folder(results, toy.spec(2)))
    rows, history = table.collate(results, "toy", "smoke")
    assert list(rows["run_id"]) == [toy.spec(1).run_id] == list(history["run_id"].unique())
    assert read == [run_dir, run_dir]


@pytest.mark.parametrize("where", [0, 40, 0.5, 0.95, None])
def test_a_damaged_cache_is_made_anew(results, where):
    first = table.collate(results, "toy", "smoke")
    cache = results / "runs" / "toy" / "smoke" / ".collated.parquet"
    content = bytearray(cache.read_bytes())
    if where is None:
        content = content[: len(content) // 3]
    else:
        at = int(where * len(content)) if isinstance(where, float) else where
        content[at : at + 16] = b"\xaa" * 16
    cache.write_bytes(content)
    again = table.collate(results, "toy", "smoke")
    pd.testing.assert_frame_equal(first[0], again[0])
    pd.testing.assert_frame_equal(first[1], again[1])


def test_what_cannot_be_trusted_is_left_out_with_one_warning_each(results, caplog):
    cut = wandb_files(toy.folder(results, toy.spec(1)))[0]
    cut.write_bytes(cut.read_bytes()[:-60])
    (toy.folder(results, toy.spec(2)) / "done.json").write_text('{"run_id": ')
    renamed = results / "runs" / "toy" / "smoke" / "another-name"
    shutil.copytree(toy.folder(results, toy.spec(1, "large", "reduced")), renamed)
    rows, history = table.collate(results, "toy")
    assert list(rows["arm"]) == ["large"]
    assert list(rows["preset"]) == ["reduced"]
    assert set(history["run_id"]) == set(rows["run_id"])
    warned = [r.getMessage() for r in caplog.records if r.name == "shared.runs.table"]
    assert len(warned) == 3
    assert warned == rows.attrs["problems"]
    assert any(cut.name in w and "run it again" in w for w in warned)
    assert any("done.json is damaged" in w for w in warned)
    assert any("another-name" in w for w in warned)
    assert table.collate(results, "toy")[0].attrs["problems"] == warned  # from the cache as well


def test_runs_that_are_not_done_are_not_there(results):
    (toy.folder(results, toy.spec(1)) / "done.json").unlink()
    assert toy.spec(1).run_id not in set(table.collate(results, "toy")[0]["run_id"])


def test_a_folder_that_cannot_be_written_is_still_collated(results, monkeypatch):
    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(os, "replace", refuse)
    assert len(table.collate(results, "toy")[0]) == 3
    assert [p.name for p in (results / "runs" / "toy" / "smoke").iterdir() if "collated" in p.name] == []


def test_a_metric_never_hides_a_field_of_the_spec():
    record = RunRecord("r", {"lr": 0.4, "updates": 30}, {"lr": 0.0004, "updates": 29}, pd.DataFrame(), True, None)
    row = row_of(record)
    assert (row["lr"], row["config.updates"], row["updates"]) == (0.4, 30, 29)
