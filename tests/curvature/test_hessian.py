"""Lanczos and Hutchinson against dense float64 Hessians and against curvlinops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from curvlinops import HessianLinearOperator, hutchinson_trace
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.func import functional_call

from shared.curvature.hessian import top_eigenvalues, trace
from shared.curvature.objective import CurvatureError, Objective


def data(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(1)
    return torch.randn(n, 6, generator=made).double(), torch.randint(3, (n,), generator=made)


def net(norm: bool) -> nn.Sequential:
    torch.manual_seed(0)
    between = [nn.BatchNorm1d(7, track_running_stats=False)] if norm else []
    return nn.Sequential(nn.Linear(6, 7), *between, nn.ReLU(), nn.Linear(7, 3)).double()


def dense(model: nn.Module, batch: int) -> np.ndarray:
    """∇² of the mean over batches of equal size."""
    images, labels = data()
    names, parameters = zip(*model.named_parameters(), strict=True)

    def loss(x: torch.Tensor) -> torch.Tensor:
        parts = (w.view_as(p) for w, p in zip(x.split([p.numel() for p in parameters]), parameters, strict=True))
        weights = dict(zip(names, parts, strict=True))
        pairs = zip(images.split(batch), labels.split(batch), strict=True)
        return torch.stack([F.cross_entropy(functional_call(model, weights, (a,)), b) for a, b in pairs]).mean()

    return torch.autograd.functional.hessian(loss, nn.utils.parameters_to_vector(parameters).detach()).numpy()


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch-norm"])
@pytest.mark.parametrize("batch", [24, 12])
def test_eigenvalues_against_the_dense_hessian(norm, batch):
    objective = Objective(net(norm), *data(), batch=batch)
    found = top_eigenvalues(objective, objective.start(), k=5, tol=1e-10)
    np.testing.assert_allclose(found, np.linalg.eigvalsh(dense(objective.net, batch))[::-1][:5], rtol=1e-7)


def test_trace_against_the_dense_hessian():
    objective, probes = Objective(net(True), *data()), 400
    hessian = dense(objective.net, 24)
    estimate, error = trace(objective, objective.start(), probes=probes, seed=3)
    # Rademacher probes: the variance is twice the squared off-diagonal part
    exact = np.sqrt(2 * (np.sum(hessian**2) - np.sum(np.diag(hessian) ** 2)) / probes)
    assert error == pytest.approx(exact, rel=0.2)
    assert abs(estimate - np.trace(hessian)) < 3 * exact
    assert exact < 0.1 * np.trace(hessian)  # or the line above says little


class WrittenOut(nn.BatchNorm1d):
    """Batch norm step by step: torch's vmap over the gradient of its own, which curvlinops uses, is wrong (2.14)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(0)
        return centred * (centred.square().mean(0) + self.eps).rsqrt() * self.weight + self.bias


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch-norm"])
def test_against_curvlinops(norm):
    objective = Objective(net(norm), *data(), batch=12)
    x, batches = objective.start(), list(zip(*(part.split(12) for part in data()), strict=True))
    reference = net(norm)
    if norm:
        reference[1].__class__ = WrittenOut
    theirs = HessianLinearOperator(reference, nn.CrossEntropyLoss(), list(reference.parameters()), batches)
    top = eigsh(theirs.to_scipy(), 3, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(top_eigenvalues(objective, x, k=3, tol=1e-10), np.sort(top)[::-1], rtol=1e-7)
    torch.manual_seed(2)
    estimate, error = trace(objective, x, probes=100)
    second = float(hutchinson_trace(theirs, 60))
    assert abs(estimate - second) < 3 * error * np.sqrt(1 + 100 / 60)


def test_same_seed_same_answer_and_products_are_counted():
    objective = Objective(net(False), *data())
    found = [trace(objective, objective.start(), probes=5, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert objective.evaluations == 15


def test_what_cannot_be_measured_names_the_remedy():
    objective = Objective(net(False), *data())
    x = objective.start()
    with pytest.raises(CurvatureError, match="max_products"):
        top_eigenvalues(objective, x, k=5, tol=1e-12, max_products=21)
    assert objective.evaluations == 21
    with pytest.raises(CurvatureError, match=f"1 to {objective.n - 1}"):
        top_eigenvalues(objective, x, k=objective.n)
    with pytest.raises(CurvatureError, match="at least 2"):
        trace(objective, x, probes=1)
    for measure in (top_eigenvalues, trace):
        with pytest.raises(CurvatureError, match="not finite"):
            measure(objective, x * np.inf)
