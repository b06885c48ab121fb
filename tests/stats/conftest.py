"""The fake paper of ``tests.stats.lab`` in a folder outside git; its checks hold but for one."""

from __future__ import annotations

import sys
import types

import pytest

from tests.stats.lab import ROLES, Lab


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    """The fake paper in a folder outside git; its checks hold but for one."""
    checks = types.ModuleType("replications.fake.checks")
    checks.good = lambda: [("one", True), ("two", True)]
    checks.bad = lambda: [("one", True), ("two", False)]
    checks.broken = lambda: 1 / 0
    parent = types.ModuleType("replications.fake")
    parent.__path__ = []
    monkeypatch.setitem(sys.modules, "replications.fake", parent)
    monkeypatch.setitem(sys.modules, "replications.fake.checks", checks)
    return Lab(tmp_path, dict(ROLES))
