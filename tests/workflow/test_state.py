"""The state of a run is told from its folder alone, and shown as it is."""

from __future__ import annotations

import json

from filelock import FileLock

from shared import cli
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


def test_a_table_on_the_terminal_shows_brackets_as_they_are(capsys):
    """A metric of one term stands in them: "b-30 [error@5000]"."""
    cli.show([{"claim": "A8", "ours": "b-30 [error@5000] 0.01 [0, 0.02]", "n": None}], as_json=False)
    assert "b-30 [error@5000] 0.01 [0, 0.02]" in capsys.readouterr().out
