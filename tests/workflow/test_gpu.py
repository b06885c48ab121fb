from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack

import pytest

from shared.workflow import gpu


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(gpu, "POLL_S", 0.01)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_user_chooses_with_cuda_visible_devices(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert gpu.visible() == ["2", "3"]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert gpu.visible() == []


def test_otherwise_the_driver_lists_them(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: Fake (UUID: a)'\necho 'GPU 1: Fake (UUID: b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.visible() == ["0", "1"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert gpu.visible() == []


def test_jobs_spread_over_gpus_before_they_share_one(tmp_path):
    with ExitStack() as held:
        taken = [held.enter_context(gpu.slot(["0", "1"], per_gpu=2, folder=tmp_path)) for _ in range(4)]
    assert taken == ["0", "1", "0", "1"]


def test_the_variable_is_set_inside_and_restored_after(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with gpu.slot(gpu.visible(), folder=tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"


def test_no_gpu_no_change(tmp_path):
    with gpu.slot([], folder=tmp_path) as mine:
        assert mine is None
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_job_waits_until_a_slot_is_free(tmp_path):
    order = []

    def second():
        with gpu.slot(["0"], folder=tmp_path):
            order.append("second")

    with gpu.slot(["0"], folder=tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.1)
        order.append("first")
    waiting.join(5)
    assert order == ["first", "second"]
