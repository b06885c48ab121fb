"""For every test: no network but the loopback interface, W&B offline, one thread, no windows."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from pytest_socket import socket_allow_hosts

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"

# A shell ignores Ctrl-C for what it starts in the background, and every process that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# the machines of CI are slow at times and shared
settings.register_profile("suite", deadline=None, print_blob=True)
settings.load_profile("suite")

REPO = Path(__file__).resolve().parents[1]
TOYS = Path(__file__).parent / "workflow"
sys.path.insert(0, str(TOYS))


@pytest.fixture(autouse=True)
def _loopback_only():
    socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch):
    """What a developer has exported must not change what the tests see."""
    for name in ("RESULTS_DIR", "WANDB_DIR", "WANDB_PROJECT", "WANDB_RUN_ID", "REPLICATIONS_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def reprinted(monkeypatch):
    """The reference tables as they would be with another number printed, at every place of that arm and metric."""
    from shared import printed

    read = printed.read

    def change(arm: str, metric: str, mean: str) -> None:
        def changed(file):
            return tuple({**r, "mean": mean} if (r["arm"], r["metric"]) == (arm, metric) else r for r in read(file))

        monkeypatch.setattr(printed, "read", changed)

    return change
