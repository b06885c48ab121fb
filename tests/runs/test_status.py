"""Status is told from the folders alone."""

from __future__ import annotations

import json

import pytest
from filelock import FileLock

from shared.runs.status import counts, state_of, status
from shared.spec import SpecError
from tests.runs import toy


def test_every_declared_run_has_a_state(tmp_path):
    specs = list(toy.PAPER.runs("smoke").values())
    folders = [toy.folder(tmp_path, s) for s in specs]
    for folder in folders[:5]:
        (folder / "checkpoints").mkdir(parents=True)
    (folders[0] / "done.json").write_text(json.dumps({"run_id": "x", "status": "finished", "wall_s": 3.5}))
    (folders[1] / "done.json").write_text(json.dumps({"run_id": "x", "status": "diverged", "wall_s": 1.0}))
    (folders[2] / "done.json").write_text("{")
    (folders[3] / "checkpoints" / "last.ckpt").write_text("")
    (folders[4] / "checkpoints" / "last.ckpt").write_text("")
    (folders[3] / "lock").write_text("")  # left behind by a process that is gone
    with FileLock(folders[4] / "lock"):
        found = status(toy.PAPER, "smoke", tmp_path)
    assert [s.state for s in found] == ["finished", "diverged", "damaged", "resumable", "running", "waiting"]
    assert [s.done for s in found] == [True, True, False, False, False, False]
    assert found[0].wall_s == 3.5
    assert found[3].wall_s is None
    assert [s.run_id for s in found] == [s.run_id for s in specs]
    assert counts(found) == dict.fromkeys(("finished", "diverged", "running", "resumable", "waiting", "damaged"), 1)
    assert state_of(folders[4]) == ("resumable", None)  # the lock is free again


def test_seeds_and_sweeps_narrow_it(tmp_path):
    assert [(s.arm, s.seed) for s in status(toy.PAPER, "smoke", tmp_path, seeds=1)] == [("small", 1), ("large", 1)]
    with pytest.raises(SpecError, match="no sweep 'other'"):
        status(toy.PAPER, "smoke", tmp_path, sweep="other")
