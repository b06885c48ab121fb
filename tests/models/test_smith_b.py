"""The nets of Smith et al. 2018: their published sizes, and what their blocks compute."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shared.models import GhostBatchNorm, build
from shared.models.inception import Residual
from shared.spec import ModelSpec, SpecError


def net(name: str, shape=(3, 32, 32), classes: int = 10, **args) -> nn.Module:
    torch.manual_seed(0)
    return build(ModelSpec(name=name, args=args), classes, shape, bn_batch=4)


@pytest.mark.parametrize(("args", "parameters"), [({}, 2_748_890), ({"depth": 28, "k": 10}, 36_479_194)])
def test_wide_nets_have_the_published_size(args, parameters):
    """2.7 and 36.5 million: Zagoruyko and Komodakis 2016, Table 4."""
    with torch.device("meta"):
        made = net("wide-resnet", **args)
    assert sum(p.numel() for p in made.parameters()) == parameters
    assert len([m for m in made.modules() if isinstance(m, nn.Conv2d)]) == args.get("depth", 16)
    assert made.blocks[0].conv1.out_channels == 16 * args.get("k", 4)


def test_a_wide_block_normalises_before_it_convolves():
    made = net("wide-resnet", depth=10, k=2, width=4).double()
    kept, changed = net("wide-resnet", depth=16, k=1, width=4).double().blocks[1], made.blocks[1]
    x = torch.randn(4, 4, 8, 8, dtype=torch.float64)
    a = F.relu(F.batch_norm(x, None, None, training=True))
    inner = F.relu(F.batch_norm(kept.conv1(a), None, None, training=True))
    torch.testing.assert_close(kept(x), x + kept.conv2(inner))
    x = torch.randn(4, 8, 8, 8, dtype=torch.float64)
    a = F.relu(F.batch_norm(x, None, None, training=True))
    inner = F.relu(F.batch_norm(changed.conv1(a), None, None, training=True))
    torch.testing.assert_close(changed(x), changed.shortcut(a) + changed.conv2(inner))
    assert changed(x).shape == (4, 16, 4, 4)


@pytest.mark.parametrize(("args", "says"), [({"depth": 18}, "6n"), ({"k": 0}, "k must be at least 1")])
def test_bad_wide_nets_are_refused(args, says):
    with pytest.raises(SpecError, match=says):
        net("wide-resnet", **args)


def test_inception_resnet_has_the_published_size():
    """55,813,192 trained weights and 60,544 running averages, as in Keras' port of the authors' code."""
    with torch.device("meta"):
        made = net("inception-resnet-v2", (3, 299, 299), 1000)
        stages = [made.features[: i + 1](torch.empty(2, 3, 299, 299)).shape for i in (0, 1, 12, 33)]
        logits = made(torch.empty(2, 3, 224, 224))
    assert sum(p.numel() for p in made.parameters()) == 55_813_192
    assert sum(b.numel() for n, b in made.named_buffers() if n.endswith(("running_mean", "running_var"))) == 60_544
    assert [tuple(s[1:]) for s in stages] == [(192, 35, 35), (320, 35, 35), (1088, 17, 17), (2080, 8, 8)]
    assert logits.shape == (2, 1000)
    norms = [m for m in made.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(isinstance(m, GhostBatchNorm) and (m.bn_batch, m.eps) == (4, 1e-3) for m in norms)


def test_inception_blocks_add_a_scaled_residual():
    torch.manual_seed(0)
    made = net("inception-resnet-v2", (3, 75, 75))
    blocks = [m for m in made.features if isinstance(m, Residual)]
    assert [b.scale for b in blocks] == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [1.0]
    block, x = blocks[0], torch.randn(4, 320, 5, 5)
    torch.testing.assert_close(block(x), F.relu(x + 0.17 * block.conv(block.branches(x))))
    assert [b.relu for b in blocks] == [True] * 39 + [False]
    assert made(torch.randn(4, 3, 75, 75)).shape == (4, 10)
