"""The run command from end to end, with the real Snakemake and trainings that only count."""

from __future__ import annotations

import json
import signal
import time

import pytest
from commandline import call, finish, start

RUN = ("run", "toy", "--no-report", "--images-per-s", "20000", "--accelerator", "cpu")


def homes(results, pattern="*"):
    return sorted((results / "runs" / "toy" / "reduced").glob(pattern + "-s*"))


def trainings(results, pattern="*"):
    return {home.name: len((home / "calls").read_text().splitlines()) for home in homes(results, pattern)}


def test_failures_are_listed_the_rest_is_finished_and_the_same_command_repairs(tmp_path):
    code, said = call(tmp_path, *RUN, "--jobs", "2", TOY_FAIL="b", TOY_DIE="a-twice")
    assert code == 1
    assert "2 runs failed" in said
    assert "ToyError: b cannot work; remedy: do not ask for it" in said
    assert all((home / "done.json").exists() for home in homes(tmp_path, "a*"))
    # a killed process is retried; no thread but its own
    assert set(trainings(tmp_path, "a-twice").values()) == {2}
    assert all("threads=1" in (home / "calls").read_text() for home in homes(tmp_path))

    before = trainings(tmp_path, "a*")
    code, said = call(tmp_path, *RUN, "--jobs", "2")
    assert (code, "2/2 runs, 100 %" in said) == (0, True)
    assert trainings(tmp_path, "a*") == before
    code, said = call(tmp_path, *RUN)
    assert (code, "all 6 runs are done" in said) == (0, True)


def test_two_at_once_train_no_run_twice(tmp_path):
    both = [start(tmp_path, *RUN, "--jobs", "2", "--micro-batch", "16", TOY_SLEEP="0.3") for _ in range(2)]
    assert [finish(p)[0] for p in both] == [0, 0]
    assert set(trainings(tmp_path).values()) == {1}
    assert len(trainings(tmp_path)) == 6
    kept = [json.loads((home / "execution.json").read_text()) for home in homes(tmp_path)]
    assert {(k["accelerator"], k["micro_batch"], k["threads"]) for k in kept} == {("cpu", 16, 1)}


def test_several_papers_share_one_queue(tmp_path):
    code, said = call(tmp_path, "run", "toy", "twin", *RUN[2:], "--jobs", "2", "--seeds", "1")
    assert (code, "6 runs to do in 2 packs" in said, "6/6 runs, 100 %" in said) == (0, True, True)
    done = [home.parent for home in (tmp_path / "runs").glob("*/reduced/*/done.json")]
    assert sorted(home.parent.parent.name for home in done) == ["toy"] * 3 + ["twin"] * 3
    code, told = call(tmp_path, "plan", "toy", "twin", "--json", "--seeds", "1")
    rows = [(row["paper"], row["sweep"], row["done"]) for row in json.loads(told)["sweeps"]]
    assert rows == [(p, s, n) for p in ("toy", "twin") for s, n in (("grid", 2), ("extra", 1))]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_jobs_first_and_says_how_to_go_on(tmp_path, how):
    running = start(tmp_path, *RUN, "--jobs", "2", TOY_SLEEP="60")
    deadline = time.monotonic() + 60
    while len(list(homes(tmp_path))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(how)
    code, said = finish(running, timeout=30)
    assert code == 130
    assert "the same command resumes" in said
    # every training that had begun closed its record before we returned, and no other was begun
    assert [(home / "closed").exists() for home in homes(tmp_path)] == [True, True]


def test_a_mistake_costs_one_red_line_and_nothing_starts(tmp_path):
    for arguments, says in (
        (("run", "toy", "--set", "lrr=1"), "--set lrr: no such field"),
        (("run", "nobody"), "unknown paper 'nobody'; there are: toy"),
        (("run", "toy", "--preset", "huge"), "unknown preset 'huge'"),
        (("run", "toy", "--nodes", "2"), "--profile slurm"),
    ):
        code, said = call(tmp_path, *arguments)
        assert (code, len(said.strip().splitlines())) == (2, 1)
        assert says in said
    code, said = call(tmp_path, "run", "nobody", REPLICATIONS_TRACEBACK="1")
    assert (code, "Traceback" in said) == (1, True)
    assert not (tmp_path / "runs").exists()


def test_missing_data_is_one_message_before_anything_starts_and_no_obstacle_to_planning(tmp_path):
    nowhere = {"DATA_DIR": str(tmp_path), "CACHE_DIR": str(tmp_path / "cache")}
    absent = ("--set", "data.name=imagenet", "--accelerator", "cpu")
    code, said = call(tmp_path / "results", "run", "toy", *absent, **nowhere)
    assert code == 2
    assert said.startswith("imagenet was not found")
    assert f"{tmp_path}/imagenet" in said
    assert "Traceback" not in said
    code, said = call(tmp_path / "results", "plan", "toy", *absent, "--json", **nowhere)
    assert code == 0
    assert '"seconds": null' in said
    assert not (tmp_path / "results").exists()


def test_an_engine_that_cannot_start_says_why(tmp_path):
    code, said = call(tmp_path, *RUN, "--engine", "--no-such-option")
    assert code == 2
    assert "Snakemake could not start" in said
    assert "no-such-option" in said


def test_plan_and_dry_run_change_nothing(tmp_path):
    code, said = call(tmp_path, "plan", "toy", "--images-per-s", "1000", "--jobs", "2", "--json")
    plan = json.loads(said)
    assert (code, plan["runs"], plan["done"], len(plan["todo"])) == (0, 6, 0, 6)
    assert plan["seconds"] > 0
    assert [s["sweep"] for s in plan["sweeps"]] == ["grid", "extra"]
    code, said = call(tmp_path, *RUN, "--dry-run")
    assert (code, "6 runs to do" in said) == (0, True)
    assert not (tmp_path / "runs").exists()


def test_plan_measures_what_it_does_not_know(tmp_path):
    measured = tmp_path / "measured"
    for _ in range(2):
        arguments = ("plan", "toy", "--accelerator", "cpu", "--jobs", "2")
        code, said = call(tmp_path, *arguments, TOY_CALIBRATIONS=str(measured))
        assert code == 0, said
    # once, with both slots busy, as they will be
    assert measured.read_text().split() == ["32", "32", "64", "64", "128", "128"]
