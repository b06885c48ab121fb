"""Batch normalisation over fixed-size chunks of the batch: one primitive for per-worker and ghost statistics.

Goyal et al. 2017 (section 2.3) normalise over the n images of one worker and never synchronise; Hoffer et al. 2017
(algorithm 1) do the same on one device and call it Ghost Batch Normalization. Both fix the number of samples that
share statistics while the number of samples per update grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.chunked import chunked_batch_norm

RunningRule = Literal["first", "mean", "sequential"]
Evaluation = Literal["running", "batch"]


class GhostBatchNorm(nn.BatchNorm2d):
    """BatchNorm over contiguous chunks of ``bn_batch`` samples; accepts [b, C] and [b, C, H, W].

    A batch that ``bn_batch`` does not divide ends with a smaller chunk, which counts as one chunk like the others.
    ``bn_batch=None`` is ordinary batch normalisation over each batch given to ``forward``.

    ``momentum`` is PyTorch's: the weight of the new statistics (the papers' 0.9 is 0.1 here). ``running`` says how
    the K chunk statistics s_1 … s_K of one update enter the running averages r:

    - ``"first"``: r ← (1-m)·r + m·s_1, the statistics of worker 0 (Goyal; one change an update);
    - ``"mean"``: r ← (1-m)·r + m·mean(s), one change with the averaged statistics;
    - ``"sequential"``: r ← (1-m)·r + m·s_k for k = 1 … K (Hoffer), applied in closed form.

    Variances enter with Bessel's correction within their chunk, as in PyTorch. Statistics are float32 for half
    precision input. Outside deferral (see ``set_deferred``) each training forward is one update.

    ``evaluate`` names the statistics used in evaluation mode: the ``"running"`` averages, or those of the whole
    ``"batch"`` given, whatever ``bn_batch`` is (``mode=2`` of Keras 1, the nets of Keskar et al. 2017). Either way
    training moves the running averages and evaluation does not. With ``"batch"`` the evaluation batch is part of the
    result.
    Raises ValueError for a bad ``bn_batch``, ``running``, ``evaluate`` or ``momentum``, and when a chunk holds one
    value a channel.
    """

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        bn_batch: int | None = None,
        eps: float = 1e-5,
        momentum: float = 0.1,
        running: RunningRule = "first",
        evaluate: Evaluation = "running",
    ) -> None:
        if bn_batch is not None and bn_batch < 1:
            raise ValueError(f"bn_batch must be at least 1 or None, not {bn_batch}")
        if running not in get_args(RunningRule):
            raise ValueError(f"running={running!r} is no rule; there are: {', '.join(get_args(RunningRule))}")
        if evaluate not in get_args(Evaluation):
            raise ValueError(f"bn_eval={evaluate!r} is no rule; there are: {', '.join(get_args(Evaluation))}")
        if momentum is None or not 0 <= momentum <= 1:
            raise ValueError(f"BN momentum must lie in [0, 1], not {momentum}")
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.bn_batch = bn_batch
        self.running = running
        self.evaluate = evaluate
        self.deferred = False
        self._queue: list[tuple[Tensor, Tensor]] = []

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bn_batch={self.bn_batch}, running={self.running}, evaluate={self.evaluate}"

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"GhostBatchNorm takes [b, C] or [b, C, H, W], not a {input.dim()}-dimensional input")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training and self.evaluate == "running":
            return super().forward(input)
        self._check_input_dim(input)
        if not self.training:
            if input.numel() == input.shape[1]:
                raise ValueError(
                    f"bn_eval='batch' needs two values per channel, but an evaluation batch of shape "
                    f"{tuple(input.shape)} has one: evaluate in larger batches, or use bn_eval='running'"
                )
            return F.batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
        size = len(input) if self.bn_batch is None else min(self.bn_batch, len(input))
        if size == len(input) and not self.deferred:
            # One chunk, one update: PyTorch's own call does it all, whatever the rule.
            self.num_batches_tracked.add_(1)
            mean, var, momentum = self.running_mean, self.running_var, self.momentum
            return F.batch_norm(input, mean, var, self.weight, self.bias, True, momentum, self.eps)
        output, mean, var = chunked_batch_norm(input, self.weight, self.bias, size, self.eps)
        if self.deferred:
            self._queue.append((mean, var))
        else:
            _update_running([self], [(mean, var)])
        return output


def ghost_layers(module: nn.Module) -> Iterator[GhostBatchNorm]:
    """The ghost layers of a net in registration order, the same on every rank."""
    return (m for m in module.modules() if isinstance(m, GhostBatchNorm))


def set_deferred(module: nn.Module, flag: bool) -> None:
    """Queue chunk statistics at each training forward (True) or apply them there and then (False, the default).

    Under deferral one optimizer update may take several micro-batches and processes: call ``flush_running_stats``
    once an update, or the queues grow. Evaluation mode queues nothing. Either way, what was queued is dropped.
    """
    for layer in ghost_layers(module):
        layer.deferred = flag
        layer._queue.clear()


@torch.no_grad()
def flush_running_stats(module: nn.Module) -> None:
    """Apply the queued statistics of one update, gathered over all ranks, to the running averages; empty the queues.

    Global chunk order is rank-major: rank r holds the r-th contiguous block of the batch and works through it in
    micro-batches. The result is then the same for one process, accumulation and data parallelism, provided that
    ``bn_batch`` divides every micro-batch (with ``bn_batch=None``: that the batch is not split). Every rank must have
    queued equally many chunks. One all_gather for all layers. Without queued statistics nothing happens.
    """
    layers = [layer for layer in ghost_layers(module) if layer._queue]
    if not layers:
        return
    local = [x._queue[0] if len(x._queue) == 1 else _joined(x._queue) for x in layers]
    for layer in layers:
        layer._queue.clear()
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed and torch.distributed.get_world_size() > 1:
        flat = torch.cat([part.reshape(-1) for pair in local for part in pair])
        blocks = [torch.empty_like(flat) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(blocks, flat)
        sizes = [part.numel() for pair in local for part in pair]
        ranks = [iter(block.split(sizes)) for block in blocks]

        def joined(part: Tensor) -> Tensor:
            return torch.cat([next(rank).view_as(part) for rank in ranks])

        local = [(joined(mean), joined(var)) for mean, var in local]
    _update_running(layers, local)


def _joined(queue: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([mean for mean, _ in queue]), torch.cat([var for _, var in queue])


@cache
def _shares(momentum: float, chunks: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What each of K chunks adds to the running averages, in order [K]; kept, as a GPU would wait for each copy."""
    shares = [momentum * (1 - momentum) ** (chunks - 1 - k) for k in range(chunks)]
    return torch.tensor(shares, dtype=dtype, device=device)


