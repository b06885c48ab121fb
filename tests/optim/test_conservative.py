"""Conservative training against Adam on the sub-problem written out."""

from __future__ import annotations

import pytest
import torch

from shared.optim.conservative import ConservativeAdam

torch.manual_seed(0)
X, Y = torch.randn(8, 5, dtype=torch.float64), torch.randn(8, dtype=torch.float64)


def loss_of(weights: torch.Tensor, batch: int) -> torch.Tensor:
    rows = slice(4 * batch, 4 * batch + 4)
    return ((X[rows] @ weights - Y[rows]) ** 2).mean()


def written_out(steps: int, proximal: float) -> torch.Tensor:
    """Two batches, each as ``steps`` plain Adam steps on f_B(x) + (λ/2)‖x − x_k‖²."""
    weights = torch.ones(5, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weights], 0.1)
    for batch in range(2):
        anchor = weights.detach().clone()
        for _ in range(steps):
            adam.zero_grad()
            (loss_of(weights, batch) + proximal / 2 * ((weights - anchor) ** 2).sum()).backward()
            adam.step()
    return weights.detach()


@pytest.mark.parametrize(("steps", "proximal"), [(1, 0.0), (1, 5.0), (3, 0.0), (3, 0.5), (5, 100.0)])
def test_it_solves_the_proximal_sub_problem_of_each_batch(steps, proximal):
    weights = torch.ones(5, dtype=torch.float64, requires_grad=True)
    optimizer = ConservativeAdam([weights], 0.1, inner_steps=steps, proximal=proximal)
    for batch in range(2):

        def closure(batch=batch):
            optimizer.zero_grad()
            loss = loss_of(weights, batch)
            loss.backward()
            return loss

        before = loss_of(weights.detach(), batch)
        assert optimizer.step(closure) == before
    torch.testing.assert_close(weights.detach(), written_out(steps, proximal), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("steps", "proximal"), [(0, 0.1), (3, -1.0)])
def test_impossible_settings_are_refused(steps, proximal):
    with pytest.raises(ValueError, match="inner_steps"):
        ConservativeAdam([torch.zeros(1, requires_grad=True)], 0.1, inner_steps=steps, proximal=proximal)
