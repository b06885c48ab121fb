"""Was a claim written before its runs? Its last edit must be an ancestor of the commit that each run came from."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

UNCOMMITTED = "0" * 40
POST_HOC = "post hoc"
"""With this the reason of an outcome begins whose rule was written or edited after runs that it judges, or after runs
whose nets these measure."""
_TEXT = r"""("(?:[^"\\]|\\.)*"|'[^']*')"""
REMARK = re.compile(
    rf"\s*((where|no_numbers|reason|command)\s*=\s*{_TEXT}\s*|requires\s*=\s*\[.*\]\s*|(once|own|late)\s*=\s*true\s*)?"
    r"(#.*)?"
)
"""Lines that change nothing of what is claimed and how it is judged: where it stands, who claims it, why there are no
numbers or no runs, comments, blank lines; and ``requires``, ``once`` and ``late``, which can take an outcome away or
mark it and never give one."""


@dataclass(frozen=True)
class Ancestry:
    """``posthoc`` is None when git cannot tell; ``note`` says why, or what was found."""

    posthoc: bool | None
    note: str


def claim_lines(text: str, claim_id: str) -> tuple[int, int] | None:
    """First and last line (from 1) of a claim's block, without the blank and comment lines that follow it."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.strip() == "[[claim]]"] + [len(lines)]
    for first, after in itertools.pairwise(starts):
        block = lines[first:after]
        if any(re.fullmatch(rf'id\s*=\s*"{re.escape(claim_id)}"(\s*#.*)?', line.strip()) for line in block):
            while block and (not block[-1].strip() or block[-1].lstrip().startswith("#")):
                block.pop()
            return first + 1, first + len(block)
    return None


def posthoc(repo: Path, claims_path: Path, claim_id: str, revs: Iterable[str | None]) -> Ancestry:
    """Compare the commits that last touched the claim's lines with the commits its runs came from.

    What counts is what the claim says, its rules, arms, margins and numbers; lines that match REMARK do not.
    ``revs`` are git hashes; append ``-dirty`` when the run's tree held uncommitted changes, None when unknown.
    Post hoc: an edit is uncommitted, or is no ancestor of a clean run. Never raises: outside git, for unknown hashes
    and for dirty runs older than the edit the answer is "cannot tell".
    """
    known = sorted({r for r in revs if isinstance(r, str) and r})
    if not known:
        return Ancestry(None, "the runs carry no git revision")
    try:
        lines = claim_lines(claims_path.read_text(), claim_id)
    except OSError as error:
        return Ancestry(None, f"{claims_path.name} cannot be read ({error.strerror})")
    if lines is None:
        return Ancestry(None, f"{claims_path.name} has no claim {claim_id}")
    blame = _git(repo, "blame", "--porcelain", "-w", "-L", f"{lines[0]},{lines[1]}", "--", str(claims_path.resolve()))
    if blame is None:
        return Ancestry(None, "no git history of the claims here")
    edits = _edits(blame)
    if UNCOMMITTED in edits:
        return Ancestry(True, "the claim has an uncommitted edit")
    doubtful = ""
    for rev in known:
        sha, dirty = rev.removesuffix("-dirty"), rev.endswith("-dirty")
        for edit in sorted(edits):
            older = _is_ancestor(repo, edit, sha)
            if older is None:
                doubtful = f"revision {sha[:12]} is unknown here"
            elif not older and dirty:
                doubtful = f"runs of {sha[:12]} had uncommitted changes and precede the claim's last edit {edit[:12]}"
            elif not older:
                return Ancestry(True, f"edited in {edit[:12]}, after runs of {sha[:12]}")
    return Ancestry(None, doubtful) if doubtful else Ancestry(False, "declared before its runs")


def _edits(blame: str) -> set[str]:
    """Commits of the lines of a porcelain blame (header, details, then the line behind a tab) that are no remarks."""
    found, sha = set(), ""
    for line in blame.split("\n"):
        if header := re.match(r"([0-9a-f]{40}) \d+ \d+", line):
            sha = header[1]
        elif line.startswith("\t") and not REMARK.fullmatch(line[1:].rstrip()):
            found.add(sha)
    return found


def _git(repo: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(repo), *args], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@lru_cache(maxsize=4096)
def _is_ancestor(repo: Path, old: str, new: str) -> bool | None:
    """None when git does not know one of the two."""
    try:
        done = subprocess.run(
            ["git", "-C", str(repo), "merge-base", "--is-ancestor", old, new],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {0: True, 1: False}.get(done.returncode)
