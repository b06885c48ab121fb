"""The loss as a function of the weights: values, derivatives, batch norm modes, and that the net stays as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shared.curvature.objective import CurvatureError, Objective
from shared.models import GhostBatchNorm, set_deferred


def conv(norm=lambda: GhostBatchNorm(3)) -> nn.Sequential:
    """A net with a convolution, ``norm`` and dropout, its running statistics away from those of the data."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3), norm(), nn.Softplus(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 4)]
    net = nn.Sequential(*layers).double()
    for _ in range(3):
        net(3 * torch.randn(6, 2, 4, 4).double() + 1)
    return net


def data(samples: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(samples, 2, 4, 4, generator=generator, dtype=torch.float64)
    return images, torch.randint(4, (samples,), generator=generator)


NORMS = {
    "ghost": lambda: GhostBatchNorm(3),
    "chunks": lambda: GhostBatchNorm(3, bn_batch=2),
    "torch": lambda: nn.BatchNorm2d(3),
    "none": nn.Identity,
}


def by_hand(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, batch: int, bn: str) -> float:
    net = copy.deepcopy(net).eval()
    net[1].train(bn == "batch")
    total = 0.0
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        total += F.cross_entropy(net(x), y, reduction="sum").item()
    return total / len(images)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bn", ["batch", "running"])
def test_value_is_the_mean_loss_over_all_images_with_dropout_off(norm, bn):
    net, (images, labels) = conv(NORMS[norm]), data()
    objective = Objective(net, images, labels, batch=4, bn=bn)
    assert objective.value(objective.start()) == pytest.approx(by_hand(net, images, labels, 4, bn), rel=1e-12)


def test_batch_norm_modes_and_evaluation_batches_are_different_functions():
    net, (images, labels) = conv(), data()
    x = Objective(net, images, labels).start()
    values = [
        Objective(net, images, labels, batch=batch, bn=bn).value(x)
        for batch, bn in ((10, "batch"), (4, "batch"), (10, "running"), (4, "running"))
    ]
    assert values[2] == pytest.approx(values[3], rel=1e-12)
    assert len({round(v, 6) for v in values}) == 3


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bn", ["batch", "running"])
def test_gradient_and_hessian_product_agree_with_differences(norm, bn):
    objective = Objective(conv(NORMS[norm]), *data(), batch=4, bn=bn)
    x, rng = objective.start(), np.random.default_rng(0)
    value, gradient = objective.value_and_gradient(x)
    assert value == pytest.approx(objective.value(x), rel=1e-12)
    for _ in range(3):
        v = rng.standard_normal(objective.n)
        ahead, behind = (objective.value_and_gradient(x + h * v) for h in (1e-5, -1e-5))
        assert gradient @ v == pytest.approx((ahead[0] - behind[0]) / 2e-5, rel=1e-6, abs=1e-8)
        product = objective.hessian_vector(x, v)
        np.testing.assert_allclose(product, (ahead[1] - behind[1]) / 2e-5, rtol=1e-5, atol=1e-7)


def test_float32_nets_give_float64_sums_close_to_the_exact_ones():
    net, (images, labels) = conv(), data(200)
    exact = Objective(net, images, labels, batch=50)
    rounded = Objective(copy.deepcopy(net).float(), images.float(), labels, batch=50)
    x = exact.start()
    with torch.autocast("cpu", torch.bfloat16):  # as around a step of mixed-precision training
        value, gradient = rounded.value_and_gradient(x)
    assert gradient.dtype == np.float64
    assert value == pytest.approx(exact.value(x), rel=1e-6)
    np.testing.assert_allclose(gradient, exact.value_and_gradient(x)[1], atol=1e-6)


def test_a_well_fitted_image_keeps_its_loss_and_gradient_in_float32():
    net = nn.Linear(1, 2, bias=False)
    objective = Objective(net, torch.ones(1, 1), torch.zeros(1, dtype=torch.int64))
    value, gradient = objective.value_and_gradient(np.array([10.0, -10.0]))
    assert value == pytest.approx(np.exp(-20), rel=1e-6)
    np.testing.assert_allclose(gradient, [-np.exp(-20), np.exp(-20)], rtol=1e-6)


def test_the_ceiling_bounds_each_image_and_stops_its_gradient():
    net = nn.Linear(1, 2, bias=False).double()
    images, labels = torch.tensor([[1.0], [-0.1]], dtype=torch.float64), torch.tensor([1, 1])
    x = np.array([20.0, -20.0])  # losses 40 and ln(1 + e^-4)
    small = np.log1p(np.exp(-4))
    free, capped = (Objective(net, images, labels, ceiling=c) for c in (None, 16.118))
    assert free.value(x) == pytest.approx((40 + small) / 2)
    value, gradient = capped.value_and_gradient(x)
    assert value == pytest.approx((16.118 + small) / 2)
    np.testing.assert_allclose(gradient, Objective(net, images[1:], labels[1:]).value_and_gradient(x)[1] / 2)
    assert capped.score(x) == (value, 50.0)


@pytest.mark.parametrize("surrounding", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bn", ["batch", "running"])
def test_the_net_stays_as_it_was(bn, norm, surrounding):
    net, (images, labels) = conv(NORMS[norm]), data()
    set_deferred(net, True)
    F.cross_entropy(net(images), labels).backward()
    net[0].eval()
    before = copy.deepcopy(net)
    grads = [p.grad.clone() for p in net.parameters()]
    random, queued = torch.get_rng_state(), [len(m._queue) for m in net.modules() if isinstance(m, GhostBatchNorm)]
    with surrounding():
        objective = Objective(net, images, labels, batch=4, bn=bn, dropout=True)
        x = objective.start() + 1
        for result in (objective.value(x), objective.score(x), objective.value_and_gradient(x)):
            assert result
        objective.hessian_vector(x, x)
        with pytest.raises(CurvatureError):
            objective.check(x)
        with pytest.raises(RuntimeError):
            Objective(net, images[:, :1], labels).value(x)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), grads, strict=True))
    assert [m.training for m in net.modules()] == [m.training for m in before.modules()]
    assert torch.equal(torch.get_rng_state(), random)
    ghosts = [m for m in net.modules() if isinstance(m, GhostBatchNorm)]
    assert [len(m._queue) for m in ghosts] == queued
    assert all(m.deferred for m in ghosts)


