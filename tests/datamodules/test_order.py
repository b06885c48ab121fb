"""The order of samples depends on (seed, epoch) alone, and gradients are means over global batches for every split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.datamodules import EpochBatches, ResumeError, SplitError, accumulation

small = st.integers(1, 6)


@st.composite
def splits(draw):
    """A batch of whole chunks, and a way to cut it."""
    chunk, chunks, world = draw(small), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    micro = draw(st.none() | st.integers(1, 4).map(lambda k: k * chunk))
    n = chunk * chunks * draw(st.integers(1, 4)) + draw(st.integers(0, chunk * chunks - 1))
    return dict(n=n, batch_size=chunk * chunks, chunk=chunk, micro_batch=micro), world


def ranks(options, world, seed=0):
    try:
        return [EpochBatches(**options, seed=seed, rank=r, world=world) for r in range(world)]
    except SplitError:
        assume(False)


@given(splits())
def test_any_split_gives_the_same_global_batches(case):
    options, world = case
    sizes = options | {"micro_batch": None, "chunk": None}
    whole = [m.ids for m in EpochBatches(**sizes, seed=0)]
    parts = ranks(options, world)
    streams = [list(p) for p in parts]
    assert len({len(s) for s in streams}) == 1
    assert all(len(s) == len(p) for s, p in zip(streams, parts, strict=True))
    a = parts[0].accumulate
    for u, batch in enumerate(whole):
        pieces = [m for s in streams for m in s[u * a : (u + 1) * a]]
        assert np.array_equal(np.concatenate([m.ids for m in pieces]), batch)
        # Lightning divides by a, DDP averages over ranks: what is left is the mean over the global batch.
        gradient = sum(m.weight * m.ids.mean() / (a * world) for m in pieces)
        assert gradient == pytest.approx(batch.mean())
        for m in pieces[:-1]:
            assert len(m.ids) % options["chunk"] == 0
        assert all(len(m.ids) <= (options["micro_batch"] or len(batch)) for m in pieces)


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 5))
def test_an_epoch_is_a_permutation_cut_into_full_batches(n, batch_size, seed):
    assume(batch_size <= n)
    whole = EpochBatches(n, batch_size, seed)
    order = whole.order(0)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert whole.updates == n // batch_size == len(whole)
    assert np.array_equal(np.concatenate([m.ids for m in whole]), order[: whole.updates * batch_size])


def test_epochs_and_seeds_differ_and_repeat():
    one, again, other = (EpochBatches(500, 10, seed) for seed in (7, 7, 8))
    orders = [one.order(e).tolist() for e in range(4)]
    assert len({tuple(o) for o in orders}) == 4
    assert orders == [again.order(e).tolist() for e in range(4)]
    assert other.order(0).tolist() != orders[0]


def test_the_order_is_pinned():
    """A change here changes every result: bump the papers' protocol with it."""
    assert EpochBatches(10, 10, seed=0).order(0).tolist() == PINNED_00
    assert EpochBatches(10, 10, seed=1).order(5).tolist() == PINNED_15


PINNED_00 = [2, 0, 1, 4, 5, 6, 7, 8, 3, 9]
PINNED_15 = [0, 1, 9, 6, 8, 7, 5, 2, 3, 4]


def test_successive_passes_are_successive_epochs():
    batches = EpochBatches(30, 10, seed=1)
    passes = [np.concatenate([m.ids for m in batches]).tolist() for _ in range(3)]
    assert passes == [batches.order(e).tolist() for e in range(3)]


@given(splits(), st.integers(0, 100))
def test_a_restored_position_goes_on_where_it_was_saved(case, stop):
    options, world = case
    (ours, *_), (fresh, *_) = ranks(options, world), ranks(options, world)
    stop = stop % ours.updates * ours.accumulate
    stream = [m for e in range(2) for m in ours]
    rerun = iter(fresh)
    for _ in range(stop):
        next(rerun)
    restored = ranks(options, world)[0]
    restored.load_state_dict(fresh.state_dict())
    rest = [m for e in range(2) for m in restored][: len(stream) - stop]
    assert [m.ids.tolist() for m in rest] == [m.ids.tolist() for m in stream[stop:]]


def test_accumulation_is_derived():
    assert accumulation(8192, 32, world=8, micro_batch=256) == 4
    assert accumulation(8192, 32) == 1
    assert accumulation(96, 32, world=2) == 1  # shares of 64 and 32, weighted 4/3 and 2/3
    assert [m.weight for r in range(2) for m in EpochBatches(96, 96, 0, chunk=32, rank=r, world=2)] == pytest.approx(
        [2 / 3, 4 / 3]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(batch_size=32, chunk=32, world=2), r"batch of 32 in chunks of 32 .* over 2 devices.*at most 1 device"),
        (dict(batch_size=64, chunk=32, micro_batch=16), "micro_batch=16 is smaller than the 32 samples"),
        (dict(batch_size=2, chunk=None, world=4), "over 4 devices"),
    ],
)
def test_impossible_splits_are_explained(arguments, message):
    with pytest.raises(SplitError, match=message):
        accumulation(**arguments)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(SplitError, match="batch_size=100 exceeds the 64 training samples"):
        EpochBatches(64, 100, seed=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        EpochBatches(64, 8, seed=-1).order(0)


def test_a_state_of_another_run_is_refused():
    state = EpochBatches(64, 8, seed=0).state_dict()
    with pytest.raises(ResumeError, match="batch_size=8, this run has 16"):
        EpochBatches(64, 16, seed=0).load_state_dict(state)
    with pytest.raises(ResumeError, match="seed=0, this run has 1"):
        EpochBatches(64, 8, seed=1).load_state_dict(state)


def test_a_state_inside_an_update_is_refused():
    halves = EpochBatches(64, 8, seed=0, micro_batch=4)
    stream = iter(halves)
    next(stream)
    with pytest.raises(ResumeError, match="inside an update"):
        EpochBatches(64, 8, seed=0, micro_batch=4).load_state_dict(halves.state_dict())


def test_another_split_resumes_between_epochs_only():
    halves, whole = EpochBatches(64, 8, seed=0, micro_batch=4), EpochBatches(64, 8, seed=0)
    stream = iter(halves)
    next(stream), next(stream)
    with pytest.raises(ResumeError, match="inside an epoch"):
        whole.load_state_dict(halves.state_dict())
    list(stream)
    whole.load_state_dict(halves.state_dict())
    assert next(iter(whole)).ids.tolist() == whole.order(1)[:8].tolist()
