"""What a cluster is asked for, seen by stand-ins for SLURM's commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commandline import call, finish, start

FAKE = Path(__file__).parent / "fakes" / "slurm"
COMMANDS = ("sbatch", "srun", "sacct", "squeue", "scontrol", "sinfo", "sacctmgr", "sshare", "scancel")
QUICK = "--slurm-init-seconds-before-status-checks 1 --latency-wait 5"
KINDS = {
    "cpu": ("--accelerator", "cpu", "--pack-minutes", "60"),
    "gpu": ("--preset", "paper", "--workers", "3", "--seeds", "1", "--arm", "b"),
    "ddp": ("--accelerator", "gpu", "--devices", "8", "--nodes", "4", "--workers", "5", "--seeds", "1", "--arm", "b"),
}


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """``{kind: (exit code, output, results, folder of the fake)}``, all three run at the same time."""
    started = {}
    for kind, arguments in KINDS.items():
        root = tmp_path_factory.mktemp(kind)
        (root / "bin").mkdir()
        for name in COMMANDS:
            (root / "bin" / name).symlink_to(FAKE)
        environment = {"PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(root / "slurm")}
        (root / "slurm").mkdir()
        if kind == "gpu":
            environment["FAKE_SLURM_SKIP"] = "yes"
        command = ("run", "toy", "--no-report", "--profile", "slurm", "--images-per-s", "2000", "--engine", QUICK)
        started[kind] = (start(root / "results", *command, *arguments, **environment), root)
    return {kind: (*finish(process), root / "results", root / "slurm") for kind, (process, root) in started.items()}


def calls(log: Path) -> list[list[str]]:
    """The argument list of every call."""
    return [part.strip("\n").split("\n")[1:] for part in log.read_text().split("--- ")[1:]]


def options(log: Path) -> list[dict[str, str]]:
    """The options of every call: ``--a=b``, ``--a b`` and ``-a b`` alike."""
    found = []
    for arguments in calls(log):
        words = [w for a in arguments for w in (a.split("=", 1) if a.startswith("--") else [a])]
        found.append({w: words[i + 1] for i, w in enumerate(words[:-1]) if w.startswith("-") and w != "-"})
    return found


def test_a_cpu_pack_asks_for_one_core_and_trains(submitted):
    code, said, results, fake = submitted["cpu"]
    assert code == 0, said
    asked = options(fake / "sbatch.log")
    assert len(asked) == 1  # six tiny runs are one job
    assert asked[0].items() >= {"--ntasks": "1", "--cpus-per-task": "1", "--mem": "6000", "-t": "30"}.items()
    assert not {"--gpus", "--nodes", "--ntasks-per-node"} & set(asked[0])
    assert len(list(results.glob("runs/toy/reduced/*/done.json"))) == 6


def test_a_gpu_pack_asks_for_one_gpu_and_cores_for_its_loaders(submitted):
    _, _, _, fake = submitted["gpu"]
    asked = options(fake / "sbatch.log")[0]
    assert asked.items() >= {"--gpus": "1", "--cpus-per-task": "4", "--mem": "22000"}.items()
    assert not {"--ntasks-per-gpu", "--ntasks-per-node", "--nodes"} & set(asked)


def test_a_multi_node_run_has_lightnings_layout(submitted):
    code, said, results, fake = submitted["ddp"]
    assert code == 0, said
    asked = options(fake / "sbatch.log")
    assert len(asked) == 1
    assert asked[0].items() >= {
        "--nodes": "4", "--ntasks-per-node": "8", "--gres": "gpu:8", "--cpus-per-task": "6", "--signal": "SIGTERM@120"
    }.items()  # fmt: skip
    # tasks per GPU would multiply the processes
    assert not {"--ntasks", "--ntasks-per-gpu"} & set(asked[0])
    steps = calls(fake / "srun.log")
    assert len(steps) == 1
    layout = ["--nodes=4", "--ntasks=32", "--ntasks-per-node=8", "--cpus-per-task=6"]
    assert steps[0][:5] == ["--kill-on-bad-exit=1", *layout]
    assert steps[0][6:9] == ["-m", "toy", "pack"]
    assert len(list(results.glob("runs/toy/reduced/*/done.json"))) == 1


def test_a_run_that_failed_on_the_cluster_is_named(submitted):
    code, said, _, _ = submitted["gpu"]  # its fake job ended well without training anything
    assert code == 1
    assert "1 runs failed" in said
    assert "never started" in said


def test_one_task_a_node_is_refused_before_anything_is_submitted(tmp_path):
    code, said = call(tmp_path, "run", "toy", "--profile", "slurm", "--nodes", "2")
    assert (code, "--devices of at least 2" in said) == (2, True)
