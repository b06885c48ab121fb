"""Where a run came from: code, data, versions, machine. torch is not imported for it."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"


def collect(data_sha256: str, data_name: str, repo: Path | str | None = None) -> dict[str, Any]:
    """The ``provenance.*`` fields of a run. ``repo`` defaults to the folder this code lives in.

    ``git_dirty`` is about tracked files outside ``results/``: those are the code that ran. Outside of git,
    ``git_sha`` is "unknown" and ``git_dirty`` is true, for nothing vouches for the code.
    """
    sha, dirty = _git(Path(repo)) if repo else _running_code()
    return {
        "git_sha": sha,
        "git_dirty": dirty,
        "data_sha256": data_sha256,
        "data_name": data_name,
        "torch": _version("torch"),
        "lightning": _version("pytorch-lightning"),
        "cuda": _cuda(),
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "cpu": _cpu(),
        "threads": _threads(),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def short_sha(provenance: Mapping[str, Any]) -> str:
    """The first 12 digits of the revision, for tags; "unknown" outside of git."""
    return str(provenance.get("git_sha") or UNKNOWN)[:12]


@functools.cache
def _running_code() -> tuple[str, bool]:
    """Of the code this process imported: read once, for a commit made later is not what runs."""
    return _git(Path(__file__).resolve().parents[2])


def _git(repo: Path) -> tuple[str, bool]:
    def git(*args: str) -> str:
        # optional locks off: a reader must not make a concurrent commit fail
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
        command = ["git", "-C", str(repo), *args]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=environment).stdout

    try:
        sha = git("rev-parse", "HEAD").strip()
        changes = git("status", "--porcelain", "--untracked-files=no", "--", ":(top)", ":(top,exclude)results")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN, True
    return sha, bool(changes.strip())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN


def _cuda() -> str:
    """CUDA version torch was built for, "none" for a CPU build; read from its version file if it is not loaded."""
    if "torch" in sys.modules:
        return getattr(sys.modules["torch"].version, "cuda", None) or "none"
    found = importlib.util.find_spec("torch")
    for folder in (found.submodule_search_locations or []) if found else []:
        version = Path(folder, "version.py")
        if version.is_file():
            match = re.search(r"^cuda\b[^=]*=\s*['\"](.+?)['\"]", version.read_text(), re.MULTILINE)
            return match[1] if match else "none"
    return UNKNOWN


def _cpu() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine() or UNKNOWN


def _threads() -> int:
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
