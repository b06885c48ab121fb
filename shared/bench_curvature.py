"""What net F1 of Keskar et al. 2017 costs: its training in bf16 beside float32, and one full-space sharpness."""

from __future__ import annotations

import time

import torch

from shared.callbacks.curvature import of
from shared.curvature.declare import Measure, Sharp
from shared.models import build
from shared.spec import DataSpec, ModelSpec, OptimizerSpec, RunSpec

F1 = ModelSpec(name="mlp-bn", args={"bn_eval": "batch"})


def f1(like: RunSpec, precision: str) -> RunSpec:
    """An epoch of F1 on 16,384 images at batch 256 with Adam; everything else as in ``like``."""
    return like.but(model=F1, batch_size=256, bn_batch=None, precision=precision, epochs=1, precise_bn=0,
                    data=DataSpec(name="mnist", train_size=16384, pixels="unit"),
                    optimizer=OptimizerSpec(name="adam", momentum=0.9, fused=True), lr=1e-3)  # fmt: skip


def sharpness_seconds(images: int = 60000) -> float:
    """Seconds that Metric 2.1 takes at F1's start over so many random images: ten iterations in the full space."""
    torch.manual_seed(0)
    net = build(F1, 10, (1, 28, 28))
    x, y = torch.rand(images, 1, 28, 28), torch.randint(10, (images,))
    start = time.perf_counter()
    of(Sharp(), Measure(), net, x, y, 0, {})
    return time.perf_counter() - start
