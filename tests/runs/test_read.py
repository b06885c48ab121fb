"""Reading a run back: several files, damaged files, no files."""

from __future__ import annotations

import random
import re
import shutil
import sys
from pathlib import Path

import pytest

from shared.runs import leet
from shared.runs.read import read_run, wandb_files
from tests.runs import toy


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    toy.write(run_dir, toy.spec(), toy.rows(120))
    return run_dir


def damaged(whole: Path, at: Path, content: bytes) -> Path:
    if at.exists():
        shutil.rmtree(at)
    shutil.copytree(whole, at)
    wandb_files(at)[0].write_bytes(content)
    return at


def test_a_resumed_run_is_one_run_and_the_last_writer_wins(tmp_path):
    toy.write(tmp_path, toy.spec(), [*toy.rows(5), {"trainer/global_step": 30, "train/loss": 1.0}], exit_code=1)
    assert not read_run(tmp_path).finished
    later = [row | {"val/error": -row["val/error"]} for row in toy.rows(8)[3:]]
    toy.write(tmp_path, toy.spec(), later)
    got = read_run(tmp_path)
    assert len(wandb_files(tmp_path)) == 2
    assert list(got.history["trainer/global_step"]) == [10, 20, 30, 40, 50, 60, 70, 80]
    assert list(got.history["val/error"] > 0) == [True] * 3 + [False] * 5
    assert got.history["train/loss"].dropna().to_dict() == {2: 1.0}
    assert got.finished
    assert got.problem is None
    assert got.summary["val/error"] == later[-1]["val/error"]


def test_the_revision_of_a_resumed_run_is_the_one_it_began_at(tmp_path, monkeypatch):
    """A rule that was edited in between was not written before the run."""
    toy.write(tmp_path, toy.spec(), toy.rows(3), exit_code=1)
    first = toy.FACTS["git_sha"]
    monkeypatch.setattr(toy, "FACTS", {**toy.FACTS, "git_sha": "later", "cpu": "another"})
    toy.write(tmp_path, toy.spec(), toy.rows(5)[3:])
    config = read_run(tmp_path).config
    assert (config["provenance.git_sha"], config["provenance.cpu"]) == (first, "another")


