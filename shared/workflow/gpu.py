"""One GPU a job: Snakemake counts GPUs but does not number them, so each job takes the lock of a free slot."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.5


def visible() -> list[str]:
    """Ids of the GPUs this process may use: ``CUDA_VISIBLE_DEVICES`` if set, else what ``nvidia-smi`` lists.

    Asks the driver's tool and not torch, so that the variable can still be set before torch starts CUDA.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name.strip() and name.strip() != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    listed = [line for line in found.stdout.splitlines() if line.startswith("GPU ")] if found.returncode == 0 else []
    return [str(index) for index in range(len(listed))]


@contextmanager
def slot(gpus: list[str], per_gpu: int = 1, folder: Path | None = None) -> Iterator[str | None]:
    """Hold one of ``len(gpus) × per_gpu`` slots of this machine; ``CUDA_VISIBLE_DEVICES`` names its GPU meanwhile.

    Waits while all are taken. Locks die with their process, so a killed job frees its slot. Without GPUs it yields
    None and changes nothing.
    """
    if not gpus:
        yield None
        return
    folder = folder or Path(tempfile.gettempdir()) / f"large-batch-gpu-slots-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    # the first place of every GPU comes before the second place of any
    lock, gpu = _take([(gpu, folder / f"gpu-{gpu}-{place}.lock") for place in range(per_gpu) for gpu in gpus])
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        yield gpu
    finally:
        lock.release()
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _take(slots: list[tuple[str, Path]]) -> tuple[FileLock, str]:
    while True:
        for gpu, path in slots:
            lock = FileLock(path, timeout=0, is_singleton=False)
            try:
                lock.acquire()
            except Timeout:
                continue
            return lock, gpu
        time.sleep(POLL_S)