def test_check_refuses_dropout_and_divergence_and_accepts_the_rest():
    net, (images, labels) = conv(), data()
    x = Objective(net, images, labels).start()
    Objective(net, images, labels).check(x)
    with pytest.raises(CurvatureError, match="dropout"):
        Objective(net, images, labels, dropout=True).check(x)
    with pytest.raises(CurvatureError, match="diverged"):
        Objective(net, images, labels).check(x * np.nan)


def test_weights_are_the_trainable_ones_in_order_and_passes_are_counted():
    net, (images, labels) = conv(), data()
    net[0].weight.requires_grad_(False)
    objective = Objective(net, images, labels)
    expected = [p.detach().numpy().ravel() for p in net.parameters() if p.requires_grad]
    np.testing.assert_array_equal(objective.start(), np.concatenate(expected))
    x = objective.start()
    objective.value(x), objective.score(x), objective.value_and_gradient(x), objective.hessian_vector(x, x)
    assert objective.evaluations == 4
    objective.check(x)
    assert objective.evaluations == 6


def test_weights_in_another_memory_format_are_the_same_vector():
    net, (images, labels) = conv(), data()
    plain = Objective(net, images, labels)
    x = plain.start()
    other = Objective(copy.deepcopy(net).to(memory_format=torch.channels_last), images, labels)
    np.testing.assert_array_equal(other.start(), x)
    np.testing.assert_allclose(other.value_and_gradient(x)[1], plain.value_and_gradient(x)[1], atol=1e-12)


def test_a_gpu_computes_in_full_precision_while_it_is_measured():
    class Spy(nn.Flatten):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision))
            return super().forward(x)

    seen, unit = [], torch.backends.cudnn.conv
    f = Objective(nn.Sequential(Spy(), nn.Linear(32, 4).double()), *data())
    before = unit.fp32_precision
    try:
        unit.fp32_precision = "tf32"
        f.value_and_gradient(f.start())
        assert unit.fp32_precision == "tf32"
    finally:
        unit.fp32_precision = before
    assert seen == [("ieee", "ieee")]


class Narrowed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float()


def test_weights_of_several_precisions_keep_the_widest():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(32, 5).double(), Narrowed(), nn.Linear(5, 4))
    images, labels = data()
    f = Objective(net, images, labels)
    x = f.start()
    assert f.value(x) == pytest.approx(F.cross_entropy(net(images).double(), labels).item(), rel=1e-12)
    x[0] += 1e-10  # float32 would lose it
    assert f._weights(x)[0].item() == x[0]
    assert f.value_and_gradient(x)[1].shape == x.shape


def test_what_cannot_be_measured_is_refused():
    net, (images, labels) = conv(), data()
    for arguments, word in (
        ((images, labels[1:], {}), "9 labels"),
        ((images[:0], labels[:0], {}), "at least one"),
        ((images, labels, {"bn": "train"}), "batch, running"),
        ((images, labels, {"batch": 0}), "batch=0"),
    ):
        with pytest.raises(CurvatureError, match=word):
            Objective(net, *arguments[:2], **arguments[2])
    with pytest.raises(CurvatureError, match="leave one image alone"):
        Objective(net, images[:9], labels[:9], batch=4)
    assert Objective(net, images[:9], labels[:9], batch=4, bn="running").n
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(CurvatureError, match="float32"):
            Objective(conv().to(dtype), images.to(dtype), labels)
    with pytest.raises(CurvatureError, match="trainable weights, but"):
        Objective(net, images, labels).value(np.zeros(3))
    with pytest.raises(CurvatureError, match="requires_grad"):
        Objective(net.requires_grad_(False), images, labels)