def test_a_killed_session_is_no_problem_once_it_was_resumed(whole, tmp_path):
    content = wandb_files(whole)[0].read_bytes()
    run_dir = tmp_path / "run"
    cuts = range(len(content) // 2, len(content), len(content) // 30)  # how much stands before the rows differs

    def killed(cut: int):
        return read_run(damaged(whole, run_dir, content[:cut]))

    found = next(run for cut in cuts if 20 < len((run := killed(cut)).history) < 110)
    assert found.problem
    assert not found.finished
    toy.write(run_dir, toy.spec(), toy.rows(120)[20:])
    got = read_run(run_dir)
    assert got.problem is None
    assert got.finished
    assert got.history.equals(read_run(whole).history)


@pytest.mark.parametrize("written", [0, 7])
def test_a_session_that_was_killed_before_it_wrote_is_none(whole, tmp_path, written):
    """W&B writes a header at once and all else a second later; a power cut leaves not even that."""
    content = wandb_files(whole)[0].read_bytes()
    run_dir = damaged(whole, tmp_path / "run", content[:written])
    assert read_run(run_dir).problem
    toy.write(run_dir, toy.spec(), toy.rows(120))
    got = read_run(run_dir)
    assert (got.problem, got.finished) == (None, True)
    assert got.history.equals(read_run(whole).history)


def test_sessions_are_ordered_by_when_they_began_whatever_the_local_time(tmp_path, monkeypatch):
    """Begun in a container at UTC, finished on a host seven hours behind."""
    monkeypatch.setattr(toy, "FACTS", {**toy.FACTS, "started_at": "2026-01-01T10:00:00+00:00", "git_sha": "first"})
    toy.write(tmp_path, toy.spec(), toy.rows(5), exit_code=1)
    monkeypatch.setattr(toy, "FACTS", {**toy.FACTS, "started_at": "2026-01-01T11:00:00+00:00", "git_sha": "second"})
    toy.write(tmp_path, toy.spec(), toy.rows(8)[5:])
    home = wandb_files(tmp_path)[-1].parent
    home.rename(home.with_name(re.sub(r"\d{8}_", "20200101_", home.name)))
    assert "20200101" in str(wandb_files(tmp_path)[0])
    got = read_run(tmp_path)
    assert (got.finished, got.config["provenance.git_sha"], len(got.history)) == (True, "first", 8)


def test_a_session_after_the_last_exit_reopens_the_run(tmp_path):
    toy.write(tmp_path, toy.spec(), toy.rows(2))
    toy.write(tmp_path, toy.spec(), toy.rows(3), exit_code=1)
    assert not read_run(tmp_path).finished


def test_cut_anywhere_it_gives_a_part_of_the_truth(whole, tmp_path):
    content = wandb_files(whole)[0].read_bytes()
    truth = read_run(whole)
    assert len(content) > 32768  # more than one block of the log
    seen = set()
    cuts = {0, 1, 6, 7, 8, 100, 32767, 32768, 32769, len(content) - 1, *range(50, len(content), len(content) // 20)}
    for cut in sorted(cuts):
        got = read_run(damaged(whole, tmp_path / "run", content[:cut]))
        assert not got.finished, cut
        assert got.history.equals(truth.history.iloc[: len(got.history)][got.history.columns]), cut
        assert got.config in ({}, truth.config), cut
        assert got.problem is None or str(tmp_path / "run") in got.problem
        seen.add(len(got.history))
    assert len(seen) > 10


def test_damage_is_named_and_never_becomes_a_row(whole, tmp_path):
    content = wandb_files(whole)[0].read_bytes()
    truth = read_run(whole)
    rng = random.Random(0)
    for _ in range(8):
        bad = bytearray(content)
        place = rng.randrange(7, len(bad))
        bad[place] ^= 1 << rng.randrange(8)
        got = read_run(damaged(whole, tmp_path / "run", bytes(bad)))
        assert ".wandb" in str(got.problem), place
        kept = truth.history[truth.history["trainer/global_step"].isin(got.history["trainer/global_step"])]
        assert got.history.equals(kept.reset_index(drop=True)[got.history.columns]), place


@pytest.mark.parametrize("content", [b"", b"not a log at all", b":W&B"])
def test_a_file_that_is_none_is_a_problem(whole, tmp_path, content):
    got = read_run(damaged(whole, tmp_path / "run", content))
    assert got.problem
    assert ".wandb" in got.problem
    assert not got.finished
    assert got.history.empty


def test_a_folder_without_a_record_is_a_problem(tmp_path):
    got = read_run(tmp_path / "kn-1")
    assert got.run_id == "kn-1"
    assert not got.finished
    assert "no W&B file" in str(got.problem)
    assert list(got.history.columns) == ["trainer/global_step"]


def test_files_of_two_runs_in_one_folder_are_not_mixed(tmp_path):
    toy.write(tmp_path, toy.spec(1), toy.rows(4))
    toy.write(tmp_path, toy.spec(2), toy.rows(2))
    got = read_run(tmp_path)
    assert got.run_id == toy.spec(2).run_id
    assert len(got.history) == 2
    assert toy.spec(1).run_id in str(got.problem)


def test_the_command_line_reads_the_same_as_the_binary(whole, monkeypatch):
    fast = leet.read_log(wandb_files(whole)[0])
    monkeypatch.setattr(leet, "_program", lambda: ((sys.executable, "-m", "wandb", "leet"), ()))
    slow = leet.read_log(wandb_files(whole)[0])
    assert slow == fast
    assert len(slow.rows) == 120


def test_a_missing_inspector_is_a_problem_not_a_crash(whole, monkeypatch):
    monkeypatch.setattr(leet, "_program", lambda: (("no-such-program",), ()))
    assert "inspector failed" in str(read_run(whole).problem)
