"""Ghost batch norm against the plain layer it must equal, in float64 where the comparison is exact."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from shared.models import GhostBatchNorm, flush_running_stats, set_deferred

RULES = ("first", "mean", "sequential")


def batch(samples: int, channels: int = 5, side: int = 3, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, samples + 1, dtype=dtype).view(-1, 1, 1, 1) / samples  # chunks differ
    return torch.randn(samples, channels, side, side, generator=generator, dtype=dtype) * scale + scale


def layer(**options) -> GhostBatchNorm:
    made = GhostBatchNorm(5, **options).double()
    with torch.no_grad():
        made.weight.copy_(torch.linspace(0.5, 2, 5))
        made.bias.copy_(torch.linspace(-1, 1, 5))
    return made


def gradients(module: nn.Module, chunks: list[torch.Tensor], weights: list[torch.Tensor]):
    inputs = [c.clone().requires_grad_() for c in chunks]
    outputs = [module(c) for c in inputs]
    sum((o * w).sum() for o, w in zip(outputs, weights, strict=True)).backward()
    return torch.cat(outputs), torch.cat([c.grad for c in inputs]), module.weight.grad, module.bias.grad


@pytest.mark.parametrize("samples", [12, 14, 4])  # whole chunks, a smaller last chunk, a single chunk
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_against_separate_ordinary_batches(samples, layout):
    x, w = batch(samples).contiguous(memory_format=layout), batch(samples, seed=1)
    plain = nn.BatchNorm2d(5).double()
    plain.load_state_dict(layer().state_dict())
    ours = gradients(layer(bn_batch=4), [x], [w])
    theirs = gradients(plain, list(x.split(4)), list(w.split(4)))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_differs_from_one_large_batch():
    x = batch(12)
    assert (layer(bn_batch=4)(x) - layer()(x)).abs().max() > 0.1
    torch.testing.assert_close(layer(bn_batch=None)(x), layer(bn_batch=12)(x), rtol=0, atol=0)


def test_second_derivatives():
    """Curvature measurements differentiate twice."""
    x, made = batch(4, side=2).requires_grad_(), layer(bn_batch=2)
    arguments = (x, made.weight, made.bias)
    assert torch.autograd.gradgradcheck(lambda x, *_: made(x) ** 2, arguments, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_half_precision_keeps_float32_statistics(dtype):
    x = batch(8, dtype=torch.float32).to(dtype)
    made = GhostBatchNorm(5, bn_batch=4, momentum=1.0)
    assert made(x).dtype == dtype
    torch.testing.assert_close(made.running_mean, x[:4].float().mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(made.running_var, x[:4].float().var((0, 2, 3)), rtol=1e-5, atol=1e-6)


def expected(rule: str, x: torch.Tensor, size: int, momentum: float, updates: int):
    """The rules as explicit loops."""
    mean, var = torch.zeros(5).double(), torch.ones(5).double()
    for update in x.chunk(updates):
        chunks = [(c.mean((0, 2, 3)), c.var((0, 2, 3))) for c in update.split(size)]
        if rule == "first":
            chunks = chunks[:1]
        elif rule == "mean":
            chunks = [(sum(m for m, _ in chunks) / len(chunks), sum(v for _, v in chunks) / len(chunks))]
        for m, v in chunks:
            mean, var = (1 - momentum) * mean + momentum * m, (1 - momentum) * var + momentum * v
    return mean, var


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("deferred", [False, True])
def test_running_rules_against_explicit_loops(rule, deferred):
    x = batch(24)
    made = layer(bn_batch=4, momentum=0.3, running=rule)
    set_deferred(made, deferred)
    for update in x.chunk(2):
        for part in update.split(4 if deferred else 12):  # deferral: three micro-batches make an update
            made(part)
        flush_running_stats(made)
    mean, var = expected(rule, x, 4, 0.3, updates=2)
    torch.testing.assert_close(made.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(made.running_var, var, rtol=1e-12, atol=1e-12)
    assert made.num_batches_tracked == 2


def test_rules_disagree():
    found = [expected(rule, batch(12), 4, 0.3, updates=1)[0] for rule in RULES]
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(found, found[1:] + found[:1], strict=True))


def net(rule: str = "sequential") -> nn.Module:
    torch.manual_seed(3)
    norms = [GhostBatchNorm(width, bn_batch=4, running=rule) for width in (6, 4)]
    convs = [nn.Conv2d(5, 6, 3, bias=False), nn.Conv2d(6, 4, 1, bias=False)]
    return nn.Sequential(convs[0], norms[0], nn.ReLU(), convs[1], norms[1]).double()


def test_deferral_changes_nothing_until_flushed_and_evaluation_queues_nothing():
    model = net()
    set_deferred(model, True)
    before = copy.deepcopy(model.state_dict())
    model.eval()(batch(8))
    flush_running_stats(model)  # nothing was queued
    model.train()(batch(8))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    flush_running_stats(model)
    once = copy.deepcopy(model.state_dict())
    flush_running_stats(model)  # the queue was emptied
    assert all(torch.equal(value, once[name]) for name, value in model.state_dict().items())
    assert not torch.equal(once["1.running_mean"], before["1.running_mean"])


def rank(index: int, world: int, folder: str, rule: str) -> None:
    store = f"file://{folder}/store-{rule}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=index, world_size=world)
    try:
        model = net(rule)
        set_deferred(model, True)
        for update in batch(32).chunk(2):
            for part in update.chunk(world)[index].split(4):
                model(part)
            flush_running_stats(model)
        torch.save(model.state_dict(), f"{folder}/{rule}-{index}.pt")
    finally:
        torch.distributed.destroy_process_group()


def ranks(index: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    for rule in RULES:
        rank(index, world, folder, rule)


def test_two_processes_leave_the_statistics_of_one(tmp_path):
    mp.start_processes(ranks, args=(2, str(tmp_path)), nprocs=2, start_method="fork")
    for rule in RULES:
        alone = net(rule)
        for update in batch(32).chunk(2):
            alone(update)
        for index in range(2):
            state = torch.load(tmp_path / f"{rule}-{index}.pt")
            for name, value in alone.state_dict().items():
                torch.testing.assert_close(state[name], value, rtol=1e-13, atol=1e-13, msg=f"{rule} {name}")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"bn_batch": 0}, "bn_batch"),
        ({"running": "last"}, "first, mean, sequential"),
        ({"momentum": 1.5}, "momentum"),
        ({"evaluate": "ghost"}, "running, batch"),
    ],
)
def test_bad_options_name_the_remedy(options, names):
    with pytest.raises(ValueError, match=names):
        GhostBatchNorm(5, **options)


def test_a_chunk_of_one_value_is_refused():
    vectors = torch.randn(5, 5)
    assert GhostBatchNorm(5, bn_batch=3)(vectors).shape == (5, 5)
    with pytest.raises(ValueError, match=r"bn_batch=4.*has one"):
        GhostBatchNorm(5, bn_batch=4)(vectors)


@pytest.mark.parametrize("shape", [(12, 5), (12, 5, 3, 3)])
def test_evaluation_by_batch_takes_the_whole_batch_and_moves_nothing(shape):
    x = batch(12, side=3)[:, :, 0, 0] if len(shape) == 2 else batch(12)
    made = layer(bn_batch=4, evaluate="batch").eval()
    before = copy.deepcopy(made.state_dict())
    axes = [0, *range(2, x.dim())]
    mean, var = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    sides = (1, 5) + (1,) * (x.dim() - 2)
    expected = (x - mean) / (var + made.eps).sqrt() * made.weight.view(sides) + made.bias.view(sides)
    torch.testing.assert_close(made(x), expected, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize("deferred", [False, True])
def test_training_is_the_same_whatever_evaluation_uses(deferred):
    x, states = batch(12), []
    for evaluate in ("running", "batch"):
        made = layer(bn_batch=4, evaluate=evaluate, running="mean")
        set_deferred(made, deferred)
        output = made(x)
        flush_running_stats(made)
        states.append([output, made.running_mean, made.running_var, made.num_batches_tracked])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert states[0][1].any()


def test_an_evaluation_batch_of_one_value_is_refused():
    made = GhostBatchNorm(5, evaluate="batch").eval()
    assert made(torch.randn(1, 5, 2, 1)).shape == (1, 5, 2, 1)
    with pytest.raises(ValueError, match="has one: evaluate in larger batches"):
        made(torch.randn(1, 5))


def test_second_derivatives_in_evaluation_by_batch():
    x, made = batch(4, side=2).requires_grad_(), layer(evaluate="batch").eval()
    assert torch.autograd.gradgradcheck(lambda x, *_: made(x) ** 2, (x, made.weight, made.bias), fast_mode=True)
