"""Read a run back from its folder: every W&B file in it, merged on our own step."""

from __future__ import annotations

import re
from pathlib import Path

from shared.runs.leet import Log, read_log
from shared.runs.schema import RunRecord, config_values, history_frame, metric_values

REVISION, STARTED = "provenance.git_sha", "provenance.started_at"
_FOLDER = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-(.+)")


def wandb_files(run_dir: Path | str) -> list[Path]:
    """The ``.wandb`` files of a run, oldest first (a resumed run has several)."""

    def age(path: Path) -> tuple[str, int, str]:
        match = _FOLDER.fullmatch(path.parent.name)
        stamp, name = match.groups() if match else ("", path.parent.name)
        return stamp, len(name), name  # within one second W&B appends -1, -2, …

    return sorted(Path(run_dir, "wandb").glob("*run-*/run-*.wandb"), key=age)


def read_run(run_dir: Path | str) -> RunRecord:
    """The run recorded in ``run_dir``. Nothing raises: a damaged file gives what is readable, and ``problem``."""
    run_dir = Path(run_dir)
    logs = _in_order([read_log(path) for path in wandb_files(run_dir)])
    named = [log for log in logs if log.run_id]
    run_id = named[-1].run_id if named else run_dir.name
    # a session that was killed ends early; the one that resumed it takes over from there
    problems = [log.problem for log in logs if log.problem and not (log.cut and log is not logs[-1])]
    if not logs:
        problems.append(f"{run_dir}: no W&B file")
    mixed = sorted({str(log.run_id) for log in named if log.run_id != run_id})
    if mixed:
        problems.append(f"{run_dir}: files of other runs among those of {run_id}: {', '.join(mixed)}")
    own = [log for log in logs if log.run_id in (run_id, None)]
    return _merge(str(run_id), own, "; ".join(problems) or None)


def _in_order(logs: list[Log]) -> list[Log]:
    """Sessions by when they began: folders are named by local time, which machines and seasons do not share."""
    began: list[str] = []
    for log in logs:  # one that was killed before it wrote stays behind the one before it
        began.append(str(config_values(log.config).get(STARTED) or (began[-1] if began else "")))
    return [log for _, log in sorted(zip(began, logs, strict=True), key=lambda pair: pair[0])]


def _merge(run_id: str, logs: list[Log], problem: str | None) -> RunRecord:
    config: dict = {}
    summary: dict = {}
    for log in logs:
        config |= log.config
        summary |= log.summary
    # A claim edited between two sessions was not written before the run, so the revision is the first one's.
    revisions = [config_values(log.config).get(REVISION) for log in logs]
    first = {REVISION: next(r for r in revisions if r)} if any(revisions) else {}
    return RunRecord(
        run_id=run_id,
        config=config_values(config) | first,
        summary=metric_values(summary),
        history=history_frame([row for log in logs for row in log.rows]),
        finished=bool(logs) and logs[-1].exit_code == 0,
        problem=problem,
    )
