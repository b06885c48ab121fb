"""What a plan over several devices refuses before anything starts."""

from __future__ import annotations

import pytest

from replications import PAPERS
from shared.spec import Execution
from shared.workflow.drive import make_plan
from shared.workflow.suite import EngineError, Suite


def plan(arm: str):
    return make_plan(
        Suite(PAPERS), ["hoffer"], "paper", "slurm", Execution(accelerator="gpu", devices=2), {"arms": [arm]},
        jobs=None, per_gpu=1, images_per_s=None, pack_minutes=None, tell=print,
    )  # fmt: skip


def test_batch_norm_over_the_whole_batch_is_not_spread_over_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("RESULTS_DIR", str(tmp_path))
    with pytest.raises(EngineError, match="2 devices are more than the chunks of f1-lb "):
        plan("f1-lb")
    assert len(plan("f1-gbn").todo) == 5
