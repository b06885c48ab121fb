from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from replications.you import checks, method
from shared.models import build
from shared.spec import ModelSpec


def test_alexnet_bn_starts_with_the_norms_that_table_2_prints():
    torch.manual_seed(0)
    net = build(ModelSpec(name="alexnet-bn"), 1000, (3, 224, 224))
    for name, tensor in net.named_parameters():
        shown = checks.printed("table2", "alexnet-bn-norms", f"weight_norm/{name}")
        assert tensor.norm().item() == pytest.approx(shown, rel=0.015), name  # conv1's varies by 0.4 % over seeds


def test_every_printed_number_was_read_in_the_paper():
    for file in sorted((Path(checks.__file__).parent / "reference").glob("*.csv")):
        with file.open(newline="") as lines:
            assert {row["tag"] for row in csv.DictReader(lines)} <= {"V", "V2"}, file.name


NORMS, ACCURACY, PLOTTED = "alexnet-bn-norms", "val/accuracy", "plotted/accuracy"
CORRECTED = [
    ("initial_norms", NORMS, "weight_norm/conv1.weight", "0.098"),
    ("initial_norms", NORMS, "weight_norm/fc8.bias", "20.2"),
    ("initial_norms", NORMS, "norm_ratio/fc6.bias", "117"),
    ("initial_norms", NORMS, "gradient_norm/conv5.bias", "0.0023"),
    ("linear_scaling", "alexnet-8k-lr-0.05", ACCURACY, "45.0"),
    ("linear_scaling", "alexnet-bn-8k-lr-0.41", ACCURACY, "58.1"),
    ("misprints", "alexnet-bn-32k-lars", ACCURACY, "57.6"),
    ("misprints", "alexnet-bn-512-lr-0.02", PLOTTED, "60.2"),
    ("plateau_and_cap", "alexnet-bn-32k-lars-lr-30", PLOTTED, "57.0"),
    ("plateau_and_cap", "alexnet-bn-8k-lars", "local_rate/conv5.weight", "2.0"),
]


@pytest.mark.parametrize(("name", "arm", "metric", "mean"), CORRECTED)
def test_a_case_fails_when_the_number_is_another(reprinted, name, arm, metric, mean):
    reprinted(arm, metric, mean)
    assert not all(holds for _, holds in getattr(checks, name)())


def norm_of_sum(w, v, gradient, lr, *, momentum=0.9, weight_decay=0.0, trust=0.001, lr_in_momentum=True):
    """As SimCLR and optax have it: the trust ratio divides by ‖∇L + βw‖."""
    g = gradient + weight_decay * w
    return method.lars_step(w, v, g, lr, momentum=momentum, trust=trust, lr_in_momentum=lr_in_momentum)


def outside(w, v, gradient, lr, **options):
    return STEP(w, v, gradient, lr, **{**options, "lr_in_momentum": False})


def plain(w, v, gradient, lr, *, trust=0.001, weight_decay=0.0, **options):
    return w - lr * trust * (gradient + weight_decay * w), v


def no_decay(w, v, gradient, lr, **options):
    return STEP(w, v, gradient, lr, **{**options, "weight_decay": 0.0})


STEP, RATE = method.lars_step, method.learning_rate
DEFECTS = [
    ("trust_ratio", checks, "lars_step", norm_of_sum),
    ("trust_ratio", checks, "lars_step", plain),
    ("trust_ratio", checks, "lars_step", no_decay),
    ("momentum_placement", checks, "lars_step", outside),
    ("weight_growth", checks, "lars_step", plain),
    ("weight_growth", method, "largest_norm", lambda norm, rates: norm * np.exp(0.001 * sum(rates))),
    ("schedule", method, "learning_rate", lambda t, **kw: RATE(t, **{**kw, "jump": False})),
    ("schedule", method, "learning_rate", lambda t, **kw: RATE(t, **{**kw, "power": 1.0})),
    ("schedule", method, "learning_rate", lambda t, **kw: RATE(t, **{**kw, "warmup_lr": 0.0})),
    ("schedule", method, "iterations", lambda images, batch, epochs: images // batch * epochs),
    ("initial_norms", method, "gaussian_norm", lambda std, count: std * count),
    ("linear_scaling", method, "scaled_lr", lambda lr, batch, base: lr * (batch / base) ** 0.5),
]


@pytest.mark.parametrize(("name", "where", "what", "defect"), DEFECTS)
def test_a_method_with_a_known_defect_fails(monkeypatch, name, where, what, defect):
    monkeypatch.setattr(where, what, defect)
    assert not all(holds for _, holds in getattr(checks, name)())
