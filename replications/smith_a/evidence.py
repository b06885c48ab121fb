"""E1 of Smith and Le 2017: the evidence of logistic regression against λ (Figures 1 and 2), on arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from replications.smith_a import method
from replications.smith_a.spec import Evidence

Rows = list[dict[str, float]]
TOLERANCE = 1e-6
"""Largest component of the gradient of C, in nats per unit of w, that counts as the minimum."""
EXCESS = 1e-3
"""Most that C may be above its minimum, in nats: at most ‖gradient‖²/(2λ), since C is λ-strongly convex."""


RELATIVE = 1e-3
"""Most that w may be off, relative to its norm: at most ‖gradient‖/(λ‖w‖), for the same reason."""

POLISH = 20
"""Newton steps that may follow scikit-learn's solver, which ends where its loss no longer moves: at λ = 1e-8, w is then
still a hundredth off."""


class NotConverged(RuntimeError):
    """The convex solver stopped short of the minimum; the message names λ and the gradient."""


def draw(images: np.ndarray, labels: np.ndarray, spec: Evidence, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``{"train": (x, y), "test": (x, y)}``: zeros against ones, equally many of each, disjoint.

    images [n, …] as the net would see them, labels [n]; x float64 [N, pixels + 1], whose last column of ones carries
    the bias, y of 0 and 1. Random labels replace those of both sets. ValueError when a class has too few images.
    """
    rng = np.random.default_rng([seed, 1])
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for digit in (0, 1):
        found = np.flatnonzero(labels == digit)
        if len(found) < spec.train + spec.test:
            raise ValueError(f"{len(found)} images of digit {digit} are fewer than {spec.train} + {spec.test}")
        order = rng.permutation(found)
        parts["train"].append(order[: spec.train])
        parts["test"].append(order[spec.train : spec.train + spec.test])
    drawn = {}
    for name, ids in parts.items():
        rows = np.concatenate(ids)
        x = images[rows].reshape(len(rows), -1).astype(np.float64)
        y = labels[rows].astype(np.int64)
        if spec.labels == "random":
            y = rng.permutation(y)
        elif spec.labels == "iid":
            y = rng.integers(0, 2, len(y))
        drawn[name] = (np.column_stack([x, np.ones(len(x))]), y)
    return drawn


