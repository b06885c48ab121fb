"""One ``.wandb`` file through W&B's own inspector (the log format is not a public interface; the command is)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_TIMEOUT_S = 300
EMPTY = "holds no run"
"""What W&B has written within its first second: nothing, or a header."""


@dataclass
class Log:
    """What one ``.wandb`` file holds."""

    run_id: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    problem: str | None = None
    cut: bool = False
    """The problem is only that the file ends early: its process was killed."""


def read_log(path: Path) -> Log:
    """Everything up to the first damage; ``problem`` names the file and the damage. Never raises for a bad file."""
    log = Log()
    text, complaint = _inspect(path, "--json")
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            complaint = complaint or "the inspector printed something that is not JSON"
            break
        _apply(log, record)
    if not complaint and log.run_id is None:
        complaint = EMPTY
    if complaint:
        log.problem = f"{path}: {complaint}"
        log.cut = "incomplete .wandb file" in complaint or complaint == EMPTY
    return log


def state_of(path: Path) -> str:
    """``finished``, ``failed``, ``running`` (no exit record) or ``unreadable``."""
    text, _ = _inspect(path, "--summary", "--json")
    try:
        return str(json.loads(text).get("state", "unreadable"))
    except json.JSONDecodeError:
        return "unreadable"


def _apply(log: Log, record: dict[str, Any]) -> None:
    match record.get("type"):
        case "run":
            run = record["run"]
            log.run_id = run.get("run_id", log.run_id)
            _update(log.config, run.get("config", {}))
        case "config":
            _update(log.config, record["config"])
        case "summary":
            _update(log.summary, record["summary"])
        case "history":
            log.rows.append(record["history"].get("item", {}))
        case "exit":
            log.exit_code = int(record["exit"].get("exit_code", 0))


def _update(target: dict[str, Any], change: dict[str, Any]) -> None:
    target.update(change.get("update") or {})
    for key in change.get("remove") or ():
        target.pop(key, None)


def _inspect(path: Path, *flags: str) -> tuple[str, str | None]:
    """Standard output of the inspector and its complaint, if any."""
    program, options = _program()
    command = [*program, "inspect", *flags, *options, str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S,
            env=os.environ | {"WANDB_ERROR_REPORTING": "false"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"the W&B inspector failed ({error})"
    complaint = done.stderr.strip().removeprefix("wandb leet inspect: ").splitlines()
    if done.returncode and not complaint:
        complaint = [f"the W&B inspector ended with exit code {done.returncode}"]
    return done.stdout, complaint[-1] if complaint else None


@cache
def _program() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The inspector and the option before the file: the core binary (0.02 s), else the command line (0.8 s)."""
    import wandb.util

    try:
        return (wandb.util.get_core_path(), "leet"), ("--no-observability", "-run-file")
    except Exception:  # no binary at that place in this W&B: its command line finds its own
        return (sys.executable, "-m", "wandb", "leet"), ()
