"""The real launchers: the command line, Snakemake, and Lightning's subprocess DDP, with record and checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys

import torch

from replications.goyal import PAPER
from shared import training
from shared.runs.read import read_run
from shared.spec import Execution, override


def test_a_run_over_two_processes_from_the_command_line_is_the_run_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    declared = next(s for s in PAPER.runs("smoke").values() if s.arm == "kn-128")
    spec = override(declared, ["precision=64-true"])
    words = "run goyal --preset smoke --arm kn-128 --seeds 1 --set precision=64-true"
    command = [sys.executable, "-m", "replications", *words.split()]
    command += ["--devices", "2", "--accelerator", "cpu", "--no-report"]
    environment = os.environ | {"RESULTS_DIR": str(tmp_path / "two")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    training.run(spec, Execution(accelerator="cpu"), tmp_path / "one", PAPER)
    one, two = (training.run_dir(tmp_path / name, spec) for name in ("one", "two"))
    theirs = torch.load(two / "weights.pt")
    for name, value in torch.load(one / "weights.pt").items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-7, atol=1e-9)
    record = read_run(two)
    assert record.finished
    assert record.config["execution.devices"] == 2
    same = ["trainer/global_step", "train/error", "val/error", "val/error_precise_bn"]
    assert record.history[same].equals(read_run(one).history[same])
