"""What a run's summary says, Figure 9's gradients, and the tasks that read finished runs, end to end on digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from replications.smith_a import PAPER, method
from replications.smith_a.module import Module, _held_out, one_weight, shape
from shared.datamodules import make_datamodule
from shared.models import build
from shared.runs.read import read_run
from shared.spec import Execution, ModelSpec, parse
from shared.workflow.suite import run_dir


def net(seed: int = 0) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return build(ModelSpec(name="mlp", args={"hidden": "16", "init": "glorot"}), 10, (1, 8, 8))


def module(updates: int = 1000, every: int = 50) -> Module:
    spec = next(iter(PAPER.runs("paper").values())).but(updates=updates, eval_every=every)
    return Module(spec, net(), steps_per_epoch=10)


def rows(errors: dict[int, float], loss: float = 1.0) -> list[dict[str, float]]:
    return [{"trainer/global_step": u, "val/error": e, "val/loss": loss} for u, e in errors.items()]


# -- the end of a run


def test_end_values_are_means_over_the_last_fifth_however_finely_it_was_evaluated():
    coarse = {u: 50.0 - u / 50 for u in range(50, 1001, 50)}
    fine = {u: coarse.get(u, 99.0) for u in range(10, 1001, 10)}
    found = [module(every=every).summarise(rows(errors)) for every, errors in ((50, coarse), (10, fine))]
    assert found[0]["end/error"] == pytest.approx(np.mean([coarse[u] for u in (800, 900, 1000)]))
    assert found[0]["end/error"] == found[1]["end/error"]
    assert found[0]["end/accuracy"] == pytest.approx(100 - found[0]["end/error"])
    assert found[0]["error@500"] == coarse[500]
    assert "error@5000" not in found[0]


def test_rise_of_the_loss_and_time_to_converge():
    made = rows(dict.fromkeys(range(50, 1001, 50), 10.0))
    for row, loss in zip(made, np.linspace(0.5, 2.4, 20), strict=True):
        row["val/loss"] = loss
    made[0]["val/error"], made[1]["val/error"], made[2]["val/error"] = 60.0, 10.6, 10.4
    found = module().summarise(made)
    assert found["end/converged_at"] == 150
    assert found["end/loss_min"] == pytest.approx(0.55), "mean of a tenth of the evaluations: two"
    assert found["end/loss_rise"] == pytest.approx((2.3 + 2.4) / 2 - 0.55)
    assert found["end/trained"] == 1


def test_a_loss_that_only_jitters_does_not_rise():
    """Against its lowest evaluation the end of such a run stands more than A8's hundredth of a nat above."""
    noise = 0.5 + np.random.default_rng(0).normal(0, 0.004, 100)
    made = rows(dict.fromkeys(range(10, 1001, 10), 10.0))
    for row, loss in zip(made, noise, strict=True):
        row["val/loss"] = loss
    found = module(every=10).summarise(made)
    assert found["end/loss"] - noise.min() > 0.01
    assert 0 <= found["end/loss_rise"] < 0.005


@pytest.mark.parametrize("how", ["stopped", "never evaluated", "infinite at the end"])
def test_a_diverged_run_stands_at_chance_level_and_has_no_loss(how):
    made = rows({u: 20.0 for u in range(50, 1001, 50)})
    made = {"stopped": made[:7], "never evaluated": [], "infinite at the end": made}[how]
    if how.startswith("infinite"):
        made[-1]["val/loss"] = math.nan
    found = module().summarise(made)
    assert (found["end/error"], found["end/accuracy"], found["end/trained"]) == (90.0, 10.0, 0.0)
    assert "end/loss" not in found


# -- Figure 9


def test_one_weight_is_the_gradient_of_one_element_of_the_softmax_matrix():
    made, images, labels = net(), torch.rand(12, 1, 8, 8), torch.arange(12) % 10
    found = one_weight(made, images, labels, seed=3)
    every = []
    for i in range(12):
        made.zero_grad()
        F.cross_entropy(made(images[i : i + 1]), labels[i : i + 1]).backward()
        every.append(made[-1].weight.grad.clone())
    matches = (torch.stack(every) - torch.from_numpy(found).float()[:, None, None]).abs().amax(0) < 1e-6
    assert matches.any()
    assert np.abs(found).max() > 0
    assert not np.allclose(found, one_weight(made, images, labels, seed=4))
    assert made[-1].weight.dtype == torch.float32


def test_shape_tells_a_normal_sample_from_another():
    rng = np.random.default_rng(0)
    normal, double = shape(rng.normal(3, 2, 5000)), shape(np.sign(rng.normal(0, 1, 5000)) + rng.normal(0, 0.1, 5000))
    assert normal["ks"] < 0.02 < 0.2 < double["ks"]
    assert abs(normal["kurtosis"]) < 0.2
    assert double["kurtosis"] < -1
    assert abs(normal["skew"]) < 0.1


# -- tasks on finished runs


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Every smoke run of seed 1, by way of the one task that needs them all."""
    from shared import training

    folder = tmp_path_factory.mktemp("results")
    wanted = [s for s in PAPER.planned("smoke", seeds=1).values() if s.task != "train"]
    for spec in wanted:
        assert training.run(spec, Execution(accelerator="cpu"), folder, PAPER) == "finished"
    return folder


def summary(results, arm: str) -> dict[str, float]:
    spec = next(s for s in PAPER.runs("smoke", seeds=1).values() if s.arm == arm)
    assert parse(PAPER.spec, (run_dir(results, spec) / "spec.json").read_text()) == spec
    return read_run(run_dir(results, spec)).summary


def test_b_opt_is_the_peak_of_its_parents(results):
    grid = (10, 30, 100, 1000)
    errors = {b: summary(results, f"b-{b}")["end/error"] for b in grid}
    found = summary(results, "bopt-n-1000")
    best = min(grid, key=lambda b: errors[b])
    assert found["b_opt"] == best
    assert found["peak/error"] == pytest.approx(errors[best])
    assert found["peak/gain"] == pytest.approx(errors[1000] - errors[best])
    assert found["noise_scale"] == pytest.approx(method.noise_scale(1.0, 1000, best, 0.9, averaging=True))
    assert found["held_out/error"] == pytest.approx(errors[int(found["held_out/b_opt"])])


def test_measurements_of_their_own_are_recorded(results):
    true, random = (summary(results, f"evidence-{labels}") for labels in ("true", "random"))
    assert true["evidence_min"] < random["evidence_min"]
    found = summary(results, "gradient-histogram")
    assert found["batch/ks"] < found["example/ks"]
    drawn = next(s for s in PAPER.runs("smoke", seeds=1).values() if s.arm == "gradient-histogram")
    bins = read_run(run_dir(results, drawn)).history
    for name in ("example/density", "batch/density"):
        assert bins[name].sum() * (bins["gradient"][1] - bins["gradient"][0]) == pytest.approx(1)
    spec = next(s for s in PAPER.runs("smoke", seeds=1).values() if s.arm == "evidence-true")
    curve = read_run(run_dir(results, spec)).history
    assert list(curve["lambda"]) == pytest.approx(list(np.logspace(-3, 3, 5)))


def test_held_out_images_are_none_that_the_run_trains_on():
    spec = next(s for s in PAPER.runs("smoke").values() if s.arm == "b-10" and s.seed == 2)
    data = make_datamodule(spec, Execution(accelerator="cpu"))
    trained = {x.numpy().tobytes() for x in data.plain("train")[0]}
    held = {x.numpy().tobytes() for x in _held_out(spec.but(held_out=400), data)[0]}
    assert len(held) > 390
    assert not held & trained
