"""The arithmetic of chunked batch normalisation, forward and backward.

Each chunk goes through PyTorch's own batch-norm kernel, so the result is that of separate batches to the bit.
Measured on one core against reshapes that fold chunks into channels, group norm on a channels-last view, and
elementwise float32 arithmetic: writing chunk by chunk into one preallocated output was the fastest (a chunk stays in
the cache between its passes), and one chunk costs what ``F.batch_norm`` costs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_BACKWARD = torch.ops.aten.native_batch_norm_backward.default
_ALL = (True, True, True)


def chunked_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, size: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise contiguous chunks of ``size`` samples of ``x`` [b, C, …]; the last chunk may be smaller.

    Returns the output [b, C, …], the chunk means [K, C] and their unbiased variances [K, C] (no gradient flows
    through these two). Raises ValueError when a chunk holds a single value per channel.
    """
    smallest = len(x) % size or size
    if smallest * x[0, 0].numel() < 2:
        raise ValueError(
            f"batch norm needs two values per channel, but a chunk of {smallest} of {len(x)} samples (bn_batch={size}) "
            f"of shape {tuple(x.shape[1:])} has one: change bn_batch or the batch"
        )
    mean, var = weight.new_zeros(2, -(-len(x) // size), x.shape[1])
    if len(mean) == 1:
        # Momentum 1 makes the "running" row exactly the statistics of the chunk.
        return F.batch_norm(x, mean[0], var[0], weight, bias, True, 1.0, eps), mean, var
    return _Chunked.apply(x, weight, bias, size, eps, mean, var), mean, var


class _Chunked(torch.autograd.Function):
    """Batch norm chunk by chunk into one output tensor; ``mean`` and ``var`` [K, C] are filled on the way."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, size: int, eps: float, mean: Tensor, var: Tensor
    ) -> Tensor:
        out = torch.empty_like(x)
        saved = torch.empty_like(mean), torch.empty_like(mean)
        rows = zip(x.split(size), out.split(size), mean, var, *saved, strict=True)
        for chunk, target, mean_k, var_k, saved_mean, saved_scale in rows:
            results = target, saved_mean, saved_scale
            torch.native_batch_norm(chunk, weight, bias, mean_k, var_k, True, 1.0, eps, out=results)
        ctx.save_for_backward(x, weight, *saved)
        ctx.size, ctx.eps = size, eps
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *saved = ctx.saved_tensors
        rows = zip(grad.split(ctx.size), x.split(ctx.size), *saved, strict=True)
        results = (_BACKWARD(g, c, weight, None, None, m, s, True, ctx.eps, _ALL) for g, c, m, s in rows)
        if torch.is_grad_enabled():
            # A second derivative is wanted (create_graph): keep every step differentiable.
            parts = tuple(zip(*results, strict=True))
            return torch.cat(parts[0]), torch.stack(parts[1]).sum(0), torch.stack(parts[2]).sum(0), *[None] * 4
        grad_x, weights, biases = torch.empty_like(x), [], []
        for target, (part, weight_k, bias_k) in zip(grad_x.split(ctx.size), results, strict=True):
            target.copy_(part)
            weights.append(weight_k)
            biases.append(bias_k)
        return grad_x, torch.stack(weights).sum(0), torch.stack(biases).sum(0), *[None] * 4
