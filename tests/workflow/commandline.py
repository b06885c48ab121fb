"""The toy paper's command line in a process of its own, as a user would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REPO = HERE.parents[1]


def start(results: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    """``python -m toy …`` with ``RESULTS_DIR`` and further variables; output is captured as text."""
    paths = {"PYTHONPATH": f"{REPO}{os.pathsep}{HERE}", "RESULTS_DIR": str(results), "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "toy", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **paths, **environment},
    )  # fmt: skip


def finish(process: subprocess.Popen, timeout: float = 240) -> tuple[int, str]:
    """Exit code and output; the process is killed when it hangs."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output


def call(results: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    return finish(start(results, *arguments, **environment))
