"""Write one run to W&B: offline by default, quiet, safe to kill, cheap enough to make hundreds in one process."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.runs.leet import state_of
from shared.runs.provenance import short_sha
from shared.runs.schema import FLOAT_KEYS, PROJECT, STEP
from shared.spec import Execution, RunSpec, flatten

if TYPE_CHECKING:
    from wandb import Run

log = logging.getLogger(__name__)
ON_DISK_WITHIN_S = 20.0
"""How long ``finish`` waits for the exit record to appear in the file (usually it is there at once)."""
_RESERVED = ("sweep", FLOAT_KEYS)
_open: list[Run] = []


class RecordError(RuntimeError):
    """A run that W&B could not start or write completely; the message names the folder and the remedy."""


def wandb_mode() -> str:
    """``WANDB_MODE``, offline when unset. RecordError for one that keeps no record."""
    mode = os.environ.get("WANDB_MODE") or "offline"
    if mode not in ("offline", "online"):
        raise RecordError(f"WANDB_MODE={mode!r}: the record of a run is its W&B run; use offline or online")
    return mode


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. A KeyboardInterrupt, so that code which cleans up on Ctrl-C cleans up now as well."""


def config_of(
    spec: RunSpec,
    execution: Execution,
    sweep: str,
    provenance: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The flat W&B config of a run: spec fields by dotted name, ``sweep``, ``execution.*``, ``provenance.*``, extras.

    W&B writes 1.0 as 1; the names of the float fields are recorded beside them so that a reader restores the type.
    Raises RecordError when an extra key would hide a declared one.
    """
    config = flatten(spec) | {"sweep": sweep}
    config |= {f"execution.{k}": v for k, v in flatten(execution).items()}
    config |= {f"provenance.{k}": v for k, v in provenance.items()}
    if clash := sorted({*config, *_RESERVED} & set(extra or {})):
        raise RecordError(f"extra config {clash[0]!r} would hide a field of the run; choose another name")
    config |= extra or {}
    config[FLOAT_KEYS] = sorted(k for k, v in config.items() if _is_float(v))
    return config


def start(
    spec: RunSpec,
    execution: Execution,
    run_dir: Path | str,
    sweep: str,
    provenance: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> Run:
    """Open the W&B run of a spec in ``run_dir`` (``WANDB_MODE`` decides: offline unless it says otherwise).

    A run of this process that is still open is first closed as failed: it can no longer get rows.
    Starting the same spec again adds a second file; ``read_run`` merges them. Raises RecordError.
    """
    for left in list(_open):
        finish(left, exit_code=1)
    config = config_of(spec, execution, sweep, provenance, extra)
    mode = wandb_mode()
    run_dir = Path(run_dir).resolve()
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        _keep_out_of_home(run_dir.parent / ".wandb", mode)
        import wandb

        run = wandb.init(
            id=spec.run_id,
            name=spec.run_id,
            dir=str(run_dir),
            project=PROJECT,
            group=f"{spec.paper}/{sweep}",
            job_type=spec.preset,
            tags=[f"protocol-{spec.protocol}", f"git-{short_sha(provenance)}"],
            mode="online" if mode == "online" else "offline",
            resume="allow",
            reinit="create_new",
            config=config,
            settings=_settings(),
        )
    except Exception as error:
        if not _is_wandb_trouble(error):
            raise
        raise _cannot_start(run_dir, mode, error) from error
    run.define_metric("*", step_metric=STEP)
    _open.append(run)
    return run


def finish(run: Run, summary: Mapping[str, Any] | None = None, exit_code: int = 0) -> None:
    """Write the summary and the exit record, and check that they reached the disk.

    ``exit_code`` 0 says that the run is complete; anything else leaves it unfinished (interrupted, failed), and then
    trouble with W&B is only logged, so as not to hide what went wrong before. Raises RecordError when the file of a
    complete run does not hold its end, as after a full disk.
    """
    folder = Path(run.settings.sync_dir)
    try:
        if summary and run in _open:
            run.summary.update(dict(summary))
        _close(run, exit_code)
        if not _ended(folder / f"run-{run.id}.wandb") and exit_code == 0:
            raise RecordError(f"{folder}: the end of the run did not reach its W&B file; {_space(folder)}")
    except Exception as error:
        if not _is_wandb_trouble(error):
            raise
        if exit_code == 0:
            raise RecordError(f"{folder}: W&B could not finish the run ({error!r}); {_space(folder)}") from error
        log.warning("%s: W&B could not close the run (%r)", folder, error)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Inside, SIGTERM raises ``Terminated`` in the main thread, so that ``finish`` gets its turn.

    The old handler is back afterwards. Outside the main thread, where Python forbids handlers, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the clean-up
        raise Terminated("SIGTERM")

    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old if old is not None else signal.SIG_DFL)


def _close(run: Run, exit_code: int) -> None:
    if run in _open:
        _open.remove(run)
    run.finish(exit_code=exit_code)


def _ended(path: Path) -> bool:
    """Whether the exit record is in the file. W&B's process writes it after ``finish`` has returned, at times later."""
    deadline, pause = time.monotonic() + ON_DISK_WITHIN_S, 0.02
    while state_of(path) not in ("finished", "failed"):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    return True


def _settings():
    import wandb

    return wandb.Settings(
        x_transaction_log_flush_interval=1,  # the default of 15 s loses rows and config of a killed run
        quiet=True,
        silent=True,
        console="off",
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        disable_git=True,
        disable_code=True,
        save_code=False,
        show_emoji=False,
    )


def _keep_out_of_home(folder: Path, mode: str) -> None:
    """Point W&B's own folders beside the runs, unless the user has placed them; log-in data stay where they are.

    Offline means no network at all: W&B's error reports are off as well.
    """
    if mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    names = ["WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"]
    for name in names + (["WANDB_CONFIG_DIR"] if mode == "offline" else []):
        if not os.environ.get(name):
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(folder)


def _is_wandb_trouble(error: Exception) -> bool:
    """Errors of W&B (which have no common base) and of the file system or the connection to its process."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] == "wandb"


def _cannot_start(run_dir: Path, mode: str, error: Exception) -> RecordError:
    remedy = _space(run_dir) if mode == "offline" else "check the network and the log-in, or use WANDB_MODE=offline"
    return RecordError(f"W&B could not start a run in {run_dir}: {error}; {remedy}")


def _space(folder: Path) -> str:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return f"the disk has {free / 2**20:.0f} MiB free and the folder must be writable"


def _is_float(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(v, float) for v in value)
    return isinstance(value, float)
