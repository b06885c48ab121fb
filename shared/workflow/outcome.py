"""After the runs: tables, verdicts, report, and the generated blocks of README and cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from shared.paper import Paper
from shared.spec import PRESETS
from shared.workflow.suite import REPO, Suite

Tables = tuple[pd.DataFrame, pd.DataFrame]


def collated(paper: Paper, results: Path, wandb: str | None = None) -> Tables:
    """Read the run folders, or the W&B project ``wandb``, into the snapshot and return what it then holds.

    Runs that nothing declares are left out. The snapshot is the cache of the project: a run that it has is fetched only
    if it was made again since.
    """
    from shared.runs import snapshot, table
    from shared.runs.read import STARTED

    declared = {s.run_id for preset in PRESETS for sweep in paper.sweeps(preset) for s in sweep.specs}
    if wandb:
        kept = stored(paper, results)[0]
        known = dict(zip(kept["run_id"], kept.get(STARTED, kept["run_id"]), strict=True))
        rows, history = table.collate_api(wandb, paper.key, known=known)
    else:
        rows, history = table.collate(results, paper.key, runs=declared)
    return snapshot.save(rows, history, results, paper.key, keep=declared)


def stored(paper: Paper, results: Path) -> Tables:
    from shared.runs import snapshot

    return snapshot.load(results, paper.key)


def verdict_rows(paper: Paper, results: Path, tables: Tables | None = None) -> list[dict[str, Any]]:
    """The verdicts that the snapshot supports, one dictionary a claim."""
    from shared.stats.verdict import verdicts

    rows, history = tables or stored(paper, results)
    real = [p for p in PRESETS if p != "smoke"]
    only_smoke = len(rows) and not rows["preset"].isin(real).any()
    return verdicts(paper, rows, history, presets=("smoke",) if only_smoke else real)


def refresh(
    suite: Suite, keys: list[str], results: Path, *, collate: bool = True, wandb: str | None = None
) -> list[Path]:
    """Tables of the papers ``keys`` (from their run folders, from the W&B project ``wandb``, or with
    ``collate=False`` as committed), then the report over every paper, then the generated blocks.

    Returns the files to look at.

    The blocks are written only for the repository's own results, so a smoke run leaves them alone.
    """
    from shared.report import questions
    from shared.report.build import build_report

    papers = suite.papers
    asked = questions.load(suite.module, papers)
    data = {k: collated(p, results, wandb) if collate and k in keys else stored(p, results) for k, p in papers.items()}
    judged = {k: verdict_rows(p, results, data[k]) for k, p in papers.items()}
    report = build_report(papers.values(), data, judged, results / "report", asked)
    written = [report.markdown, report.html, report.pdf]
    if results == (REPO / "results").resolve():
        from shared.report.blocks import update

        written += [path for path, texts in _blocks(suite, data, judged) if update(path, texts)]
    return written


def stale_blocks(suite: Suite, results: Path) -> list[str]:
    """Generated blocks that no longer say what the snapshot says."""
    from shared.report.blocks import stale

    data = {k: stored(p, results) for k, p in suite.papers.items()}
    judged = {k: verdict_rows(p, results, data[k]) for k, p in suite.papers.items()}
    return [
        f"{path.relative_to(REPO)}: {name}"
        for path, texts in _blocks(suite, data, judged)
        for name in stale(path, texts)
    ]


def _blocks(suite: Suite, data: dict[str, Tables], judged: dict[str, list[dict[str, Any]]]):
    """``(file, {block: text})`` for the README and every card."""
    from shared.report.blocks import card_blocks, readme_blocks

    yield REPO / "README.md", readme_blocks(suite.papers.values(), data, judged)
    for key, paper in suite.papers.items():
        yield paper.folder / "README.md", card_blocks(paper, data, judged[key])
