"""The paper's exact statements as cases in double precision; they decide the claims that need no training.

Every function takes nothing and returns ``[(case, holds)]``. Besides what must hold, the cases state what the warned-of
variant gives, so that a method that ignored the remark would fail them.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np

from replications.goyal import method
from replications.goyal.method import absorbed_step, reference_step

Cases = list[tuple[str, bool]]
IMAGES = 1_281_167
BATCH_8K = 8192

# batch, η̂, updates an epoch, of a five-epoch warm-up and of 90 epochs: derived from the printed settings, rounded
ITERATIONS = (
    (64, "0.025", "20018", None, "1.80M"),
    (128, "0.05", "10009", None, "901k"),
    (256, "0.1", "5004.6", None, "450,410"),
    (512, "0.2", "2502.3", "12,511", "225,205"),
    (1024, "0.4", "1251.1", "6,256", "112,603"),
    (2048, "0.8", "625.6", "3,128", "56,301"),
    (4096, "1.6", "312.8", "1,564", "28,151"),
    (8192, "3.2", "156.4", "782", "14,075"),
    (16384, "6.4", "78.2", "391", "7,038"),
    (32768, "12.8", "39.1", "195", "3,519"),
    (65536, "25.6", "19.5", "98", "1,759"),
)


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)


def r1_loss_scale() -> Cases:
    """Remark 1: with weight decay, scaling the cross-entropy is not scaling the learning rate."""

    def step(gradient: float, lr: float, decay: float) -> float:
        return reference_step(1.0, 0.0, gradient, lr, momentum=0.0, weight_decay=decay)[0]

    rate, loss = step(2.0, 0.4, 0.1), step(8.0, 0.1, 0.1)
    return [
        ("w=1, g=2, λ=0.1, η=0.1: the rate times 4 gives w'=0.16", _same(rate, 0.16)),
        ("the loss times 4 gives w'=0.19", _same(loss, 0.19)),
        ("they differ by ηλ(k-1)w = 0.03", _same(loss - rate, 0.1 * 0.1 * 3 * 1.0)),
        ("without weight decay both give w'=0.2", _same(step(2.0, 0.4, 0.0), 0.2) and _same(step(8.0, 0.1, 0.0), 0.2)),
    ]


def r2_momentum_correction() -> Cases:
    """Remark 2: the form with the rate inside the buffer needs momentum correction when the rate changes."""
    cases: Cases = []
    rates = [0.1, 0.2]
    for name, nesterov, right, wrong in (("", False, 0.38, 0.29), ("Nesterov, ", True, 0.542, 0.461)):
        reference, plain, corrected = (_steps(form, [1.0, 1.0], rates, nesterov)[1] for form in FORMS)
        cases += [
            (f"{name}g=1,1 with η 0.1 then 0.2: form (9) steps {right}", _same(reference, right)),
            (f"{name}form (10) uncorrected steps {wrong}", _same(plain, wrong)),
            (f"{name}form (10) corrected steps {right}", _same(corrected, right)),
        ]
    schedule = _schedule("gradual")
    rates = [schedule(t) for t in range(0, 14_000, 20)]
    gradients = np.random.default_rng(0).normal(size=len(rates)).tolist()
    for name, nesterov in (("", False), ("Nesterov, ", True)):
        reference, plain, corrected = (_steps(form, gradients, rates, nesterov) for form in FORMS)
        cases += [
            (f"{name}8k schedule: corrected (10) is (9) to 1e-12", bool(np.all(abs(reference - corrected) < 1e-12))),
            (f"{name}8k schedule: uncorrected (10) is not", bool(np.any(abs(reference - plain) > 0.1))),
        ]
    # a buffer in equilibrium (g=1 for ever: u=10), then the rate falls tenfold
    after = [_after_drop(t) for t in range(1, 6)]
    zero_gradient = absorbed_step(0.0, 1.0, 0.0, 0.01, momentum=0.9)[1]
    cases += [
        ("rate divided by 10: the first uncorrected step is 9.1 times the right one", _same(after[0] / 0.1, 9.1)),
        ("… 10 times with no new gradient", _same(zero_gradient / (0.9 * 0.01 * 10), 10)),
        (
            "its excess then shrinks by m=0.9 an update",
            all(_same((b - 0.1) / (a - 0.1), 0.9) for a, b in pairwise(after)),
        ),
    ]
    return cases


def r3_normalise_by_kn() -> Cases:
    """Remark 3: normalise the loss by the total batch kn, not by the worker's n, and do not cancel k against η."""
    k, n, lr, decay = 4, 8, 0.1, 0.01
    rng = np.random.default_rng(1)
    x, y, w = rng.normal(size=(k * n, 5)), rng.normal(size=k * n), rng.normal(size=5)
    whole = x.T @ (x @ w - y) / (k * n)  # one process, mean squared error over the total batch
    workers = [x[j::k] * (x[j::k] @ w - y[j::k])[:, None] for j in range(k)]
    summed = method.aggregate(workers, by="n")

    def step(gradient: np.ndarray, rate: float, weight_decay: float) -> np.ndarray:
        return reference_step(w, np.zeros_like(w), gradient, rate, momentum=0.0, weight_decay=weight_decay)[0]

    def close(a: np.ndarray, b: np.ndarray) -> bool:
        return np.allclose(a, b, rtol=1e-12, atol=1e-12)

    cancelled, scaled = step(summed, lr, decay), step(whole, k * lr, decay)
    return [
        ("losses divided by kn and summed give the gradient of one process", close(method.aggregate(workers), whole)),
        ("losses divided by n and summed give k times it", close(summed, k * whole)),
        ("an average of the workers' means, as DDP takes, is right too", close(summed / k, whole)),
        ("cancelling k against η misses ηλ(k-1)w of weight decay", close(cancelled - scaled, lr * decay * (k - 1) * w)),
        ("… which is not zero", not close(cancelled, scaled)),
        ("without weight decay, cancelling k is exact", close(step(summed, lr, 0.0), step(whole, k * lr, 0.0))),
    ]


