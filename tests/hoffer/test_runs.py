"""Training as the arms say: rates, clipping, noise, momentum, ghosts, the record of distances; and the potential."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from replications.hoffer import PAPER, experiments, method
from replications.hoffer.module import TASKS, Module
from shared import training
from shared.callbacks import Checkpoints
from shared.callbacks.diffusion import Diffusion
from shared.paper import Sweep
from shared.runs.read import read_run
from shared.spec import Execution

CPU = Execution(accelerator="cpu")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def smoke(kind: str, **changes):
    """A small residual net on digits, three epochs of 1,280 images: batch 16 or 128."""
    spec = experiments.arm("smoke", "r44", kind, 1)
    data = spec.data.model_copy(update={"train_size": 1280})
    return spec.but(**{"data": data, **changes})


def run(spec, folder, execution=CPU):
    paper = replace(PAPER, sweeps=lambda preset: (Sweep("test", "test", (spec,)),))
    status = training.run(spec, execution, folder, paper)
    home = training.run_dir(folder, spec)
    return status, home, read_run(home)


def weights(home):
    return torch.load(home / "weights.pt", weights_only=True)


def same(a, b) -> bool:
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


@pytest.fixture
def steps(monkeypatch):
    """What every update finds just before it: rate, clipped norm, whether there is momentum, weight decay."""
    seen = []
    original = Module.on_before_optimizer_step

    def watched(module, optimizer):
        original(module, optimizer)
        grads = [p.grad for p in module.net.parameters()]
        group = optimizer.param_groups[0]
        norm = float(torch.nn.utils.get_total_norm(grads))
        seen.append((group["lr"], norm, bool(optimizer.state), group["weight_decay"]))

    monkeypatch.setattr(Module, "on_before_optimizer_step", watched)
    return seen


def test_every_update_has_the_regimes_rate_and_a_clipped_gradient(tmp_path, steps):
    _, _, record = run(smoke("lr", clip=0.5, decay_until=1), tmp_path)
    rates, norms, momentum, decay = zip(*steps, strict=True)
    assert rates == pytest.approx([0.035 * math.sqrt(8)] * 20 + [0.0035 * math.sqrt(8)] * 10)
    assert max(norms) == pytest.approx(0.5, rel=1e-4)
    assert [t for t, kept in enumerate(momentum) if not kept] == [0, 10, 20]  # emptied at every epoch
    assert decay == (1e-4,) * 10 + (0.0,) * 20
    assert record.history["grad_norm"].max() > 0.5  # the record has it before clipping


def test_momentum_is_kept_where_asked_for(tmp_path, steps):
    run(smoke("lb-kept"), tmp_path)
    assert [t for t, (_, _, kept, _) in enumerate(steps) if not kept] == [0]


def test_noise_moves_the_gradient_and_leaves_the_recorded_loss_that_of_the_examples(tmp_path):
    plain, noisy = (run(smoke(kind, epochs=1, lr=0.0), tmp_path) for kind in ("lb", "noise"))
    assert smoke("noise").noise == method.noise_variance(128, 16) == 7
    for column in ("train/loss", "train/error"):  # with a rate of 0 both see the same weights
        assert noisy[2].summary[column] == pytest.approx(plain[2].summary[column], rel=1e-6)
    ratio = noisy[2].history["grad_norm"].iloc[-1] / plain[2].history["grad_norm"].iloc[-1]
    assert ratio > 1.2


def test_the_factors_have_the_declared_variance_and_are_new_at_every_update():
    spec = smoke("noise")

    def factors(update):
        trainer = SimpleNamespace(global_step=update, world_size=1, global_rank=0, accumulate_grad_batches=1,
                                  datamodule=SimpleNamespace(execution=CPU))  # fmt: skip
        return Module._factors(SimpleNamespace(spec=spec, trainer=trainer), 0)

    drawn = torch.stack([factors(k) for k in range(300)])
    assert drawn.shape == (300, 128)
    assert drawn.mean().item() == pytest.approx(1, abs=0.06)
    assert drawn.var().item() == pytest.approx(7, rel=0.05)
    assert not torch.equal(drawn[0], drawn[1])


def test_ghost_statistics_take_eight_updates_a_step(tmp_path):
    _, home, _ = run(smoke("gbn", epochs=1, lr=0.0), tmp_path)
    _, whole, _ = run(smoke("lr", epochs=1, lr=0.0), tmp_path)
    # 10 steps leave 0.9^10 = 35 % of the start's mean 0 and variance 1, 80 updates nothing
    ghost, plain = weights(home), weights(whole)
    keep = method.running_weights(80, 0.1)[0], method.running_weights(10, 0.1)[0]
    name = next(n for n in ghost if n.endswith("running_mean"))
    assert keep[0] < 1e-3 < keep[1]
    scale = ghost[name].norm() / plain[name].norm()
    assert float(scale) == pytest.approx(1 / (1 - keep[1]), rel=0.1)


def test_the_adapted_regime_makes_as_many_updates(tmp_path):
    sb, ra = run(smoke("sb"), tmp_path)[2], run(smoke("ra"), tmp_path)[2]
    assert sb.summary["updates"] == ra.summary["updates"] == 240
    assert len(ra.history.dropna(subset=["val/error"])) == len(sb.history.dropna(subset=["val/error"])) == 3
    drops = [r.history.dropna(subset=["lr"]).set_index("epoch")["lr"] for r in (sb, ra)]
    assert list(drops[1].index) == [8 * e for e in drops[0].index]
    assert drops[1].to_numpy() == pytest.approx(drops[0].to_numpy() * math.sqrt(8))


def test_the_longer_small_batch_sees_as_many_images_as_the_adapted_large_one():
    for preset in ("smoke", "reduced", "paper"):
        sb, ra, long = (experiments.arm(preset, "r44", kind, 1) for kind in ("sb", "ra", "sb-long"))
        assert (long.epochs, long.eval_every) == (ra.epochs, ra.eval_every)
        assert [e for e, _ in long.regime] == [e for e, _ in ra.regime]
        assert (long.batch_size, long.lr, long.bn_batch) == (sb.batch_size, sb.lr, sb.bn_batch)


def test_distances_are_of_the_weights_and_stand_at_log_spaced_updates(tmp_path):
    spec = smoke("sb", epochs=2, regime=((1, 0.1),))
    _, home, record = run(spec, tmp_path)
    module, _ = training.assemble(spec, CPU, PAPER)  # the weights it started from
    start, end = dict(module.net.named_parameters()), weights(home)
    squares = [float((end[name] - w.detach()).norm()) ** 2 for name, w in start.items()]
    assert record.summary["distance"] == pytest.approx(math.sqrt(sum(squares)), rel=1e-5)
    assert record.summary["distance/first"] == pytest.approx(math.sqrt(squares[0]), rel=1e-5)
    history = record.history.set_index("trainer/global_step")
    assert set(history["distance"].dropna().index) == {80, 160}
    curve = history["path/all"].dropna()
    assert tuple(curve.index) == method.log_spaced(80, 8)  # up to the first drop of the rate
    assert curve.is_monotonic_increasing
    assert curve[80] == record.summary["diffusion/all/high-lr"] == history["distance"][80]
    assert math.log(curve[80]) == record.summary["diffusion/all/ln-high-lr"]
    assert (history["path/first"].dropna() < curve).all()
    near = math.log(curve.loc[: spec.compare_at].iloc[-1])
    assert record.summary["diffusion/all/ln-common"] == pytest.approx(near, abs=0.1)


def test_a_law_that_the_distances_follow_is_found(tmp_path):
    module, _ = training.assemble(smoke("sb", epochs=16, regime=((13, 0.1),)), CPU, PAPER)
    module.configure_callbacks()
    t = np.array(method.log_spaced(13 * 80, 8))
    for law, sign in ((np.log, 1), (np.sqrt, -1)):
        module.diffusion.rows = [
            {"trainer/global_step": int(a), "path/all": 1 + law(a), "path/first": 2 * law(a)} for a in t
        ]
        row = {"epoch": 16.0, "val/error": 5.0, "distance": 1.0, "distance/first": 1.0}
        found = module.summarise([{**row, "epoch": 8.0, "val/error": 4.0}, row])
        assert (found["val/error_best"], found["val/epoch_best"]) == (4.0, 8.0)
        for name in ("all", "first"):
            assert sign * found[f"diffusion/{name}/log-over-sqrt"] > 10
        assert sign * found["diffusion/all/log-over-sqrt-early"] > 10
    assert module.summarise([]) == {}


def test_a_killed_run_resumes_bit_for_bit_with_its_distances(tmp_path, monkeypatch):
    spec = smoke("noise", momentum_reset=True)
    _, home, record = run(spec, tmp_path / "whole")
    original, calls = Module.training_step, []

    def killed(module, batch, batch_idx):
        calls.append(batch_idx)
        if len(calls) == 17:
            raise KeyboardInterrupt
        return original(module, batch, batch_idx)

    monkeypatch.setattr(Module, "training_step", killed)
    often = CPU.model_copy(update={"checkpoint_every_s": 0.0})
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(spec, tmp_path / "killed", often)
    monkeypatch.setattr(Module, "training_step", original)
    _, again, resumed = run(spec, tmp_path / "killed", often)
    assert same(weights(home), weights(again))
    columns = ["trainer/global_step", "path/all", "distance", "val/error"]
    assert resumed.history[columns].equals(record.history[columns])
    fits = {k: v for k, v in record.summary.items() if k.startswith("diffusion/")}
    assert fits
    assert fits.items() <= resumed.summary.items()


def test_micro_batches_do_not_change_a_step_with_noise(tmp_path):
    spec = smoke("noise", epochs=1, bn_batch=16, precision="64-true")
    whole = run(spec, tmp_path / "whole")
    parts = run(spec, tmp_path / "parts", CPU.model_copy(update={"micro_batch": 48}))
    for name, tensor in weights(whole[1]).items():
        assert torch.allclose(tensor, weights(parts[1])[name], rtol=1e-6, atol=1e-9), name


def test_the_potential_is_measured_around_the_start(tmp_path):
    spec = experiments.potential("smoke", "r44", 1)
    _, _, record = run(spec, tmp_path)
    assert len(record.history) == spec.potential.bins
    assert record.history["distance"].iloc[-1] <= spec.potential.reach
    found = record.summary
    near = experiments.Potential(images=200, directions=100, reach=0.1)
    _, _, close = run(spec.but(potential=near), tmp_path)
    # so close to the start the loss is its Taylor expansion: 10 directions a bin leave a spread of a quarter
    assert close.summary["potential/over-taylor"] == pytest.approx(1, abs=0.6)
    assert close.summary["potential/exponent"] == pytest.approx(1, abs=0.25)
    assert close.summary["potential/std-far"] < found["potential/std-far"]


def test_close_to_the_start_the_potential_is_its_taylor_expansion():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
    images, labels = torch.randn(50, 1, 8, 8).double(), torch.randint(10, (50,))
    around = experiments.Potential(images=50, directions=1500, reach=0.01, bins=10)
    module = SimpleNamespace(net=net, spec=SimpleNamespace(potential=around, seed=1))
    data = SimpleNamespace(plain=lambda split, n: (images[:n], labels[:n]))
    _, found = TASKS["potential"](module, data, [])
    assert found["potential/over-taylor"] == pytest.approx(1, abs=0.2)
    assert found["potential/exponent"] == pytest.approx(1, abs=0.05)


def test_a_checkpoint_has_the_distance_of_its_own_update(tmp_path, monkeypatch):
    """The fits read what rode in the checkpoint: a distance noted after it was written would be lost by a resume."""
    held = {}

    def note(self, trainer):
        diffusion = next(c for c in trainer.callbacks if isinstance(c, Diffusion))
        held[trainer.global_step] = [row["trainer/global_step"] for row in diffusion.rows]

    monkeypatch.setattr(Checkpoints, "save", note)
    run(smoke("sb", epochs=1), tmp_path, Execution(accelerator="cpu", checkpoint_every_s=0.0))
    recorded = {step for steps in held.values() for step in steps}
    assert len(recorded & set(held)) > 3
    assert all(held[step][-1] == step for step in recorded & set(held))
