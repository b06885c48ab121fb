"""Other seeds than the declared ones: every paper's runs, moved, and kept apart from the committed results."""

from __future__ import annotations

from pathlib import Path

import pytest

from replications import PAPERS
from shared.seeds import OFFSET, offset, shifted
from shared.spec import PRESETS, SpecError, diff
from shared.stats.verdict import verdicts

MINE, COMMITTED = Path("/tmp/mine"), Path("/repo/results")
MOVED = shifted(PAPERS, 1000, MINE, COMMITTED)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("key", PAPERS)
def test_every_run_is_the_declared_one_with_another_seed(key, preset):
    for old, new in zip(PAPERS[key].sweeps(preset), MOVED[key].sweeps(preset), strict=True):
        assert (new.name, len(new.specs), len(new.derived)) == (old.name, len(old.specs), len(old.derived))
        for was, now in zip(old.every, new.every, strict=True):
            assert now.seed == was.seed + 1000
            assert now.run_id != was.run_id
            assert (now.arm, diff(was, now)) == (was.arm, {})
    ours = MOVED[key].runs(preset)
    assert {p for spec in ours.values() for p in spec.parents} <= set(ours)
    assert not set(ours) & set(PAPERS[key].runs(preset))


@pytest.mark.parametrize("key", PAPERS)
def test_a_moved_run_stands_for_what_the_declared_one_stands_for(key):
    paper = PAPERS[key]
    for was, now in zip(paper.runs("reduced").values(), MOVED[key].runs("reduced").values(), strict=True):
        theirs, found = paper.counterpart(was), MOVED[key].counterpart(now)
        assert (theirs is None) == (found is None)
        if theirs and found:
            assert (found.arm, found.seed, diff(theirs, found)) == (theirs.arm, theirs.seed + 1000, {})


def test_claims_are_judged_by_the_moved_runs_alone(tmp_path):
    import pandas as pd

    from shared.runs.frames import cells
    from shared.spec import flatten

    def rows(paper):
        runs = [s for s in paper.runs("reduced", sweep="batch-size").values()]
        return pd.DataFrame([{**cells(flatten(s)), "run_id": s.run_id, "status": "finished", "sweep": "batch-size",
                              "val/error_last5_median": 10.0 + 0.1 * (s.seed % 5)} for s in runs])  # fmt: skip

    told = {key: [v["n"] for v in verdicts(MOVED["goyal"], rows(p), pd.DataFrame(), presets=["reduced"])
                  if v["outcome"] != "not-run" and v["rule"] != "exact"]
            for key, p in (("moved", MOVED["goyal"]), ("declared", PAPERS["goyal"]))}  # fmt: skip
    assert told["moved"]
    assert set(told["moved"]) == {5}
    assert told["declared"] == []


def test_without_an_offset_nothing_changes(monkeypatch):
    monkeypatch.delenv(OFFSET, raising=False)
    assert offset() == 0
    assert shifted(PAPERS, 0, COMMITTED, COMMITTED) is PAPERS


def test_committed_results_take_no_other_seeds():
    with pytest.raises(SpecError, match="RESULTS_DIR="):
        shifted(PAPERS, 100, COMMITTED, COMMITTED)


@pytest.mark.parametrize("key", ["goyal", "keskar", "smith_a", "you"])
def test_a_seed_that_settings_were_chosen_on_is_not_judged(key):
    preset = "reduced" if key in ("goyal", "you") else "paper"
    with pytest.raises(SpecError, match="chosen on runs of seed 101"):
        shifted(PAPERS, 100, MINE, COMMITTED)[key].runs(preset)


@pytest.mark.parametrize("key", PAPERS)
def test_a_declared_seed_is_not_taken_for_an_unseen_one(key):
    with pytest.raises(SpecError, match=rf"the declared runs have seed \d+ of {key}"):
        shifted(PAPERS, 1, MINE, COMMITTED)[key].runs("reduced")


@pytest.mark.parametrize("text", ["-1", "a hundred", "1.5"])
def test_an_offset_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv(OFFSET, text)
    with pytest.raises(SpecError, match=f"{OFFSET}='{text}'"):
        offset()
