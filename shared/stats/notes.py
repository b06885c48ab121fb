"""What stands beside a finding: runs that were lost, processors that differ, revisions that the runs came from."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from shared.stats.chance import CHANCE, at_chance


def lost(used: pd.DataFrame, without: Collection[str] = ()) -> list[str]:
    """How many runs diverged, with a value of chance level or, those in ``without``, with none; and how many finished
    without having learnt anything."""
    diverged = used["status"] == "diverged"
    gone = used["run_id"].isin(without)
    found = []
    for count, what in ((diverged & ~gone, "count at chance level"), (gone, "have no value, so they are left out")):
        found += [f"{count.sum()} of {len(used)} runs diverged and {what}"] if count.any() else []
    if {CHANCE, "data.name"} <= set(used):
        rest = used[~diverged]
        errors = pd.to_numeric(rest[CHANCE], errors="coerce")
        ended = sum(at_chance(error, data) for error, data in zip(errors, rest["data.name"], strict=True))
        found += [f"{ended} of {len(used)} runs finished at chance level"] if ended else []
    return found


def processors(used: pd.DataFrame) -> list[str]:
    """The kinds of processors, where they are several."""
    kinds = sorted({str(cpu) for cpu in used.get("provenance.cpu", pd.Series(dtype=object)).dropna()})
    told = f"runs of {len(kinds)} processors, on which a seed is not one run: {', '.join(kinds)}"
    return [told] if len(kinds) > 1 else []


def revisions(used: pd.DataFrame) -> list[str | None]:
    """The git revision of every run that has one, ``-dirty`` where its tree held changes."""
    shas = used.get("provenance.git_sha", pd.Series(dtype=object))
    dirty = used.get("provenance.git_dirty", pd.Series(False, index=used.index))
    marks = ["-dirty" if str(d).lower() in ("true", "1", "1.0") else "" for d in dirty]
    return [f"{s}{m}" for s, m in zip(shas, marks, strict=False) if isinstance(s, str) and s]
