"""Claims declared before and after their runs, told from a git history made for the purpose."""

from __future__ import annotations

import json
import subprocess

import pandas as pd
import pytest

from shared.stats.posthoc import posthoc
from shared.stats.verdict import verdicts

TEXT = """# head
[[claim]]
id = "A"
where = "Table 1"
says = "Cold is worse."
presets = { reduced = "direction" }
no_numbers = "made up"
[[claim.test]]
rule = "greater"
a = "b-2-cold"
b = "b-2"
margin = 0.1

# about B
[[claim]]
id = "B"
where = "Table 2"
says = "Also."
presets = { reduced = "direction" }
no_numbers = "made up"
[[claim.test]]
rule = "greater"
a = "b-2-cold"
b = "b-2"
margin = 0.0
"""


@pytest.fixture
def repo(tmp_path, monkeypatch):
    for key in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(key, raising=False)
    git(tmp_path, "init", "-q")
    return tmp_path


def git(folder, *args) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", folder, *who, *args], check=True, capture_output=True, text=True).stdout.strip()


def commit(folder, text: str) -> str:
    (folder / "claims.toml").write_text(text)
    git(folder, "add", "claims.toml")
    git(folder, "commit", "-q", "--allow-empty", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def ask(folder, claim, *revs):
    return posthoc(folder / "claims.toml", claim, revs)


def test_only_the_edited_claim_becomes_post_hoc(repo):
    before = commit(repo, TEXT)
    after = commit(repo, TEXT.replace("margin = 0.1", "margin = 0.2"))
    assert ask(repo, "A", before).posthoc is True
    assert ask(repo, "A", after).posthoc is False
    assert ask(repo, "A", after, before).posthoc is True
    assert ask(repo, "B", before).posthoc is False


def test_an_uncommitted_edit_is_post_hoc(repo):
    head = commit(repo, TEXT)
    (repo / "claims.toml").write_text(TEXT.replace("margin = 0.1", "margin = 0.3"))
    assert ask(repo, "A", head).posthoc is True
    assert ask(repo, "B", head).posthoc is False


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ('where = "Table 1"', 'where = "Table 1, left \\"half\\""', False),
        ('no_numbers = "made up"', 'no_numbers = "invented" # by us', False),
        ("[[claim.test]]", "# a remark\n\n[[claim.test]]", False),
        ("[[claim.test]]", 'requires = ["B"]\nonce = true\nown = true\n[[claim.test]]', False),
        ('a = "b-2-cold"\nb = "b-2"\n', 'b  =  "b-2"\na = "b-2-cold"\n', False),
        ("says = ", 'says = "No." # says = ', True),
        ("margin = 0.1\n", "", True),
        ('a = "b-2-cold"', 'a = "b-2-cool"', True),
        ("margin = 0.1", "margin = 0.2 # where", True),
        ('no_numbers = "made up"', 'numbers = { "b-2" = { mean = 1.0, tag = "V" } }', True),
    ],
)
def test_only_what_is_claimed_and_how_it_is_judged_counts_as_an_edit(repo, old, new, counts):
    before = commit(repo, TEXT)
    (repo / "claims.toml").write_text(TEXT.replace(old, new, 1))
    assert ask(repo, "A", before).posthoc is counts
    commit(repo, TEXT.replace(old, new, 1))
    assert ask(repo, "A", before).posthoc is counts


def test_a_claim_that_its_runs_do_not_know_is_post_hoc(repo):
    """Another stood in its place, or its file did not exist."""
    without = commit(repo, TEXT.replace('id = "A"', 'id = "Z"'))
    git(repo, "rm", "-q", "claims.toml")
    git(repo, "commit", "-q", "-m", "x")
    before = git(repo, "rev-parse", "HEAD")
    commit(repo, TEXT)
    assert [ask(repo, claim, rev).posthoc for claim in "AB" for rev in (without, before)] == [True, True, False, True]


