"""Was a claim written before its runs? Each run's own commit must have it as it stands now."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

POST_HOC = "post hoc"
"""With this the reason of an outcome begins whose rule was written or edited after runs that it judges, after runs
whose nets these measure, or whose seeds were added after a look."""
REMARKS = frozenset({"where", "no_numbers", "not_run", "requires", "once", "own", "late"})
"""What changes nothing of what is claimed and how it is judged: where it stands, who claims it, why there are no
numbers or no runs; and ``requires``, ``once`` and ``late``, which can take an outcome away or mark it and never give
one."""

Claims = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Ancestry:
    """``posthoc`` is None when git cannot tell; ``note`` says why, or what was found."""

    posthoc: bool | None
    note: str


def posthoc(claims_path: Path, claim_id: str, revs: Iterable[str | None]) -> Ancestry:
    """Compare the claim with what the commits that its runs came from say in its place.

    What counts is what the claim says, its rules, arms, margins and numbers, and not REMARKS, comments or layout.
    ``revs`` are git hashes; append ``-dirty`` when the run's tree held uncommitted changes, None when unknown.
    Post hoc: the commit of a clean run lacks the claim or has it otherwise. Never raises: outside git, for unknown
    hashes and for dirty runs of such a commit the answer is "cannot tell".
    """
    known = sorted({r for r in revs if isinstance(r, str) and r})
    if not known:
        return Ancestry(None, "the runs carry no git revision")
    try:
        now = _claims(claims_path.read_text())
    except (OSError, ValueError) as error:
        return Ancestry(None, f"{claims_path.name} cannot be read ({error})")
    if claim_id not in now:
        return Ancestry(None, f"{claims_path.name} has no claim {claim_id}")
    doubtful = ""
    for rev in known:
        sha, dirty = rev.removesuffix("-dirty"), rev.endswith("-dirty")
        then = _claims_of(claims_path.resolve(), sha)
        if isinstance(then, str):
            doubtful = then
        elif then.get(claim_id) == now[claim_id]:
            continue
        elif dirty:
            doubtful = f"runs of {sha[:12]} had uncommitted changes and do not know the claim as it stands"
        elif claim_id in then:
            return Ancestry(True, f"edited after runs of {sha[:12]}")
        else:
            return Ancestry(True, f"written after runs of {sha[:12]}")
    return Ancestry(None, doubtful) if doubtful else Ancestry(False, "declared before its runs")


@lru_cache(maxsize=64)
def _claims(text: str) -> Claims:
    """By id, without remarks. Raises ValueError (of TOML)."""
    claims = tomllib.loads(text).get("claim", [])
    return {c.get("id", ""): {k: v for k, v in c.items() if k not in REMARKS} for c in claims}


@lru_cache(maxsize=1024)
def _claims_of(claims_path: Path, sha: str) -> Claims | str:
    """The claims in a commit, none if it has no such file; or why that cannot be told."""
    folder = claims_path.parent
    if _git(folder, "rev-parse", "--git-dir") is None:
        return "no git history of the claims here"
    if _git(folder, "cat-file", "-e", f"{sha}^{{commit}}") is None:
        return f"revision {sha[:12]} is unknown here"
    try:
        return _claims(_git(folder, "show", f"{sha}:./{claims_path.name}") or "")
    except ValueError:
        return f"the claims of revision {sha[:12]} cannot be read"


def _git(at: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(at), *args], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