def minimum(x: np.ndarray, y: np.ndarray, lam: float, start: np.ndarray | None = None) -> np.ndarray:
    """The one minimum of C(w), float64 [P], by scikit-learn's Newton solver and a few steps more; the bias is penalised
    like the rest.

    NotConverged if a component of the gradient is above ``TOLERANCE``, C may be more than ``EXCESS`` too high or w more
    than ``RELATIVE`` off.
    """
    model = LogisticRegression(C=1 / lam, fit_intercept=False, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    if start is not None:
        model.warm_start, model.coef_, model.classes_ = True, start[None, :].copy(), np.array([0, 1])
        model.intercept_ = np.zeros(1)
    w = model.fit(x, y).coef_[0]
    for _ in range(POLISH):
        p = np.exp(-np.logaddexp(0.0, -(x @ w)))
        gradient = x.T @ (p - y) + lam * w
        off = float(np.linalg.norm(gradient)) / max(lam * float(np.linalg.norm(w)), 1e-300)
        if off <= RELATIVE:
            break
        curvature = (x * method.variance(x @ w)[:, None]).T @ x
        w = w - np.linalg.solve(curvature + lam * np.eye(len(w)), gradient)
    largest, excess = float(np.abs(gradient).max()), float(gradient @ gradient / (2 * lam))
    if largest > TOLERANCE or excess > EXCESS or off > RELATIVE:
        raise NotConverged(
            f"λ = {lam:g}: the gradient has a component of {largest:.2g} (at most {TOLERANCE:g}), C may be "
            f"{excess:.2g} nats too high (at most {EXCESS:g}) and w {off:.2g} of its norm off (at most {RELATIVE:g})"
        )
    return w


def along(data: dict[str, tuple[np.ndarray, np.ndarray]], spec: Evidence) -> Rows:
    """One row for every λ, rising: errors in percent, mean cross-entropy in nats, mean margin, E and E/N.

    ``margin``: mean signed distance to the boundary in pixel units; ``confidence``: mean p(label) − p(other). Of the
    eigenvalues s of the Hessian of the summed cross-entropy (Eq 10): ``curvature/largest`` and
    ``curvature/effective``, Σ s/(s + λ), how many parameters the data determine rather than the prior.
    """
    (x, y), (test_x, test_y) = data["train"], data["test"]
    first, last, points = spec.lambdas
    rows: Rows = []
    w = None
    for lam in np.logspace(math.log10(last), math.log10(first), points):  # each start is the minimum at a larger λ
        w = minimum(x, y, lam, w)
        cost = method.logistic_cost(w, x, y, lam)
        s = method.data_curvature(w, x)
        term = method.occam(s, lam)
        e = method.log_evidence_ratio(cost, term, len(y), 2)
        rows.append({
            "lambda": float(lam),
            "log10_lambda": float(math.log10(lam)),
            "train/error": _error(w, x, y),
            "test/error": _error(w, test_x, test_y),
            "train/loss": method.logistic_cost(w, x, y, 0.0) / len(y),
            "test/loss": method.logistic_cost(w, test_x, test_y, 0.0) / len(test_y),
            "margin": method.mean_margin(w, x, y),
            "test/margin": method.mean_margin(w, test_x, test_y),
            "confidence": float(np.mean(np.tanh((2 * y - 1) * (x @ w) / 2))),
            "evidence": e,
            "evidence_per_image": e / len(y),
            "occam": term,
            "curvature/largest": float(s.max()),
            "curvature/effective": float((s / (s + lam)).sum()),
        })  # fmt: skip
    return rows[::-1]


def features(rows: Rows) -> dict[str, float]:
    """What the claims are about: both ends of the λ axis (``weak``, ``strong``), both minima, how E tracks test CE.

    ``evidence_negative`` is the percentage of the λ at which E < 0, ``evidence_rise`` the largest step of E along λ,
    ``tracking`` Spearman's correlation of E and test cross-entropy, distances of λ are in decades.
    """
    weak, strong = rows[0], rows[-1]
    columns = {k: np.array([r[k] for r in rows]) for k in rows[0]}
    at_e, at_ce = int(columns["evidence"].argmin()), int(columns["test/loss"].argmin())
    ends: dict[str, Any] = {f"{end}/{k.replace('/', '_')}": v for end, row in (("weak", weak), ("strong", strong))
                            for k, v in row.items() if "lambda" not in k}  # fmt: skip
    return ends | {
        "evidence_min": float(columns["evidence"].min()),
        "evidence_negative": 100.0 * float(np.mean(columns["evidence"] < 0)),
        "evidence_rise": float(np.diff(columns["evidence"]).max()),
        "evidence_at": rows[at_e]["log10_lambda"],
        "evidence_inside": float(0 < at_e < len(rows) - 1),
        "test_loss_min": float(columns["test/loss"].min()),
        "test_loss_at": rows[at_ce]["log10_lambda"],
        "test_loss_inside": float(0 < at_ce < len(rows) - 1),
        "minima_distance": abs(rows[at_e]["log10_lambda"] - rows[at_ce]["log10_lambda"]),
        "tracking": float(spearmanr(columns["evidence"], columns["test/loss"]).statistic),
        "test_error_min": float(columns["test/error"].min()),
        "tuning_gain": weak["test/error"] - float(columns["test/error"].min()),
        "margin_fall": strong["margin"] - weak["margin"],
    }


def _error(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return 100.0 * float(np.mean((x @ w > 0) != y))
