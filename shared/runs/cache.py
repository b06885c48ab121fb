"""Collated runs of one preset in one parquet file: rows in its metadata, curves as its table.

One file, replaced whole, cannot disagree with itself. Every entry carries the key of the files it was read from.
Anything odd about the file (absent, damaged, of another version) makes it empty, never wrong.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from shared.runs.frames import history_frames, join_histories

log = logging.getLogger(__name__)
_VERSION = "2"
"""Bumped when what is read from a run, or how it is typed, changes."""


@dataclass(frozen=True)
class Entry:
    """One run folder as it was read: a row, or the problem that keeps it out."""

    folder: str
    key: str
    row: dict[str, Any] | None
    problem: str | None


@dataclass(frozen=True)
class Cache:
    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    history: pd.DataFrame = field(default_factory=lambda: history_frames([]))
    changed: bool = False

    @classmethod
    def load(cls, path: Path) -> Cache:
        """The cache at ``path``, or an empty one."""
        import pyarrow.parquet as pq

        if not path.exists():
            return cls(path)
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            metadata = table.schema.metadata or {}
            text = metadata[b"runs"]
            if metadata[b"version"] != _VERSION.encode() or metadata[b"sha256"] != _digest(text):
                return cls(path)
            entries = {e["folder"]: Entry(**e) for e in json.loads(text)}
            return cls(path, entries, table.to_pandas(ignore_metadata=True))
        except Exception as error:  # pyarrow raises many kinds for a damaged file
            log.info("%s is damaged (%s); reading the runs again", path, type(error).__name__)
            return cls(path)

    def holds(self, folder: str, key: str) -> bool:
        return folder in self.entries and self.entries[folder].key == key

    def with_runs(self, fresh: list[tuple[Entry, pd.DataFrame]]) -> Cache:
        """With entries added or replaced."""
        names = {entry.folder for entry, _ in fresh}
        added = history_frames((entry.folder, frame) for entry, frame in fresh if entry.row)
        history = join_histories([self.history[~self.history["run_id"].isin(names)], added])
        entries = self.entries | {entry.folder: entry for entry, _ in fresh}
        return replace(self, entries=entries, history=history, changed=True)

    def only(self, folders: list[str]) -> Cache:
        """Without the entries of folders that are gone."""
        if set(folders) == set(self.entries):
            return self
        entries = {name: self.entries[name] for name in folders}
        history = self.history[self.history["run_id"].isin(folders)]
        return replace(self, entries=entries, history=history, changed=True)

    def store(self) -> None:
        """Write what changed, whole or not at all; a folder that cannot be written costs speed only."""
        if not self.changed:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        text = json.dumps([asdict(entry) for entry in self.entries.values()]).encode()
        table = pa.Table.from_pandas(self.history, preserve_index=False)
        table = table.replace_schema_metadata({"version": _VERSION, "sha256": _digest(text), "runs": text})
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            pq.write_table(table, fresh, compression="zstd", write_page_checksum=True)
            os.replace(fresh, self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            log.info("%s could not be written (%s)", self.path, error)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