def test_a_rule_that_was_dropped_after_the_runs_counts_as_an_edit(repo):
    more = '[[claim.test]]\nrule = "greater"\na = "b-2-cold"\nb = "b-4"\n\n# about B'
    before = commit(repo, TEXT.replace("\n# about B", more))
    commit(repo, TEXT)
    assert ask(repo, "A", before).posthoc is True
    assert ask(repo, "B", before).posthoc is False


def test_where_git_cannot_tell_it_says_so(repo, tmp_path_factory):
    before = commit(repo, TEXT)
    commit(repo, TEXT.replace("margin = 0.1", "margin = 0.2"))
    for found, why in (
        (ask(repo, "A", "f" * 40), "unknown"),
        (ask(repo, "A", None), "no git revision"),
        (ask(repo, "A", f"{before}-dirty"), "uncommitted changes"),
        (ask(repo, "C", before), "no claim C"),
    ):
        assert found.posthoc is None
        assert why in found.note
    outside = tmp_path_factory.mktemp("outside")
    (outside / "claims.toml").write_text(TEXT)
    assert "no git history" in ask(outside, "A", before).note


def test_the_verdict_says_post_hoc_first(repo, lab):
    rows = lab.rows({"b-2": 10, "b-2-cold": 12})
    lab.folder = repo
    paper = lab.paper(TEXT)
    rows["provenance.git_sha"] = commit(repo, TEXT)
    rows["provenance.git_dirty"] = False
    assert not any("post hoc" in v["reason"] for v in verdicts(paper, rows, pd.DataFrame()))
    commit(repo, TEXT.replace("margin = 0.1", "margin = 0.2"))
    a, b = verdicts(paper, rows, pd.DataFrame())
    assert a["reason"].startswith("post hoc: ")
    assert a["outcome"] == "reproduced"
    assert not b["reason"].startswith("post hoc")


def test_a_claim_made_after_the_nets_were_trained_that_its_runs_measure_is_post_hoc(repo, lab):
    """The runs judged are newer than the claim, a run two steps behind them is not."""
    rows = lab.rows({"b-1": 11, "b-4": 11, "b-2": 10, "b-2-cold": 12})
    lab.folder = repo
    older = commit(repo, TEXT)
    paper = lab.paper(TEXT.replace("margin = 0.1", "margin = 0.2"))
    rows["provenance.git_sha"] = commit(repo, (repo / "claims.toml").read_text())
    rows["provenance.git_dirty"] = False
    first = rows[rows["seed"] == 1].set_index("arm")["run_id"]
    for child, parent in (("b-2", "b-1"), ("b-1", "b-4")):
        rows.loc[rows["run_id"] == first[child], "parents"] = json.dumps([first[parent]])
    assert not any("post hoc" in v["reason"] for v in verdicts(paper, rows, pd.DataFrame()))
    rows.loc[rows["run_id"] == first["b-4"], "provenance.git_sha"] = older
    a, _ = verdicts(paper, rows, pd.DataFrame())
    assert a["reason"].startswith("post hoc: ")


def test_a_claim_can_say_itself_that_it_came_late(repo, lab):
    rows = lab.rows({"b-2": 10, "b-2-cold": 12})
    lab.folder = repo
    text = TEXT.replace('says = "Also."', 'says = "Also."\nlate = true')
    paper = lab.paper(text)
    rows["provenance.git_sha"] = commit(repo, text)
    a, b = verdicts(paper, rows, pd.DataFrame())
    assert b["reason"].startswith("post hoc: ")
    assert not a["reason"].startswith("post hoc")


def test_of_a_run_with_uncommitted_changes_git_cannot_tell(repo, lab):
    lab.folder = repo
    rows = lab.rows({"b-2": 10, "b-2-cold": 12})
    rows["provenance.git_sha"] = commit(repo, TEXT)
    rows["provenance.git_dirty"] = True
    text = TEXT.replace("margin = 0.1", "margin = 0.2")
    commit(repo, text)
    a, _ = verdicts(lab.paper(text), rows, pd.DataFrame())
    assert not a["reason"].startswith("post hoc")
    assert "cannot tell whether the claim precedes its runs" in a["reason"]
