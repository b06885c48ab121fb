"""What a declared measurement records: every choice of it reaches the search."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shared.callbacks.curvature import Curvature, measured
from shared.curvature.declare import Measure, Sharp
from shared.curvature.objective import Objective
from shared.curvature.sharpness import sharpness
from shared.curvature.subspace import Subspace
from shared.models import GhostBatchNorm


class Fixed:
    def __init__(self, *whole):
        self.whole = whole

    def plain(self, split, n=None):
        return self.whole


def by_batch() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), GhostBatchNorm(8, evaluate="batch"), nn.ReLU(), nn.Linear(8, 3)).double()
    for _ in range(3):
        net(2 * torch.randn(40, 4).double() + 1)
    return net, torch.randn(40, 4).double(), torch.randint(3, (40,))


VARIANTS = {
    Sharp(): {},
    Sharp(solver="sign"): {"solver": "sign"},
    Sharp(start="random", eps=1e-2): {"start": "random", "seed": 7},
    Sharp(loss="sum", eps=1e-2): {"gain": 20.0},
    Sharp(bn="running"): {},
    Sharp(ceiling=1.0): {},
    Sharp(space="subspace", p=5): {},
    Sharp(space="subspace", p=5, scale="unit"): {},
}


@pytest.mark.parametrize("sharp", VARIANTS, ids=lambda s: s.key)
def test_every_choice_of_a_measurement_reaches_the_search(sharp):
    net, images, labels = by_batch()
    measure = Measure(sharp=tuple(VARIANTS), images=20, batch=10)
    found = measured(net, Fixed(images, labels), measure, None, seed=7)
    f = Objective(net, images[:20], labels[:20], batch=10, bn=sharp.bn, ceiling=sharp.ceiling)
    plane = Subspace(f.n, sharp.p, seed=7, scale=sharp.scale) if sharp.space == "subspace" else None
    expected = sharpness(f, f.start(), sharp.eps, subspace=plane, **VARIANTS[sharp])
    key = measure.column(sharp)
    assert (found[key], found[f"{key}/evaluations"]) == (expected.value, expected.evaluations)


def test_running_statistics_are_used_also_of_nets_that_evaluate_by_batch():
    net, images, labels = by_batch()
    value = {
        (bn, b): Objective(net, images, labels, batch=b, bn=bn).value(Objective(net, images, labels).start())
        for bn in ("running", "batch")
        for b in (10, 40)
    }
    assert value["running", 10] == pytest.approx(value["running", 40], rel=1e-12)
    assert value["batch", 10] != pytest.approx(value["batch", 40], rel=1e-3)


def test_the_distance_is_from_the_weights_at_the_start():
    net, images, labels = by_batch()
    callback = Curvature(Measure(), net)
    with torch.no_grad():
        net[0].bias.add_(0.5)
    found = measured(net, Fixed(images, labels), callback.measure, callback.x0, 0)
    assert found["distance"] == pytest.approx(0.5 * 8**0.5)
