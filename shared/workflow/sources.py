"""Whether the data sets that runs need are at hand, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.spec import RunSpec


def locate(name: str) -> Path:
    """Where the files of a data set are (an empty path: inside a library), fetched now if they can be."""
    from shared.datamodules import DataError
    from shared.datamodules.sources import data_root, find, resolve

    folder = data_root()
    if ":" not in name:
        return find(name, folder)
    found, given = resolve(name, folder), Path(name.partition(":")[2]).expanduser()
    if not given.is_absolute() and (folder is None or found != folder / given):
        raise DataError(f"{name}: jobs run in folders of their own; write {name.partition(':')[0]}:{found.resolve()}")
    return found


def missing(specs: Iterable[RunSpec]) -> dict[str, Exception]:
    """``{data set: the error that says where it was looked for}``; fetches what can be fetched, decodes nothing."""
    from shared.datamodules import DataError

    problems: dict[str, Exception] = {}
    for name in dict.fromkeys(s.data.name for s in specs):
        try:
            locate(name)
        except DataError as problem:
            problems[name] = problem
    return problems


def ready(specs: Iterable[RunSpec]) -> Iterator[str]:
    """Fetch, verify and decode every data set, and say where it is; at the end DataError for all that cannot be had."""
    from shared.datamodules import SOURCES, DataError, load

    problems: list[str] = []
    for name in dict.fromkeys(s.data.name for s in specs):
        try:
            where = locate(name)
        except DataError as problem:
            problems.append(str(problem))
            continue
        if name in SOURCES and SOURCES[name].read is None:
            yield f"{name}: {where}"
            continue
        arrays = load(name)
        place = f"{where}" if where.parts else "inside a library"
        yield f"{name}: {place}, {len(arrays.train_y)} + {len(arrays.test_y)} images, sha256 {arrays.sha256[:12]}"
    if problems:
        raise DataError("\n".join(dict.fromkeys(problems)))
