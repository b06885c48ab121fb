"""Runs that were logged online, fetched from the W&B server in the same form as local ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.runs.read import STARTED
from shared.runs.schema import RunRecord, config_values, history_frame, metric_values


class FetchError(RuntimeError):
    """The server's runs could not be fetched; the message says what to check."""


def fetch(
    path: str,
    paper_key: str | None = None,
    preset: str | None = None,
    timeout_s: int = 60,
    known: Mapping[str, str] | None = None,
) -> Iterator[RunRecord]:
    """Records of the runs of ``path`` (``entity/project``), every row of them: ``history()`` would sample.

    ``known``: when each run that is known already began (``provenance.started_at``); what began at another time is a
    run made again. Raises FetchError.
    """
    import wandb

    filters: dict[str, Any] = {}
    if paper_key:
        filters["config.paper"] = paper_key
    if preset:
        filters["config.preset"] = preset
    try:
        for run in wandb.Api(timeout=timeout_s).runs(path, filters=filters or None, per_page=100):
            if known and run.id in known and config_values(dict(run.config)).get(STARTED) == known[run.id]:
                continue
            record = _record(run)
            wanted = (paper_key in (None, record.config.get("paper"))) and preset in (None, record.config.get("preset"))
            if wanted:  # a server may understand filters less strictly than we do
                yield record
    except Exception as error:
        if not (isinstance(error, OSError | ValueError) or type(error).__module__.startswith("wandb")):
            raise
        raise FetchError(
            f"could not read {path!r} from W&B: {error}; check entity/project, log-in and network"
        ) from error


def _record(run: Any) -> RunRecord:
    return RunRecord(
        run_id=run.id,
        config=config_values(dict(run.config)),
        summary=metric_values(dict(run.summary_metrics)),
        history=history_frame(list(run.scan_history(page_size=1000))),
        finished=run.state == "finished",
        problem=None,
    )