def r4_one_shuffle() -> Cases:
    """Remark 4: one shuffle of the data an epoch, split over the k workers."""
    samples, batch, cases = 1000, 40, []
    single = method.split_shuffle(samples, 1, seed=3, epoch=0)[0]
    steps = range(samples // batch)
    for k in (2, 4, 8):
        lists = method.split_shuffle(samples, k, seed=3, epoch=0)
        n = batch // k
        same = all(
            set(np.concatenate([own[t * n : (t + 1) * n] for own in lists])) == set(single[t * batch : (t + 1) * batch])
            for t in steps
        )
        joined = np.sort(np.concatenate(lists))
        cases += [
            (
                f"k={k}: the workers' lists hold each of {samples} samples once",
                np.array_equal(joined, np.arange(samples)),
            ),
            (f"k={k}: every global step has the samples of the one-process step", same),
        ]
    following, other = (method.split_shuffle(samples, 1, seed, epoch)[0] for seed, epoch in ((3, 1), (4, 0)))
    again = method.split_shuffle(samples, 1, seed=3, epoch=0)[0]
    # chance leaves one sample of a thousand in place; a repeated order leaves all
    return [
        *cases,
        ("the order is a function of seed and epoch", np.array_equal(single, again)),
        ("a new epoch is a new permutation", int(np.sum(single == following)) < 20),
        ("another seed is another permutation", int(np.sum(single == other)) < 20),
    ]


def schedule_warmup() -> Cases:
    """§2.2 and §5.1: the three warm-ups at batch 8k (η̂ = 3.2 from 0.1, five epochs) and the drops at 30, 60, 80."""
    epoch = method.iterations(IMAGES, BATCH_8K, 1)
    length = 5 * epoch  # 781.96 updates
    gradual, constant, none = (_schedule(w) for w in ("gradual", "constant", "none"))
    ramp = np.diff([gradual(t) for t in range(math.ceil(length))])
    last = math.floor(length)
    small = [method.scaled_lr(0.1, batch, 256) for batch in (64, 128, 256)]
    cases = [
        ("gradual: the first update uses 0.1", gradual(0) == 0.1),
        ("gradual: 3.2 is reached after five epochs (update 782) and kept", gradual(782) == gradual(4000) == 3.2),
        ("gradual: equal increments of (3.2-0.1)/T_w", np.allclose(ramp, 3.1 / length, rtol=0, atol=1e-12)),
        ("gradual: no jump at T_w", 0 < 3.2 - gradual(last) <= 3.1 / length),
        ("gradual: half way, after 2.5 epochs", abs(gradual(round(length / 2)) - 1.65) < 3.1 / length),
        ("constant: 0.1 for five epochs", {constant(t) for t in range(782)} == {0.1}),
        ("constant: then a jump to 3.2", constant(782) == 3.2),
        ("none: 3.2 from the first update", {none(t) for t in range(782)} == {3.2}),
        ("batches 64, 128 and 256: 0.025, 0.05 and 0.1 without warm-up", small == [0.025, 0.05, 0.1]),
        ("square-root rule at 8k: 0.566", f"{method.scaled_lr(0.1, BATCH_8K, 256, 'sqrt'):.3f}" == "0.566"),
        ("fixed rule at 8k: 0.1", method.scaled_lr(0.1, BATCH_8K, 256, "fixed") == 0.1),
    ]
    for milestone in (30, 60, 80):
        first = math.ceil(milestone * epoch)  # the first update at or after the epoch
        cases.append((f"divided by 10 at epoch {milestone}", _same(gradual(first - 1) / gradual(first), 10)))
    return cases


def iterations_table() -> Cases:
    """§5.1: rates and update counts of every batch size on 1,281,167 images, to the digits of the derived table."""
    cases: Cases = []
    for batch, rate, epoch, warmup, total in ITERATIONS:
        cases += [
            (f"batch {batch}: rate {rate}", _prints(method.scaled_lr(0.1, batch, 256), rate)),
            (f"batch {batch}: {epoch} updates an epoch", _prints(method.iterations(IMAGES, batch, 1), epoch)),
            (f"batch {batch}: {total} updates in 90 epochs", _prints(method.iterations(IMAGES, batch, 90), total)),
        ]
        if warmup is not None:
            cases.append((f"batch {batch}: {warmup} of warm-up", _prints(method.iterations(IMAGES, batch, 5), warmup)))
    return cases


def allreduce() -> Cases:
    """§4.1: both allreduce algorithms give the sum, in 2(p-1) and 2·log2 p steps, sending 2(p-1)/p·b bytes a server."""
    cases: Cases = []
    for p in (2, 4, 8, 6):
        buffers = (
            np.random.default_rng(p).integers(-1000, 1000, size=(p, 48)).astype(float)
        )  # whole: any order is exact
        due = 2 * (p - 1) * buffers.nbytes // p**2  # bytes a server, b being the bytes of one buffer
        for name, run, steps in (
            ("ring", method.ring_allreduce, 2 * (p - 1)),
            ("halving/doubling", method.halving_doubling_allreduce, 2 * math.ceil(math.log2(p))),
        ):
            done = run(buffers)
            every = p != 6 or name == "ring"  # binary blocks load the larger block more: there the average is due
            bytes_right = bool(np.all(done.sent == due)) if every else int(done.sent.sum()) == p * due
            cases += [
                (f"{name}, p={p}: every server holds the sum", bool(np.all(done.results == buffers.sum(axis=0)))),
                (f"{name}, p={p}: {steps} steps", done.steps == steps),
                (f"{name}, p={p}: 2(p-1)/p·b bytes {'a server' if every else 'on average'}", bytes_right),
            ]
    return cases


FORMS = ("reference", "absorbed", "absorbed-corrected")


def _steps(form: str, gradients: list[float], rates: list[float], nesterov: bool) -> np.ndarray:
    """Lengths of the steps that a momentum form takes along given gradients and rates."""
    buffer, taken = 0.0, []
    previous: float | None = None
    for g, lr in zip(gradients, rates, strict=True):
        if form == "reference":
            moved, buffer = reference_step(0.0, buffer, g, lr, momentum=0.9, nesterov=nesterov)
        else:
            before: float | None = previous if form == "absorbed-corrected" else None
            moved, buffer = absorbed_step(0.0, buffer, g, lr, momentum=0.9, nesterov=nesterov, previous_lr=before)
        taken.append(-moved)
        previous = lr
    return np.array(taken)


def _after_drop(updates: int) -> float:
    """Uncorrected step ``updates`` after the rate fell from 0.1 to 0.01, the gradient being 1 throughout."""
    v = 0.1 * 1 / (1 - 0.9)
    for _ in range(updates):
        v = absorbed_step(0.0, v, 1.0, 0.01, momentum=0.9)[1]
    return v


def _schedule(warmup: method.Warmup) -> partial[float]:
    """The paper's schedule at batch 8k, as a function of the update."""
    return partial(
        method.learning_rate,
        steps_per_epoch=method.iterations(IMAGES, BATCH_8K, 1),
        lr=method.scaled_lr(0.1, BATCH_8K, 256),
        warmup=warmup,
        warmup_epochs=5,
        warmup_lr=0.1,
        milestones=(30, 60, 80),
        decay=0.1,
    )


def _prints(value: float, text: str) -> bool:
    """Whether the value, rounded to the digits of the printed text (k and M for thousands, millions), is that text."""
    digits = text.rstrip("kM").replace(",", "")
    scale = {"k": 1e3, "M": 1e6}.get(text[-1], 1.0)
    decimals = len(digits.partition(".")[2])
    return f"{value / scale:.{decimals}f}" == digits
