"""The state of a run is told from its folder alone."""

from __future__ import annotations

import json

from filelock import FileLock

from shared.workflow.state import STATES, state_of


def test_every_state_is_told_from_the_folder(tmp_path):
    folders = [tmp_path / str(i) for i in range(6)]
    for folder in folders[:5]:
        (folder / "checkpoints").mkdir(parents=True)
    (folders[0] / "done.json").write_text(json.dumps({"run_id": "x", "status": "finished", "wall_s": 3.5}))
    (folders[1] / "done.json").write_text(json.dumps({"run_id": "x", "status": "diverged", "wall_s": 1.0}))
    (folders[2] / "done.json").write_text("{")
    (folders[3] / "checkpoints" / "last.ckpt").write_text("")
    (folders[4] / "checkpoints" / "last.ckpt").write_text("")
    (folders[3] / "lock").write_text("")  # left behind by a process that is gone
    with FileLock(folders[4] / "lock"):
        found = [state_of(folder) for folder in folders]
    assert found == ["finished", "diverged", "damaged", "resumable", "running", "waiting"]
    assert set(found) == set(STATES)
    assert state_of(folders[4]) == "resumable"  # the lock is free again
