"""Precise BN: the recomputed statistics, and that nothing of it stays."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from shared.models import GhostBatchNorm, flush_running_stats, precise_bn, set_deferred


def net() -> nn.Sequential:
    torch.manual_seed(0)
    first, second = (GhostBatchNorm(width, bn_batch=4, momentum=0.1) for width in (3, 2))
    return nn.Sequential(first, nn.Conv2d(3, 2, 1, bias=False), nn.Dropout(0.5), second).double()


def images(samples: int) -> torch.Tensor:
    return torch.randn(samples, 3, 4, 4, dtype=torch.float64) * 3 + 2


@pytest.mark.parametrize("packed", [False, True])
def test_statistics_are_averages_over_the_chunks(packed):
    model, x = net(), images(24)
    batches = [(b, 0) for b in x.split(8)] if packed else x.split(8)
    with precise_bn(model, batches):
        chunks = x.split(4)
        mean = torch.stack([c.mean((0, 2, 3)) for c in chunks]).mean(0)
        var = torch.stack([c.var((0, 2, 3)) for c in chunks]).mean(0)
        torch.testing.assert_close(model[0].running_mean, mean)
        torch.testing.assert_close(model[0].running_var, var)
        # the second layer sees batch-normalised input, and no dropout
        hidden = model[1](torch.cat([nn.functional.batch_norm(c, None, None, training=True) for c in chunks]))
        torch.testing.assert_close(model[3].running_mean, hidden.mean((0, 2, 3)))
        assert not any(m.training for m in model.modules())


@pytest.mark.parametrize("deferred", [False, True])
def test_everything_is_restored_also_after_an_error(deferred):
    model = net().train()
    set_deferred(model, deferred)
    model(images(8))
    before, twin = copy.deepcopy(model.state_dict()), copy.deepcopy(model)

    def fail_inside():
        with precise_bn(model, [images(8)]):
            assert not torch.equal(model[0].running_mean, before["0.running_mean"])
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(m.training for m in model.modules())
    for each in (model, twin):  # what was queued before still waits for its flush, and nothing else does
        flush_running_stats(each)
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in model.state_dict().items())


def test_no_batches_is_an_error_that_leaves_the_net_alone():
    model = net()
    with pytest.raises(ValueError, match="at least one batch"), precise_bn(model, []):
        pass
    assert model.training
    assert torch.equal(model[0].running_mean, torch.zeros(3).double())


def test_nets_that_evaluate_by_batch_are_refused():
    model = net()
    model[3].evaluate = "batch"
    with pytest.raises(ValueError, match="bn_eval='batch' never reads"), precise_bn(model, [images(8)]):
        pass
    assert model.training
