"""Online runs, through the unmodified client, against a server on the loopback interface."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
import wandb

from shared.runs import api, table
from shared.runs.read import read_run, wandb_files
from tests.runs import toy
from tests.runs.fake_wandb import ENTITY, PROJECT, serve

LOGGED = [
    *toy.rows(6),
    {"trainer/global_step": 70, "val/error": float("nan"), "flag": True, "name": "é ✓"},
    {"trainer/global_step": 80, "val/error": float("inf"), "flag": False, "name": "x"},
    {"trainer/global_step": 80, "train/loss": 0.125},
]


@pytest.fixture
def server(monkeypatch):
    with serve() as found:
        monkeypatch.setenv("WANDB_BASE_URL", found.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_ENTITY", ENTITY)
        wandb.teardown()  # it took its address from the environment when this process first used it
        yield found
        wandb.teardown()


def same(a, b) -> bool:
    pd.testing.assert_frame_equal(a.history, b.history)
    facts = ("run_id", "config", "summary", "finished", "problem")
    return {f: getattr(a, f) for f in facts} == {f: getattr(b, f) for f in facts}


def test_online_offline_and_server_tell_the_same(server, tmp_path, monkeypatch):
    toy.write(tmp_path / "offline", toy.spec(), LOGGED)
    monkeypatch.setenv("WANDB_MODE", "online")
    toy.write(tmp_path / "online", toy.spec(), LOGGED)
    toy.write(tmp_path / "failed", toy.spec(2), LOGGED, exit_code=1)
    offline, online = read_run(tmp_path / "offline"), read_run(tmp_path / "online")
    fetched = {r.run_id: r for r in api.fetch(f"{ENTITY}/{PROJECT}", "toy")}
    assert offline.finished
    assert len(offline.history) == 8
    assert same(offline, online)
    assert same(offline, fetched[toy.spec().run_id])
    assert not fetched[toy.spec(2).run_id].finished
    kept = server.runs[toy.spec().run_id].attributes
    assert kept["groupName"] == "toy/main"
    assert kept["jobType"] == "smoke"
    assert kept["displayName"] == toy.spec().run_id
    assert set(kept["tags"]) == {"protocol-3", "git-0123456789ab"}

    rows, history = table.collate_api(f"{ENTITY}/{PROJECT}", "toy")
    assert list(rows["run_id"]) == [toy.spec().run_id]
    assert len(history) == 8
    assert any(toy.spec(2).run_id in problem for problem in rows.attrs["problems"])
    known = dict.fromkeys([toy.spec().run_id, toy.spec(2).run_id], toy.FACTS["started_at"])
    assert list(api.fetch(f"{ENTITY}/{PROJECT}", "toy", known=known)) == []
    again = api.fetch(f"{ENTITY}/{PROJECT}", "toy", known=known | {toy.spec().run_id: "2020-01-01T00:00:00+00:00"})
    assert [record.run_id for record in again] == [toy.spec().run_id]  # committed by others, made again by us
    assert list(api.fetch(f"{ENTITY}/{PROJECT}", "other-paper")) == []
    assert list(api.fetch(f"{ENTITY}/{PROJECT}", "toy", "paper")) == []


def test_an_offline_run_can_be_sent_later(server, tmp_path):
    toy.write(tmp_path, toy.spec(), LOGGED)
    folder = wandb_files(tmp_path)[0].parent
    command = [sys.executable, "-m", "wandb", "sync", "--project", PROJECT, "--entity", ENTITY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (fetched,) = api.fetch(f"{ENTITY}/{PROJECT}", "toy")
    assert same(read_run(tmp_path), fetched)


def test_a_server_that_is_not_there_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("wandb.Api", lambda **_: (_ for _ in ()).throw(OSError("connection refused")))
    with pytest.raises(api.FetchError, match=r"me/project.*connection refused.*network"):
        list(api.fetch("me/project", "toy"))
