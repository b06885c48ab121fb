"""Provenance: what is dirty, what is unknown, and what it does not import."""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.runs import provenance
from tests.conftest import REPO


@pytest.fixture
def repo(tmp_path):
    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.csv").write_text("a\n")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "start", "--no-verify")
    return tmp_path, git("rev-parse", "HEAD")


def test_only_changed_code_makes_a_run_dirty(repo):
    folder, sha = repo
    assert provenance.collect("ab", "digits", folder)["git_sha"] == sha
    assert provenance.collect("ab", "digits", folder)["git_dirty"] is False
    (folder / "results" / "table.csv").write_text("b\n")
    (folder / "notes.txt").write_text("untracked")
    assert provenance.collect("ab", "digits", folder)["git_dirty"] is False
    assert provenance.collect("ab", "digits", folder / "results")["git_dirty"] is False
    (folder / "code.py").write_text("x = 2\n")
    assert provenance.collect("ab", "digits", folder)["git_dirty"] is True


def test_outside_of_git_nothing_vouches_for_the_code(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    facts = provenance.collect("ab", "digits", tmp_path)
    assert facts["git_sha"] == "unknown"
    assert facts["git_dirty"] is True
    assert provenance.short_sha(facts) == "unknown"
    monkeypatch.setenv("PATH", "")
    assert provenance.collect("ab", "digits", tmp_path)["git_sha"] == "unknown"


def test_facts_are_complete_and_flat():
    facts = provenance.collect("ab", "digits")
    assert facts["data_sha256"] == "ab"
    assert facts["data_name"] == "digits"
    assert all(isinstance(value, str | int | bool) and value != "" for value in facts.values())
    assert facts["torch"].count(".") >= 2
    assert facts["lightning"].startswith("2.")
    assert abs(datetime.fromisoformat(facts["started_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_torch_is_not_loaded_for_it_and_the_cuda_version_is_the_same():
    code = (
        "import sys; from shared.runs import provenance, snapshot; from shared.workflow import state\n"
        "cold = provenance.collect('a', 'b')\n"
        "print([m for m in ('torch', 'wandb', 'pytorch_lightning') if m in sys.modules], cold['cuda'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    (folder,) = importlib.util.find_spec("torch").submodule_search_locations
    truth = runpy.run_path(str(Path(folder, "version.py")))["cuda"]
    assert done.stdout.strip() == f"[] {truth or 'none'}"
