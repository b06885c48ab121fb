from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from replications.goyal import checks, method


def test_the_table_has_a_row_for_every_batch_of_figure_1():
    assert [row[0] for row in checks.ITERATIONS] == [64 * 2**i for i in range(11)]
    assert len(checks.iterations_table()) == 11 * 3 + 8


def broken(function, **fixed):
    """The method's function with some of its arguments overruled."""
    return lambda *args, **kw: function(*args, **{**kw, **fixed})


def per_epoch(step, **kw):
    per = kw["steps_per_epoch"]
    return method.learning_rate(int(step // per * per), **kw)


def own_shuffles(n, k, seed, epoch):
    return tuple(np.random.default_rng([seed, epoch, j]).permutation(n)[: n // k] for j in range(k))


def contiguous(n, k, seed, epoch):
    return tuple(np.array_split(np.random.default_rng([seed, epoch]).permutation(n), k))


def more_bytes(buffers):
    done = RING(buffers)
    return dataclasses.replace(done, sent=done.sent + 8)


def from_zero(step, **kw):
    return method.learning_rate(step, **{**kw, "warmup_lr": 0.0})


REFERENCE, ABSORBED, AGGREGATE, SHUFFLE, RING = (
    method.reference_step,
    method.absorbed_step,
    method.aggregate,
    method.split_shuffle,
    method.ring_allreduce,
)
DEFECTS = [
    ("r1_loss_scale", checks, "reference_step", broken(REFERENCE, weight_decay=0.0)),
    ("r2_momentum_correction", checks, "absorbed_step", broken(ABSORBED, previous_lr=None)),
    ("r2_momentum_correction", checks, "absorbed_step", broken(ABSORBED, nesterov=False)),
    ("r3_normalise_by_kn", method, "aggregate", broken(AGGREGATE, by="n")),
    ("r3_normalise_by_kn", checks, "reference_step", broken(REFERENCE, weight_decay=0.0)),
    ("r4_one_shuffle", method, "split_shuffle", own_shuffles),
    ("r4_one_shuffle", method, "split_shuffle", contiguous),
    ("r4_one_shuffle", method, "split_shuffle", broken(lambda n, k, seed, epoch: SHUFFLE(n, k, seed, 0))),
    ("iterations_table", method, "scaled_lr", lambda lr, b, base: lr * (b / base) ** 0.5),
    ("iterations_table", method, "iterations", lambda n, b, epochs: n // b * epochs),
    ("allreduce", method, "ring_allreduce", more_bytes),
    ("allreduce", method, "halving_doubling_allreduce", RING),
]


@pytest.mark.parametrize(("name", "where", "what", "defect"), DEFECTS)
def test_a_method_with_a_known_defect_fails(monkeypatch, name, where, what, defect):
    monkeypatch.setattr(where, what, defect)
    assert not all(holds for _, holds in getattr(checks, name)())


@pytest.mark.parametrize("defect", [per_epoch, from_zero], ids=["staircase", "warm-up from 0"])
def test_another_schedule_fails(monkeypatch, defect):
    schedule = checks._schedule("gradual")
    monkeypatch.setattr(checks, "_schedule", lambda w: lambda t: defect(t, **{**schedule.keywords, "warmup": w}))
    assert not all(holds for _, holds in checks.schedule_warmup())
