"""The committed tables: nothing lost, nothing of this machine, the same bytes again."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.runs import snapshot
from shared.runs.frames import history_frames, rows_frame

BASE = {"paper": "toy", "preset": "smoke", "protocol": 1, "sweep": "main", "status": "finished"}


def run(run_id: str, seed: int = 1, **more):
    return BASE | {"run_id": run_id, "arm": run_id.split("-")[0], "seed": seed, "lr": 1.0, "val/error": 12.5} | more


def tables(*runs, steps: int = 3):
    curves = [
        (r["run_id"], pd.DataFrame({"trainer/global_step": range(steps), "val/error": [r["val/error"]] * steps}))
        for r in runs
    ]
    return rows_frame(runs), history_frames(curves)


def test_a_table_survives_with_its_types(tmp_path):
    full = {"provenance.cuda": "13.0", "provenance.git_sha": "1" * 40, "provenance.git_dirty": False,
            "provenance.threads": 2, "bn_batch": 32, "text": "a,\"b\"\n'c' é", "whole": 3.0,
            "tiny": 1.25e-300}  # fmt: skip
    rows, history = tables(run("b-1", **full), run("a-2", 2, **full | {"bn_batch": None, "whole": math.inf}))
    rows = rows.assign(never=float("nan"))
    snapshot.save(rows, history, tmp_path, "toy")
    got, curves = snapshot.load(tmp_path, "toy")
    assert list(got["run_id"]) == ["a-2", "b-1"]
    pd.testing.assert_frame_equal(got, rows[got.columns])
    assert {*got.columns} == {*rows.columns}
    pd.testing.assert_frame_equal(curves, history)
    assert list(got["provenance.cuda"]) == ["13.0", "13.0"]


@settings(max_examples=25)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=5))
def test_numbers_keep_ten_digits_and_their_type(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("snapshot")
    rows, history = tables(*(run(f"a-{i}", i, **{"val/error": v}) for i, v in enumerate(values)))
    got, curves = snapshot.save(rows, history, folder, "toy")
    assert got["val/error"].dtype == "float64"
    assert got["seed"].dtype == "int64"
    pd.testing.assert_series_equal(got["val/error"], rows["val/error"], rtol=1e-9, atol=0)
    pd.testing.assert_frame_equal(curves, history, rtol=1e-7, atol=0)


def test_saving_again_changes_no_byte_and_no_time(tmp_path):
    first, second = tables(run("a-1"), run("b-1")), tables(run("b-1"), run("a-1"))
    snapshot.save(*first, tmp_path, "toy")
    files = snapshot.paths(tmp_path, "toy")
    before = [(f.read_bytes(), f.stat().st_mtime_ns) for f in files]
    snapshot.save(*second, tmp_path, "toy")
    snapshot.save(*snapshot.load(tmp_path, "toy"), tmp_path, "toy")
    assert [(f.read_bytes(), f.stat().st_mtime_ns) for f in files] == before
    other = tmp_path / "other"
    snapshot.save(*second, other, "toy")
    assert [f.read_bytes() for f in snapshot.paths(other, "toy")] == [content for content, _ in before]


def test_text_that_reads_as_a_number_is_the_same_from_a_run_and_from_the_snapshot(tmp_path):
    first, second = (tables(run(name, hidden="800"), run(f"{name}x")) for name in ("a-1", "b-1"))
    snapshot.save(*first, tmp_path, "toy")
    got, _ = snapshot.save(*second, tmp_path, "toy")
    assert list(got["hidden"].dropna()) == [800.0, 800.0]
    before = snapshot.paths(tmp_path, "toy")[0].read_bytes()
    snapshot.save(rows_frame([]), history_frames([]), tmp_path, "toy")  # as a fresh clone does
    assert snapshot.paths(tmp_path, "toy")[0].read_bytes() == before


def test_nothing_of_this_machine_is_committed(tmp_path):
    told = {"provenance.host": "secret-box", "provenance.cpu": "Some CPU", "data.name": "folder:/home/me/pets",
            "provenance.command": "python -m replications run --data=/home/me/sets/x.zip /opt/a/b.json"}  # fmt: skip
    got, _ = snapshot.save(*tables(run("a-1", **told)), tmp_path, "toy")
    text = snapshot.paths(tmp_path, "toy")[0].read_text()
    assert "secret" not in text
    assert "/home" not in text
    assert "/opt" not in text
    assert got["provenance.command"].iloc[0] == "python -m replications run --data=x.zip b.json"
    assert got["data.name"].iloc[0] == "folder:pets"
    assert got["provenance.cpu"].iloc[0] == "Some CPU"


def test_local_runs_win_and_absent_ones_stay(tmp_path):
    snapshot.save(*tables(run("a-1"), run("b-1", extra="old")), tmp_path, "toy")
    got, curves = snapshot.save(*tables(run("a-1", **{"val/error": 7.0}), run("c-1"), steps=5), tmp_path, "toy")
    assert dict(zip(got["run_id"], got["val/error"], strict=True)) == {"a-1": 7.0, "b-1": 12.5, "c-1": 12.5}
    assert curves.groupby("run_id").size().to_dict() == {"a-1": 5, "b-1": 3, "c-1": 5}
    assert got.set_index("run_id")["extra"].to_dict()["b-1"] == "old"
    empty = rows_frame([]), history_frames([])
    assert len(snapshot.save(*empty, tmp_path, "toy")[0]) == 3  # a fresh clone has no runs of its own


def test_runs_no_longer_declared_leave(tmp_path):
    snapshot.save(*tables(run("a-1"), run("b-1")), tmp_path, "toy")
    got, curves = snapshot.save(*tables(run("c-1"), run("d-1")), tmp_path, "toy", keep={"b-1", "c-1"})
    assert list(got["run_id"]) == ["b-1", "c-1"] == sorted(set(curves["run_id"]))


def test_no_snapshot_is_an_empty_one(tmp_path):
    rows, history = snapshot.load(tmp_path, "toy")
    assert rows.empty
    assert history.empty
    assert "run_id" in rows
    assert "trainer/global_step" in history


@pytest.mark.parametrize(
    ("which", "content"),
    [(0, b"a,b\n1,2\n"), (0, b""), (0, b"\xff\xfe\x00"), (0, b'run_id,arm\n"x'), (1, b"PAR1 not parquet")],
)
def test_a_damaged_snapshot_is_named_with_the_remedy(tmp_path, which, content):
    snapshot.save(*tables(run("a-1")), tmp_path, "toy")
    path = snapshot.paths(tmp_path, "toy")[which]
    path.write_bytes(content)
    with pytest.raises(snapshot.SnapshotError, match=rf"{path.name} cannot be read.*git checkout"):
        snapshot.load(tmp_path, "toy")


def test_a_run_that_stands_twice_is_refused(tmp_path):
    snapshot.save(*tables(run("a-1")), tmp_path, "toy")
    csv = snapshot.paths(tmp_path, "toy")[0]
    header, row = csv.read_text().splitlines()
    csv.write_text("\n".join([header, row, row]))
    with pytest.raises(snapshot.SnapshotError, match="a-1 stands there twice"):
        snapshot.load(tmp_path, "toy")
