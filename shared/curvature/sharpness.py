"""Sharpness of a solution: Metric 2.1 of Keskar et al. 2017 (section 2.2.2, eqs. 3 and 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.optimize import fmin_l_bfgs_b

from shared.curvature.objective import CurvatureError
from shared.curvature.subspace import Subspace

WORKSPACE = 1_000_000_000
"""Bytes that one search may take."""
VECTORS = 16
"""Vectors of p doubles alive in a search beside L-BFGS-B's own: points, bounds and gradients here and in SciPy."""
STRIDE = 0.25
"""Step of the sign solver in units of the bound."""


class Function(Protocol):
    """What is measured: ``Objective``, or anything that answers like it."""

    n: int

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]: ...
    def check(self, x: np.ndarray) -> None: ...


@dataclass(frozen=True)
class Found:
    """What a search found."""

    value: float
    """φ (eq. 4), in percent of 1 + f(x)."""
    f0: float
    """f(x), in nats."""
    f_max: float
    """The largest f met in the box, f(x) included."""
    iterations: int
    evaluations: int
    """Evaluations of f with its gradient, f(x) included; those of the check aside."""
    status: int
    """Of L-BFGS-B: 0 converged, 1 out of iterations, 2 stopped (see ``message``); -1 for the sign solver."""
    message: str
    moved: float
    """Largest |y_i| at the maximiser in units of its bound; near 0: the search never left x."""
    at_bound: float
    """Share of the coordinates at their bound at the maximiser; near 0: the search stopped far inside the box."""


def sharpness(
    objective: Function,
    x: np.ndarray,
    eps: float,
    *,
    subspace: Subspace | None = None,
    solver: Literal["lbfgs", "sign"] = "lbfgs",
    start: Literal["x", "random"] = "x",
    iterations: int = 10,
    seed: int = 0,
    memory: int = 10,
    gain: float = 1.0,
    workspace: float = WORKSPACE,
) -> Found:
    """φ = 100 (max f(x + A y) - f(x)) / (1 + f(x)) over the box |y_i| ≤ ε (|(A⁺x)_i| + 1), for weights x [n].

    Without a ``subspace`` A is the identity. ``solver="lbfgs"``: SciPy's L-BFGS-B on -f with ``memory`` corrections,
    in float64, without tolerances (its defaults end at once where the gradient is small, and give 0).
    ``solver="sign"``: y ← clip(y + b ⊙ sign(∇f) / 4) with b the bounds. ``start="random"``: from a uniform random
    point of the box, drawn from ``seed``, instead of y = 0.

    L-BFGS-B sees ``gain``·f, which moves no maximum: with a bounded box its first step is the gradient cut to the box,
    and where f is convex (here: everywhere near a minimum) it learns no scale, so that how far it comes depends on the
    unit of the loss. ``gain=N`` is the sum over N images instead of the mean.

    The paper's choice is 10 iterations of L-BFGS-B; it leaves the start open. The maximum is the best point
    evaluated, x among them, so that φ ≥ 0. In a box L-BFGS-B's first step is the gradient itself, and where f is
    convex it learns no better scale: if gradients are far below the bounds, 10 iterations bring few weights to their
    bounds and φ is far below the maximum. ``moved`` and ``at_bound`` report it; the sign solver is blind to scale.

    Raises CurvatureError when two evaluations at x differ, when a choice is unknown or ε is not positive, and when
    L-BFGS-B would need more than ``workspace`` bytes (1 GB; it keeps 2·memory + 5 vectors): see ``fits``.
    """
    for name, choice, known in (("solver", solver, ("lbfgs", "sign")), ("start", start, ("x", "random"))):
        if choice not in known:
            raise CurvatureError(f"{name}={choice!r} is unknown; there are: {', '.join(known)}")
    if eps <= 0 or iterations < 1:
        raise CurvatureError(f"eps={eps} and iterations={iterations} must be positive")
    size = objective.n if subspace is None else subspace.p
    if solver == "lbfgs":
        fits(size, memory, workspace)
    objective.check(x)
    search = _Search(objective, np.asarray(x, dtype=np.float64), subspace)
    bound = eps * (np.abs(search.x if subspace is None else subspace.pinv(search.x)) + 1)
    y = np.zeros(size) if start == "x" else np.random.default_rng(seed).uniform(-bound, bound)
    if solver == "sign":
        for _ in range(iterations):
            y = np.clip(y + STRIDE * bound * np.sign(search(y)[1]), -bound, bound)
        search(y)
        status, message = -1, "SIGN ASCENT: ALL STEPS TAKEN"
    else:
        # An array of bounds: SciPy's list of pairs costs more than its workspace.
        _, _, end = fmin_l_bfgs_b(
            lambda z: search.negative(z, gain),
            y,
            bounds=np.column_stack([-bound, bound]),
            m=memory,
            factr=0,
            pgtol=0,
            maxiter=iterations,
        )
        status, message, iterations = end["warnflag"], end["task"], end["nit"]
    reached = np.abs(search.best) / bound
    return Found(
        value=100 * (search.f_max - search.f0) / (1 + search.f0),
        f0=search.f0,
        f_max=search.f_max,
        iterations=iterations,
        evaluations=search.evaluations,
        status=status,
        message=message,
        moved=float(reached.max()),
        at_bound=float(np.mean(reached > 1 - 1e-9)),
    )


def fits(size: int, memory: int = 10, workspace: float = WORKSPACE) -> None:
    """CurvatureError when L-BFGS-B over ``size`` coordinates would need more than ``workspace`` bytes."""
    needed = 8 * size * (2 * memory + 5 + VECTORS)
    if needed > workspace:
        raise CurvatureError(
            f"L-BFGS-B over {size:,} weights needs {needed / 1e9:.1f} GB, more than {workspace / 1e9:.1f} GB: "
            'measure in a random subspace, with the solver "sign", or grant it more memory (workspace, in bytes)'
        )


class _Search:
    """y → f(x + A y) and its gradient [p]; remembers the best point."""

    def __init__(self, objective: Function, x: np.ndarray, subspace: Subspace | None) -> None:
        self.objective, self.x, self.subspace = objective, x, subspace
        self.best = np.zeros(objective.n if subspace is None else subspace.p)
        # The same code as at every other point: a pass without gradients may round otherwise.
        self.evaluations, self.f_max = 0, -math.inf
        self._origin: tuple[float, np.ndarray] | None = None
        self._origin = self(self.best)
        self.f0 = self._origin[0]

    def __call__(self, y: np.ndarray) -> tuple[float, np.ndarray]:
        if self._origin is not None and not y.any():
            return self._origin
        shift = y if self.subspace is None else self.subspace.up(y)
        value, gradient = self.objective.value_and_gradient(self.x + shift)
        self.evaluations += 1
        if value > self.f_max:
            self.f_max, self.best = value, y.copy()
        return value, gradient if self.subspace is None else self.subspace.down(gradient)

    def negative(self, y: np.ndarray, gain: float) -> tuple[float, np.ndarray]:
        value, gradient = self(y)
        return -gain * value, -gain * gradient