@torch.no_grad()
def _update_running(layers: list[GhostBatchNorm], statistics: list[tuple[Tensor, Tensor]]) -> None:
    """Enter one update's statistics, ([K, C] means, [K, C] variances) a layer in global chunk order."""
    # One fused call for all layers that share a rule: a net of tiny layers updates as fast as one layer.
    alike: dict[tuple[str, float, int], list[int]] = {}
    for i, (layer, (mean, _)) in enumerate(zip(layers, statistics, strict=True)):
        alike.setdefault((layer.running, layer.momentum, len(mean)), []).append(i)
    for (rule, momentum, chunks), members in alike.items():
        stats = [part for i in members for part in statistics[i]]
        running = [buffer for i in members for buffer in (layers[i].running_mean, layers[i].running_var)]
        keep = 1 - momentum
        flat = torch.cat(stats, dim=1)
        if rule == "first":
            new = momentum * flat[0]
        elif rule == "mean":
            new = momentum * flat.mean(0)
        else:
            new = _shares(momentum, chunks, flat.dtype, flat.device) @ flat
        torch._foreach_mul_(running, keep**chunks if rule == "sequential" else keep)
        torch._foreach_add_(running, new.split([len(buffer) for buffer in running]))
        torch._foreach_add_([layers[i].num_batches_tracked for i in members], 1)
