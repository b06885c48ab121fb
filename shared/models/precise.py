"""Batch statistics of the current weights, for evaluation only ("precise BN"; Goyal et al. 2017, caption of Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from shared.models.ghost import ghost_layers


@contextmanager
def precise_bn(model: nn.Module, batches: Iterable[Tensor]) -> Iterator[nn.Module]:
    """Within the context the running statistics are plain averages of chunk statistics over ``batches``.

    ``batches`` yields images [b, C, H, W] (or tuples that start with them) as they are trained on; chunks hold the
    layers' ``bn_batch`` samples (None: a batch as it is given) and count equally, variances are unbiased within the
    chunk, as while training.
    The model is in evaluation mode inside; mode, running statistics and queues are restored on exit.
    Raises ValueError when there are no batches, and for layers that evaluate by batch statistics.
    """
    layers = list(ghost_layers(model))
    if any(layer.evaluate == "batch" for layer in layers):
        raise ValueError("precise BN sets running statistics, which bn_eval='batch' never reads: use one of the two")
    modes = {m: m.training for m in model.modules()}
    state = [{k: b.clone() for k, b in x.named_buffers()} for x in layers]
    kept = [(x.deferred, x._queue) for x in layers]
    sums = [(torch.zeros_like(x.running_mean), torch.zeros_like(x.running_var)) for x in layers]
    counts = [0] * len(layers)
    try:
        # Only BN needs its training behaviour: dropout would shift the statistics that evaluation uses.
        model.eval()
        for layer in layers:
            layer.training, layer.deferred, layer._queue = True, True, []
        seen = False
        with torch.no_grad():
            for batch in batches:
                seen = True
                model(batch if isinstance(batch, Tensor) else batch[0])
                for i, (layer, total) in enumerate(zip(layers, sums, strict=True)):
                    for mean, var in layer._queue:
                        total[0].add_(mean.sum(0))
                        total[1].add_(var.sum(0))
                        counts[i] += len(mean)
                    layer._queue.clear()
            if not seen:
                raise ValueError("precise BN needs at least one batch of training images; there was none")
            for layer, (mean, var), count in zip(layers, sums, counts, strict=True):
                layer.training = False
                layer.running_mean.copy_(mean / max(count, 1))
                layer.running_var.copy_(var / max(count, 1))
        yield model
    finally:
        for layer, buffers, (deferred, queue) in zip(layers, state, kept, strict=True):
            layer.deferred, layer._queue = deferred, queue
            for name, saved in buffers.items():
                layer.get_buffer(name).copy_(saved)
        for module, mode in modes.items():
            module.training = mode
