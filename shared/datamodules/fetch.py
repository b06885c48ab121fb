"""Ways to obtain data that are not here yet; each puts files below the cache folder or raises DataError."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shared.datamodules.errors import DataError

TIMEOUT_S = 10.0
"""Seconds without an answer after which a download is given up."""
FASHION_PACKAGE = "dataset-fashion-mnist"
FASHION_PATH = Path("usr/share/datasets/fashion-mnist")
"""Where that Debian package keeps its files, below the root of the system."""


def torchvision_download(kind: str, folder: str, root: Path) -> None:
    """Let torchvision's class ``kind`` download into ``root/folder`` (its own layout), with a short timeout."""
    from torchvision import datasets

    with _staging(root) as staging:
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT_S)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                getattr(datasets, kind)(staging, train=True, download=True)
        except Exception as error:  # urllib, ssl and torchvision raise many kinds when there is no network
            reason = str(error).strip().replace("\n", " ")
            raise DataError(f"{type(error).__name__}: {reason}"[:300]) from None
        finally:
            socket.setdefaulttimeout(before)
        _install(staging / folder, root / folder)


def debian_fashion_mnist(folder: str, root: Path) -> None:
    """Download Debian's Fashion-MNIST package with apt and unpack it into ``root/folder``, without root's rights."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("apt-get and dpkg-deb are not on this machine")
    with _staging(root) as staging:
        options = ["-o", f"Acquire::http::Timeout={TIMEOUT_S:.0f}", "-o", "Acquire::Retries=0"]
        try:
            _command(["apt-get", *options, "download", FASHION_PACKAGE], staging)
        except DataError:
            # The system's package lists may be empty (containers): fetch private ones.
            for name in ("state/lists/partial", "cache/archives/partial"):
                (staging / name).mkdir(parents=True)
            options += ["-o", f"Dir::State={staging}/state", "-o", f"Dir::Cache={staging}/cache"]
            options += ["-o", "Dir::State::status=" + os.devnull]
            _command(["apt-get", *options, "update"], staging)
            _command(["apt-get", *options, "download", FASHION_PACKAGE], staging)
        package = next(staging.glob("*.deb"), None)
        if package is None:
            raise DataError(f"apt-get download {FASHION_PACKAGE} left no package")
        _command(["dpkg-deb", "-x", str(package), str(staging / "unpacked")], staging)
        _install(staging / "unpacked" / FASHION_PATH, root / folder)


def _command(words: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{words[0]}: {error}"[:300]) from None
    if done.returncode:
        last = [x for x in (done.stderr or done.stdout).strip().splitlines() if x.startswith("E:")] or ["failed"]
        verb = next((w for w in words[1:] if w in ("update", "download")), "-x")
        raise DataError(f"{words[0]} {verb}: {last[0]}"[:300])


@contextlib.contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """A temporary folder beside the final place: half a download is never mistaken for data."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=root))
    except OSError as error:
        raise DataError(f"cannot write {root}: {error}; set CACHE_DIR to a writable folder") from None
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _install(fetched: Path, place: Path) -> None:
    if not fetched.exists():
        raise DataError(f"the download did not hold {fetched.name}")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(fetched, place)
