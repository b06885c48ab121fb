"""The cache of decoded arrays: used when sound, rebuilt when not, never half written."""

from __future__ import annotations

import errno
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shared.datamodules import DataError
from shared.datamodules.cache import Raw, cache_dir, cached


@pytest.fixture
def decode():
    rng = np.random.default_rng(0)
    raw = Raw(
        rng.integers(0, 256, (9, 4, 5, 3), dtype=np.uint8),
        rng.integers(0, 2, 9),
        rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8),
        rng.integers(0, 2, 3),
        ("a", "b"),
    )

    def count() -> Raw:
        count.calls += 1
        return raw

    count.calls, count.raw = 0, raw
    return count


def entry():
    return next(p for p in (cache_dir() / "arrays").iterdir() if p.is_dir())


def test_decoded_once_and_memory_mapped(decode):
    first, meta = cached("x", "1", decode)
    again, meta_again = cached("x", "1", decode)
    assert decode.calls == 1
    assert meta == meta_again
    assert np.array_equal(again.train_x, decode.raw.train_x)
    assert np.array_equal(again.test_y, decode.raw.test_y)
    assert isinstance(first.train_x.base, np.memmap)
    assert not first.train_x.flags.writeable
    assert meta["mean"] == pytest.approx((decode.raw.train_x / 255).mean((0, 1, 2)))
    assert meta["std"] == pytest.approx((decode.raw.train_x / 255).std((0, 1, 2)))


def test_another_fingerprint_is_another_entry(decode):
    cached("x", "1", decode)
    cached("x", "2", decode)
    assert decode.calls == 2


@pytest.mark.parametrize("damage", ["truncated", "altered", "lost", "no meta", "bad meta", "old format"])
def test_a_damaged_entry_is_rebuilt(decode, damage):
    cached("x", "1", decode)
    array, meta = entry() / "train_x.npy", entry() / "meta.json"
    data = array.read_bytes()
    if damage == "truncated":
        array.write_bytes(data[:-7])
    elif damage == "altered":
        array.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "lost":
        array.unlink()
    elif damage == "no meta":
        meta.unlink()
    elif damage == "bad meta":
        meta.write_text('{"sha256":')
    else:
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 0}))
    rebuilt, _ = cached("x", "1", decode)
    assert decode.calls == 2
    assert np.array_equal(rebuilt.train_x, decode.raw.train_x)


def test_a_decoder_that_dies_leaves_nothing_behind(decode):
    def die() -> Raw:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("x", "1", die)
    cached("x", "1", decode)
    assert decode.calls == 1


def test_many_processes_decode_once(decode):
    with ThreadPoolExecutor(4) as pool:
        shas = {m["sha256"] for _, m in pool.map(lambda _: cached("x", "1", decode), range(4))}
    assert decode.calls == 1
    assert len(shas) == 1


def test_data_that_cannot_be_read_are_no_matter_of_the_cache():
    def unreadable():
        raise PermissionError(errno.EACCES, "Permission denied", "/data/train.gz")

    with pytest.raises(DataError, match=r"^toy: cannot read /data/train.gz: Permission denied$"):
        cached("toy", "1", unreadable)


def test_an_unwritable_cache_is_explained(decode, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set CACHE_DIR to a writable folder"):
        cached("x", "1", decode)


def test_contradicting_parts_are_refused(decode):
    raw = decode.raw
    with pytest.raises(DataError, match="9 train images but 8 labels"):
        cached("x", "1", lambda: Raw(raw.train_x, raw.train_y[:8], raw.test_x, raw.test_y, raw.classes))
    with pytest.raises(DataError, match="labels reach from"):
        cached("x", "1", lambda: Raw(raw.train_x, raw.train_y + 5, raw.test_x, raw.test_y, raw.classes))
