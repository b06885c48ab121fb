"""Top eigenvalues and trace of the Hessian from Hessian-vector products alone."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from shared.curvature.objective import CurvatureError, Objective


def top_eigenvalues(
    objective: Objective, x: np.ndarray, k: int = 5, tol: float = 1e-3, max_products: int = 300, seed: int = 0
) -> np.ndarray:
    """The ``k`` largest (most positive) eigenvalues of ∇²f(x), in descending order: float64 [k].

    Implicitly restarted Lanczos (ARPACK) from a random vector of ``seed``; ``tol`` is the relative accuracy. A
    product costs about two gradients. Lanczos vectors take max(2k+1, 20)·n float64 of memory.
    Raises CurvatureError for a ``k`` outside 1 … n-1, for products that are not finite, and when ``max_products``
    products were not enough.
    """
    n = len(x)
    if not 1 <= k < n:
        raise CurvatureError(f"k={k}: a net of {n} weights has 1 to {n - 1} eigenvalues for Lanczos to find")
    spent = 0

    def product(v: np.ndarray) -> np.ndarray:
        nonlocal spent
        if spent == max_products:
            raise _BudgetSpent
        spent += 1
        return _product(objective, x, v.ravel())

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    first = np.random.default_rng(seed).standard_normal(n)
    try:
        found = eigsh(
            operator, k, which="LA", tol=tol, v0=first, ncv=min(n, max(2 * k + 1, 20)), return_eigenvectors=False
        )
    except _BudgetSpent:
        raise CurvatureError(
            f"{k} eigenvalues did not settle to tol={tol:g} within {spent} Hessian-vector products: raise "
            "max_products or tol, or ask for fewer eigenvalues"
        ) from None
    except ArpackError as error:
        raise CurvatureError(f"Lanczos failed on this Hessian: {error}") from error
    return np.sort(found)[::-1]


def trace(objective: Objective, x: np.ndarray, probes: int = 30, seed: int = 0) -> tuple[float, float]:
    """Hutchinson's estimate of tr ∇²f(x) and its standard error: the mean of vᵀ∇²f(x)v over random signs v.

    One Hessian-vector product a probe; sums in float64. Raises CurvatureError for fewer than two probes, which have
    no standard error, and for products that are not finite.
    """
    if probes < 2:
        raise CurvatureError(f"probes={probes}: the standard error needs at least 2")
    rng = np.random.default_rng(seed)
    values = np.empty(probes)
    for i in range(probes):
        v = rng.integers(0, 2, len(x)) * 2.0 - 1.0
        values[i] = v @ _product(objective, x, v)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(probes))


class _BudgetSpent(Exception):
    pass


def _product(objective: Objective, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    product = objective.hessian_vector(x, v)
    if not np.isfinite(product).all():
        raise CurvatureError("a Hessian-vector product is not finite: the loss has overflowed at these weights")
    return product
