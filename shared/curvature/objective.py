"""The training loss as a function of the flat weight vector, for measurements that must leave the net alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from shared.models.ghost import ghost_layers

BnMode = Literal["batch", "running"]


class CurvatureError(ValueError):
    """A measurement that cannot be made, and what to change."""


class Objective:
    """f(x): mean cross-entropy of ``net`` over all given images, x the flat vector of its trainable weights.

    x is float64 [n] in the order of ``net.parameters()``; the net computes in its own dtype and on its own device,
    losses are taken from float64 logits and sums over images run in float64. Batches are consecutive slices of
    ``images`` (nothing is copied), the last may be smaller.

    ``images`` [N, …] in the net's dtype, ``labels`` int64 [N]. ``bn="batch"`` normalises with the statistics of each
    evaluation batch of ``batch`` images (Keras' ``mode=2``, as in the code of Keskar et al. 2017; GhostBatchNorm keeps
    its chunks), ``bn="running"`` with the running averages. ``dropout=True`` leaves dropout on, which ``check``
    refuses. ``ceiling`` bounds each image's loss, in nats; beyond it the gradient is zero (Keras' clipped
    probabilities: -ln 1e-7 = 16.118).

    No call changes the net: weights, gradients, buffers, modes and the random state stay as they were.
    Raises CurvatureError for images and labels that do not pair up, weights in half precision, a batch of one image
    without statistics, an unknown ``bn``, a vector of the wrong length.
    """

    def __init__(
        self,
        net: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        batch: int = 5000,
        bn: BnMode = "batch",
        dropout: bool = False,
        ceiling: float | None = None,
    ) -> None:
        if len(images) != len(labels) or not len(images):
            raise CurvatureError(f"{len(images)} images and {len(labels)} labels: give equally many, at least one")
        if bn not in get_args(BnMode):
            raise CurvatureError(f"bn={bn!r} is no mode; there are: {', '.join(get_args(BnMode))}")
        if batch < 1:
            raise CurvatureError(f"batch={batch}: an evaluation batch needs at least one image")
        self._names = [name for name, p in net.named_parameters() if p.requires_grad]
        self._parameters = [p for p in net.parameters() if p.requires_grad]
        if not self._parameters:
            raise CurvatureError("the net has no trainable weights: set requires_grad on some")
        if narrow := {p.dtype for p in self._parameters} & {torch.float16, torch.bfloat16}:
            raise CurvatureError(
                f"weights of {narrow.pop()} round away steps as small as these boxes: measure a copy in float32, "
                "copy.deepcopy(net).float()"
            )
        alone = (len(images) % batch or batch) == 1 and bn == "batch"
        if alone and any(isinstance(m, _BatchNorm) for m in net.modules()):
            raise CurvatureError(
                f"{len(images)} images in batches of {batch} leave one image alone, which has no batch statistics: "
                "give another batch, or bn='running'"
            )
        self.net, self.images, self.labels = net, images, labels
        self.batch, self.bn, self.dropout, self.ceiling = batch, bn, dropout, ceiling
        self.n = sum(p.numel() for p in self._parameters)
        self.evaluations = 0
        """Passes over the data so far."""

    def start(self) -> np.ndarray:
        """The net's present weights, float64 [n]."""
        return torch.cat([p.detach().reshape(-1).double().cpu() for p in self._parameters]).numpy()

    def value(self, x: np.ndarray) -> float:
        """f(x) in nats."""
        return self.score(x)[0]

    def score(self, x: np.ndarray) -> tuple[float, float]:
        """f(x) in nats and the accuracy in percent."""
        with self._measuring():
            return self._score(x)

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """f(x) in nats and its gradient, float64 [n]."""
        with self._measuring():
            loss, weights = 0.0, self._weights(x)
            total = torch.zeros_like(weights, dtype=torch.float64)
            for logits, labels in self._logits(weights):
                part = self._loss(logits, labels)
                total += torch.autograd.grad(part, weights)[0]
                loss += part.item()
        return loss, total.cpu().numpy()

    def hessian_vector(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Hessian of f at x times ``v`` [n], by differentiating twice; float64 [n]."""
        with self._measuring():
            weights, direction = self._weights(x), self._weights(v).detach()
            total = torch.zeros_like(weights, dtype=torch.float64)
            for logits, labels in self._logits(weights):
                gradient = torch.autograd.grad(self._loss(logits, labels), weights, create_graph=True)[0]
                total += torch.autograd.grad(gradient, weights, direction)[0]
        return total.cpu().numpy()

    def check(self, x: np.ndarray) -> None:
        """Evaluate f(x) twice; CurvatureError when the two differ or are not finite."""
        # One random state around both: each call alone restores it, and would repeat its dropout masks.
        with self._measuring():
            first, second = self._score(x)[0], self._score(x)[0]
        if not math.isfinite(first):
            raise CurvatureError(f"the loss is {first} at the point to measure: the training has diverged")
        if first != second:
            raise CurvatureError(
                f"two evaluations at one point gave the losses {first!r} and {second!r}: switch dropout off "
                "(dropout=False), and let nothing else in the net be random or depend on earlier calls"
            )

    def _weights(self, x: np.ndarray) -> Tensor:
        if np.shape(x) != (self.n,):
            raise CurvatureError(f"the net has {self.n} trainable weights, but the vector's shape is {np.shape(x)}")
        wide = torch.float64 if any(p.dtype == torch.float64 for p in self._parameters) else torch.float32
        return torch.tensor(x, dtype=wide, device=self._parameters[0].device, requires_grad=True)

    @torch.no_grad()
    def _score(self, x: np.ndarray) -> tuple[float, float]:
        loss, hits = 0.0, 0
        for logits, labels in self._logits(self._weights(x)):
            loss += self._loss(logits, labels).item()
            hits += int((logits.argmax(1) == labels).sum())
        return loss, 100 * hits / len(self.images)

    def _logits(self, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and labels of the batches in order, with the flat ``weights`` in place of the net's own."""
        self.evaluations += 1
        parts = weights.split([p.numel() for p in self._parameters])
        named = zip(self._names, parts, self._parameters, strict=True)
        state = {name: w.view_as(p).to(p.dtype) for name, w, p in named}
        # Copies, so that it is them that batch norm updates.
        state |= {name: b.clone() for name, b in self.net.named_buffers()}
        for images, labels in zip(self.images.split(self.batch), self.labels.split(self.batch), strict=True):
            yield functional_call(self.net, state, images.to(weights.device)), labels.to(weights.device)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The batch's share of f."""
        # In float32 the loss of a well fitted image, and its gradient, round to 0 below 6e-8.
        losses = F.cross_entropy(logits.double(), labels, reduction="none")
        if self.ceiling is not None:
            losses = losses.clamp(max=self.ceiling)
        return losses.sum() / len(self.images)

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        """Modes set for the measurement, whatever the caller's context; on leaving all is as it was."""
        modes = [(m, m.training) for m in self.net.modules()]
        ghosts = [(m, m.deferred, m.evaluate) for m in ghost_layers(self.net)]
        device = self._parameters[0].device
        units: tuple[Any, ...] = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
        precisions = [unit.fp32_precision for unit in units]
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(torch.autocast(device.type, enabled=False))
            try:
                for unit in units:  # TF32, a GPU's default for convolutions, keeps ten bits of a weight
                    unit.fp32_precision = "ieee"
                for module, _ in modes:
                    module.training = (isinstance(module, _BatchNorm) and self.bn == "batch") or (
                        isinstance(module, _DropoutNd) and self.dropout
                    )
                for layer, _, _ in ghosts:
                    layer.deferred = False  # else they would queue statistics for the next update
                    layer.evaluate = "running"  # in evaluation mode, which is for bn="running" alone
                yield
            finally:
                for unit, precision in zip(units, precisions, strict=True):
                    unit.fp32_precision = precision
                for module, mode in modes:
                    module.training = mode
                for layer, deferred, evaluate in ghosts:
                    layer.deferred, layer.evaluate = deferred, evaluate
