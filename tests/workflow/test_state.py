from __future__ import annotations

import pytest
from toy import PAPER, spec

from shared.spec import SpecError
from shared.workflow import drive, gpu
from shared.workflow.state import status_rows
from shared.workflow.suite import EngineError, Suite, results_dir, run_dir


def test_status_counts_every_run_once_and_names_failures(tmp_path):
    for seed, file, text in (
        (1, "done.json", '{"status": "finished", "wall_s": 1.0}'),
        (2, "error.txt", "ToyError: no"),
    ):
        home = run_dir(tmp_path, spec("a", seed, "reduced"))
        home.mkdir(parents=True)
        (home / file).write_text(text)
    rows = {r["arm"]: r for r in status_rows(PAPER, "reduced", tmp_path)}
    assert sum(r["runs"] for r in rows.values()) == 6
    a = rows["a"]
    assert (a["sweep"], a["runs"], a["finished"], a["waiting"], a["failed"]) == ("grid", 2, 1, 1, 1)
    assert (rows["b"]["sweep"], rows["b"]["waiting"], rows["b"]["failed"]) == ("extra", 2, 0)


def test_results_go_where_the_user_says(monkeypatch, tmp_path):
    assert results_dir().name == "results"
    monkeypatch.setenv("RESULTS_DIR", str(tmp_path / "elsewhere"))
    assert results_dir() == tmp_path / "elsewhere"


def test_an_unknown_paper_names_the_known_ones():
    with pytest.raises(SpecError, match=r"unknown paper 'nobody'; there are: toy"):
        Suite({"toy": PAPER}).paper("nobody")


def execution(preset="reduced", profile="local", devices=1, nodes=1, accelerator=None):
    return drive.execution(preset, profile, devices, nodes, None, 0, 1, accelerator)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"profile": "pbs"}, "local, slurm"),
        ({"accelerator": "tpu"}, "cpu, gpu"),
        ({"nodes": 2, "devices": 2}, "--profile slurm"),
        ({"nodes": 2, "profile": "slurm"}, "at least 2"),
    ],
)
def test_a_place_to_run_that_cannot_be_is_refused(wrong, says):
    with pytest.raises(EngineError, match=says):
        execution(**wrong)


@pytest.mark.parametrize(
    ("gpus", "given", "expected"),
    [
        ([], {}, "cpu"),
        (["0"], {}, "gpu"),
        (["0"], {"accelerator": "cpu"}, "cpu"),
        ([], {"profile": "slurm"}, "cpu"),
        ([], {"profile": "slurm", "preset": "paper"}, "gpu"),
    ],
)
def test_a_gpu_is_used_where_there_is_one_unless_told_otherwise(monkeypatch, gpus, given, expected):
    monkeypatch.setattr(gpu, "visible", lambda: gpus)
    assert execution(**given).accelerator == expected
