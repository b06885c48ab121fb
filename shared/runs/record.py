"""Write one run to W&B: offline by default, quiet, safe to kill, cheap enough to make hundreds in one process."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.runs.provenance import short_sha
from shared.runs.schema import FLOAT_KEYS, PROJECT, STEP
from shared.spec import Execution, RunSpec, flatten

if TYPE_CHECKING:
    from wandb import Run

_RESERVED = ("sweep", FLOAT_KEYS)
_open: list[Run] = []


class RecordError(RuntimeError):
    """A run that W&B could not start or write completely; the message names the folder and the remedy."""


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
        _close(left, exit_code=1)
    config = config_of(spec, execution, sweep, provenance, extra)
    mode = os.environ.get("WANDB_MODE") or "offline"
    if mode not in ("offline", "online"):
        raise RecordError(f"WANDB_MODE={mode!r}: the record of a run is its W&B run; use offline or online")
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
            mode=mode,
            resume="allow",
            reinit="create_new",
            config=config,
            settings=_settings(),
        )
    except (OSError, RuntimeError, ValueError) as error:  # wandb.Error is an Exception of its own, handled below
        raise _cannot_start(run_dir, mode, error) from error
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        raise _cannot_start(run_dir, mode, error) from error
    run.define_metric("*", step_metric=STEP)
    _open.append(run)
    return run


def finish(run: Run, summary: Mapping[str, Any] | None = None, exit_code: int = 0) -> None:
    """Write the summary and the exit record, and check that they reached the disk.

    ``exit_code`` 0 says that the run is complete; anything else leaves it unfinished (interrupted, failed).
    Raises RecordError when the run's file does not hold its end, as after a full disk.
    """
    files = Path(run.settings.sync_dir)
    if summary:
        run.summary.update(dict(summary))
    _close(run, exit_code)
    from shared.runs.leet import state_of

    state = state_of(next(files.glob("run-*.wandb"), files / f"run-{run.id}.wandb"))
    if exit_code == 0 and state != "finished":
        raise RecordError(f"{files}: the W&B file of the run has no end ({state}); {_space(files)}")


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
    """Point W&B's own folders beside the runs, unless the user has placed them; log-in data stay where they are."""
    names = ["WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"]
    for name in names + (["WANDB_CONFIG_DIR"] if mode == "offline" else []):
        if not os.environ.get(name):
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(folder)


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
