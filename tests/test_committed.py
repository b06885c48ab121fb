"""What is committed: every row belongs to a declared run, every outcome follows from the rows, collating loses none."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from replications import PAPERS
from shared.report.claims import is_late
from shared.runs import snapshot
from shared.spec import PRESETS
from shared.workflow.outcome import collated, stale_blocks, verdict_rows
from shared.workflow.suite import Suite
from tests.conftest import REPO
from tests.contract import papers


@papers
def test_every_committed_run_is_declared(paper):
    declared = {s.run_id for preset in PRESETS for s in paper.runs(preset).values()}
    rows, _ = snapshot.load(REPO / "results", paper.key)
    assert len(rows)
    assert set(rows["run_id"]) - declared == set()


@papers
def test_the_committed_outcomes_follow_from_the_committed_rows(paper):
    file = REPO / "results" / "report" / "tables" / f"{paper.key}-verdicts.json"
    keys = ("outcome", "scale", "n", "rule", "margin", "metric", "reference", "runs")

    def pinned(verdicts):
        return {v["claim"]: {k: v[k] for k in keys} for v in verdicts}

    def estimates(verdict):
        ours = verdict["ours"] if isinstance(verdict["ours"], list) else [verdict["ours"]]
        parts = [x for o in ours for x in ((o["value"], *(o["interval"] or ())) if isinstance(o, dict) else (o,))]
        return [x for x in (*parts, *(verdict["interval"] or ())) if x is not None]

    committed = json.loads(file.read_text())
    anew = {v["claim"]: v for v in json.loads(json.dumps(verdict_rows(paper, REPO / "results")))}
    told, found = pinned(committed), pinned(anew.values())
    assert {claim: found[claim] for claim in told} == told
    for verdict in committed:
        assert estimates(anew[verdict["claim"]]) == pytest.approx(estimates(verdict), rel=1e-4, abs=1e-9)


@papers
def test_a_claim_whose_outcome_is_post_hoc_says_so_itself(paper):
    """Trained again, as in every clone, the same seeds bear later revisions, by which git would clear the claim."""
    told = json.loads((REPO / "results" / "report" / "tables" / f"{paper.key}-verdicts.json").read_text())
    assert {v["claim"] for v in told if is_late(v)} <= {c["id"] for c in paper.claims() if c.get("late")}


@pytest.mark.skipif(not (REPO / ".git").exists() or (REPO / ".git" / "shallow").exists(),
                    reason="without the history it cannot be told which claims are older than their runs")  # fmt: skip
def test_readme_and_cards_say_what_the_committed_rows_say():
    assert stale_blocks(Suite(PAPERS), REPO / "results") == []


def test_readme_and_cards_are_stale_beside_other_rows(tmp_path):
    found = stale_blocks(Suite(PAPERS), tmp_path)
    assert {"README.md: status", *(f"replications/{key}/README.md: cost" for key in PAPERS)} <= {*found}


@pytest.mark.parametrize("key", ["goyal", "smith_b"])
def test_a_fresh_clone_that_collates_loses_no_row(key, tmp_path):
    paper = PAPERS[key]
    runs = [next(iter(paper.runs(p).values())) for p in PRESETS]
    rows = pd.DataFrame(
        [
            {
                "run_id": s.run_id,
                "paper": key,
                "arm": s.arm,
                "preset": s.preset,
                "seed": s.seed,
                "protocol": 1,
                "sweep": "x",
                "status": "finished",
            }
            for s in runs
        ]
    )
    snapshot.save(rows, pd.DataFrame({"run_id": [], "trainer/global_step": []}), tmp_path, key)
    assert set(collated(paper, tmp_path)[0]["run_id"]) == {s.run_id for s in runs}
