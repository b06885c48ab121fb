"""Filter-normalised directions and the slices along them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from shared.curvature.objective import Objective
from shared.curvature.slices import filter_normalised, grid_1d, grid_2d


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4, 6), nn.ReLU(), nn.Linear(6, 3)
    ).double()  # fmt: skip


def parts(model: nn.Module, flat: np.ndarray) -> dict[str, torch.Tensor]:
    named = dict(model.named_parameters())
    split = torch.from_numpy(flat).split([p.numel() for p in named.values()])
    return {name: part.view_as(p) for part, (name, p) in zip(split, named.items(), strict=True)}


def test_each_filter_has_the_norm_of_the_nets_filter_and_biases_and_bn_stay():
    model = net()
    with torch.no_grad():
        model[0].weight[2] = 0
        model[1].weight.fill_(3)
    direction = parts(model, filter_normalised(model, seed=4))
    for name, p in model.named_parameters():
        if name in ("0.weight", "4.weight", "6.weight"):
            norms = direction[name].flatten(1).norm(dim=1)
            torch.testing.assert_close(norms, p.detach().flatten(1).norm(dim=1), rtol=1e-12, atol=0)
            assert direction[name].flatten(1)[0].std() > 0
        else:
            assert not direction[name].any(), name


def test_frozen_parameters_take_no_part_and_the_seed_decides():
    model = net()
    model[0].weight.requires_grad_(False)
    direction = filter_normalised(model, seed=4)
    assert len(direction) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    np.testing.assert_array_equal(direction, filter_normalised(model, seed=4))
    assert not np.allclose(direction, filter_normalised(model, seed=5))


def test_slices_do_not_depend_on_the_scale_of_the_weights():
    """What filter normalisation is for (Li et al. 2018). The layers carry no bias, so ×10 and ÷10 change nothing."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)).double()
    images, labels = torch.randn(20, 4).double(), torch.randint(3, (20,))
    rows = []
    for factor in (1, 10):
        with torch.no_grad():
            model[0].weight.mul_(factor)
            model[2].weight.div_(factor)
        objective = Objective(model, images, labels)
        rows.append(grid_1d(objective.start(), filter_normalised(model, 0), {"train": objective}, [-4, -1, 0, 1]))
    assert rows[0][0]["train/loss"] > rows[0][2]["train/loss"] + 0.1
    for one, other in zip(*rows, strict=True):
        np.testing.assert_allclose(one["train/loss"], other["train/loss"], rtol=1e-10)


def test_the_plane_holds_the_lines():
    model = net()
    objective = Objective(model, torch.randn(12, 1, 4, 4).double(), torch.randint(3, (12,)))
    x, first, second = objective.start(), filter_normalised(model, 0), filter_normalised(model, 1)
    plane = grid_2d(x, first, second, {"train": objective}, iter([-1.0, 0.0, 0.5]), [0.0, 2.0])
    assert [(row["alpha"], row["beta"]) for row in plane] == [(a, b) for b in (0, 2) for a in (-1, 0, 0.5)]
    line = grid_1d(x, first, {"train": objective}, [-1.0, 0.0, 0.5])
    assert [row["train/loss"] for row in plane[:3]] == [row["train/loss"] for row in line]
    assert plane[5]["train/loss"] == objective.value(x + 2 * second + 0.5 * first)
