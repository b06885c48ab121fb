from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _wandb_stays_here(monkeypatch, tmp_path_factory):
    """Offline, no error reports, W&B's own folders in a temporary place."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # else child processes use the one of the test process
    home = tmp_path_factory.getbasetemp() / "wandb-home"
    home.mkdir(exist_ok=True)
    for name in ("CACHE", "DATA", "ARTIFACT", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(home))
