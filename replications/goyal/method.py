"""Goyal et al. 2017 (arXiv:1706.02677) as pure functions: linear scaling, warm-up, and its four remarks on pitfalls.

Notation of the paper: k workers of n images, total batch kn; η the learning rate of the small batch and η̂ = kη that
of the large one; m momentum; λ weight decay; u and v the momentum buffers of equations (9) and (10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Rule = Literal["linear", "sqrt", "fixed"]
Warmup = Literal["none", "constant", "gradual"]
Value = TypeVar("Value", float, np.ndarray)


# Learning rate


def scaled_lr(base_lr: float, batch: int, base_batch: int, rule: Rule = "linear") -> float:
    """The learning rate for ``batch`` when ``base_lr`` suits ``base_batch``, with k = batch / base_batch.

    ``linear``: kη (§2.1, the paper's rule). ``sqrt``: η√k (§5.3, Table 2a). ``fixed``: η (Table 2a).
    """
    if batch < 1 or base_batch < 1:
        raise ValueError(f"batch sizes must be at least 1, not batch={batch} and base_batch={base_batch}")
    k = batch / base_batch
    if rule == "linear":
        return base_lr * k
    if rule == "sqrt":
        return base_lr * math.sqrt(k)
    if rule == "fixed":
        return base_lr
    raise ValueError(f"unknown scaling rule {rule!r}; there are: linear, sqrt, fixed")


def learning_rate(
    step: int,
    *,
    steps_per_epoch: float,
    lr: float,
    warmup: Warmup,
    warmup_epochs: float,
    warmup_lr: float,
    milestones: Sequence[float],
    decay: float,
) -> float:
    """The rate of update number ``step`` (from 0): warm-up (§2.2) and step decay (§5.1), set anew at every update.

    ``none``: η̂ from the start. ``constant``: η (``warmup_lr``) for ``warmup_epochs``, then η̂ (``lr``).
    ``gradual``: η + (η̂ − η)·t/T_w over T_w = ``warmup_epochs`` × ``steps_per_epoch`` updates, so the first update
    uses η, all increments are equal and T_w (which need not be whole) is reached without a jump.
    ``milestones`` are epochs from the start of training, warm-up included; each passed one multiplies by ``decay``.
    The paper warms up batches above 256 only: below that, ask for ``none``.
    """
    if step < 0 or not steps_per_epoch > 0:
        raise ValueError(f"need step >= 0 and steps_per_epoch > 0, not {step} and {steps_per_epoch}")
    if warmup not in ("none", "constant", "gradual"):
        raise ValueError(f"unknown warm-up {warmup!r}; there are: none, constant, gradual")
    length = warmup_epochs * steps_per_epoch
    rate = lr
    if warmup != "none" and step < length:
        rate = warmup_lr if warmup == "constant" else warmup_lr + (lr - warmup_lr) * (step / length)
    passed = sum(step >= epoch * steps_per_epoch for epoch in milestones)
    return rate * decay**passed


def iterations(images: int, batch: int, epochs: float) -> float:
    """Updates that ``epochs`` passes over ``images`` take, as the real number the paper's setting implies (§5.1)."""
    return images * epochs / batch


# Momentum: both functions take w, the buffer and the aggregated data gradient, and return new w and buffer


def reference_step(
    w: Value,
    u: Value,
    gradient: Value,
    lr: float,
    *,
    momentum: float,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Value, Value]:
    """Equation (9), learning rate outside the buffer: u ← m·u + g, w ← w − η·u, with g = ∇ε + λw (§3).

    Nesterov steps by η(m·u + g) instead. L2 decay enters after aggregation, so it is the same for every k.
    """
    g = gradient + weight_decay * w
    u = momentum * u + g
    return w - lr * (momentum * u + g if nesterov else u), u


def absorbed_step(
    w: Value,
    v: Value,
    gradient: Value,
    lr: float,
    *,
    momentum: float,
    previous_lr: float | None = None,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Value, Value]:
    """Equation (10), learning rate inside the buffer: v ← m·v + η·g, w ← w − v, with g = ∇ε + λw.

    With ``previous_lr`` (that of the update before) momentum correction is on: v ← m·(η_{t+1}/η_t)·v + η_{t+1}·g
    (§3, Remark 2), which makes (10) equal to (9) while the rate changes. Without it the old buffer keeps the old rate.
    Nesterov is Caffe2's: step (1+m)·v' − m·v = m·v' + η·g, with the corrected v.
    """
    if previous_lr is not None:
        if not previous_lr > 0:
            raise ValueError(f"momentum correction divides by the previous learning rate, which is {previous_lr}")
        v = v * (lr / previous_lr)
    pull = lr * (gradient + weight_decay * w)
    v = momentum * v + pull
    return w - (momentum * v + pull if nesterov else v), v


# Data parallelism


def aggregate(workers: Sequence[np.ndarray], by: Literal["kn", "n"] = "kn") -> np.ndarray:
    """Allreduce-sum of the workers' gradients (§3, Remark 3).

    ``workers[j]`` holds the per-sample gradients of worker j, ``[n_j, …]``. ``kn`` divides every sample by the size of
    the total batch, which gives the gradient of one process on that batch. ``n`` divides by the worker's own size, as
    a loss layer that averages locally does: k times too long when the sizes are equal.
    """
    total = sum(len(samples) for samples in workers)
    return np.sum([np.sum(s, axis=0) / (total if by == "kn" else len(s)) for s in workers], axis=0)


def split_shuffle(n: int, k: int, seed: int, epoch: int) -> tuple[np.ndarray, ...]:
    """One permutation of ``n`` samples per epoch, the same on all workers, split k ways (§3, Remark 4).

    Worker j takes places j, j+k, j+2k … of it. If k divides the total batch, the first, second … total batch
    holds the same samples for every k, one process included.
    """
    if k < 1 or n < k:
        raise ValueError(f"cannot split {n} samples over {k} workers")
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return tuple(order[j::k] for j in range(k))


@dataclass(frozen=True)
class Allreduce:
    """What every server holds afterwards ``[p, b]``, the communication steps, and bytes sent by each server ``[p]``."""

    results: np.ndarray
    steps: int
    sent: np.ndarray


def ring_allreduce(buffers: np.ndarray) -> Allreduce:
    """Ring (bucket) sum of ``buffers`` ``[p, b]`` (§4.1): 2(p−1) steps, 2(p−1)/p·b elements sent by each server.

    ``sent`` is in bytes.
    """
    held, sent = _start(buffers)
    p = len(held)
    for reduce in (True, False):
        for t in range(p - 1):
            for r in range(p):
                part = _chunk(held, (r - t if reduce else r + 1 - t) % p, p)
                _send(held, sent, r, (r + 1) % p, part, add=reduce)
    return Allreduce(held, 2 * (p - 1), sent)


def halving_doubling_allreduce(buffers: np.ndarray) -> Allreduce:
    """Recursive halving then doubling over ``buffers`` ``[p, b]`` (§4.1): 2·⌈log2 p⌉ steps.

    For p a power of two each server sends 2(p−1)/p·b elements. Otherwise servers form blocks of powers of two
    ("binary blocks"): each block reduce-scatters, smaller blocks hand their sums to the next larger one and get the
    totals back; then the servers send 2(p−1)/p·b on average, those of the largest block more.
    """
    held, sent = _start(buffers)
    p = len(held)
    sizes = [1 << bit for bit in range(p.bit_length()) if p >> bit & 1]  # the smallest block first
    firsts = [sum(sizes[:i]) for i in range(len(sizes))]
    steps = 0
    for i, (first, size) in enumerate(zip(firsts, sizes, strict=True)):
        _exchange(held, sent, first, size, add=True)
        halvings = size.bit_length() - 1
        # blocks work at the same time, so a block waits for its own halvings or for the smaller one, whichever is later
        steps = max(halvings, steps) + 1 if i else halvings
        for j in range(size if i else 0):
            _send(held, sent, firsts[i - 1] + j * sizes[i - 1] // size, first + j, _chunk(held, j, size), add=True)
    for i in reversed(range(len(sizes))):
        first, size = firsts[i], sizes[i]
        for j in range(size if i else 0):
            _send(held, sent, first + j, firsts[i - 1] + j * sizes[i - 1] // size, _chunk(held, j, size), add=False)
        _exchange(held, sent, first, size, add=False)
    return Allreduce(held, 2 * steps, sent)


def _exchange(held: np.ndarray, sent: np.ndarray, first: int, size: int, add: bool) -> None:
    """Within a block: halve (``add``, until server j holds the sum of chunk j) or double (until each holds all)."""
    groups = [1 << bit for bit in range(1, size.bit_length())]
    for group in reversed(groups) if add else groups:
        half = group // 2
        for r in range(size):
            owner = r ^ half if add else r
            _send(held, sent, first + r, first + (r ^ half), _chunk(held, owner // half * half, size, half), add)


def _start(buffers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(buffers) != 2 or len(buffers) < 1:
        raise ValueError(f"need one buffer a server, [p, b], not an array of shape {np.shape(buffers)}")
    return np.array(buffers, dtype=float), np.zeros(len(buffers), dtype=int)


def _chunk(held: np.ndarray, index: int, parts: int, width: int = 1) -> slice:
    b = held.shape[1]
    return slice(index * b // parts, (index + width) * b // parts)


def _send(held: np.ndarray, sent: np.ndarray, source: int, target: int, part: slice, add: bool) -> None:
    """One message. In a step no server sends what it receives, so the order of messages within it is free."""
    message = held[source, part]
    held[target, part] = held[target, part] + message if add else message
    sent[source] += message.nbytes
