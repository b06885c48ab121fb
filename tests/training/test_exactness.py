"""How a run is executed must not change it: ranks, micro-batches, kills and resumes give the same weights."""

from __future__ import annotations

import multiprocessing
import signal

import pytest
import torch

from shared import training
from shared.runs.read import read_run
from shared.spec import Execution, ModelSpec
from tests.training import runs

CPU = {"accelerator": "cpu"}


@pytest.mark.parametrize("net", ["bn-free", "ghost-bn"])
@pytest.mark.parametrize(
    "execution",
    [
        Execution(**CPU, micro_batch=16),
        Execution(**CPU, devices=2, strategy="ddp_fork"),
        Execution(**CPU, devices=2, micro_batch=16, strategy="ddp_fork"),
    ],
    ids=["accumulation", "two ranks", "two ranks that accumulate"],
)
def test_execution_does_not_change_the_result(net, execution, tmp_path):
    made = runs.spec(net, precision="64-true", epochs=2)
    plain = runs.fit(made, Execution(**CPU), tmp_path / "plain.pt")
    split = runs.fit(made, execution, tmp_path / "split.pt")
    assert plain.keys() == split.keys()
    for name, value in plain.items():
        torch.testing.assert_close(split[name], value, rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")


def _in_child(*args) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.runs"])
    child = context.Process(target=runs.train, args=args)
    child.start()
    child.join(120)
    return child.exitcode


@pytest.mark.parametrize(
    ("die", "length"),
    [
        ("step:10", {}),
        ("epoch-end", {}),
        ("writing", {}),
        ("term:10", {}),
        ("step:10", {"epochs": None, "updates": 20, "eval_every": 5}),
        ("step:8", {"epochs": None, "updates": 20, "eval_every": 5}),
    ],
)
def test_a_killed_run_resumes_to_the_same_bits(die, length, tmp_path):
    made = runs.spec(**length)
    assert _in_child(made, str(tmp_path / "whole")) == 0
    assert _in_child(made, str(tmp_path / "killed"), die) == (1 if die == "term:10" else -signal.SIGKILL)
    folder = training.run_dir(tmp_path / "killed", made)
    assert not (folder / "done.json").exists()
    assert not read_run(folder).finished
    assert (folder / "checkpoints" / "last.ckpt").exists()
    assert _in_child(made, str(tmp_path / "killed")) == 0
    whole = training.run_dir(tmp_path / "whole", made)
    weights, resumed = torch.load(whole / "weights.pt"), torch.load(folder / "weights.pt")
    assert all(torch.equal(weights[k], resumed[k]) for k in weights)
    same = ["trainer/global_step", "train/loss", "train/error", "val/loss", "val/error", "grad_norm", "weight_norm"]
    assert read_run(folder).history[same].equals(read_run(whole).history[same])


def test_a_damaged_checkpoint_costs_only_the_work_since_the_one_before(tmp_path):
    made = runs.spec()
    assert _in_child(made, str(tmp_path / "whole")) == 0
    assert _in_child(made, str(tmp_path / "killed"), "step:10") == -signal.SIGKILL
    folder = training.run_dir(tmp_path / "killed", made)
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert _in_child(made, str(tmp_path / "killed"), "step:12") == -signal.SIGKILL
    assert (folder / "checkpoints" / "last.corrupt").exists()
    assert _in_child(made, str(tmp_path / "killed")) == 0
    whole = torch.load(training.run_dir(tmp_path / "whole", made) / "weights.pt")
    resumed = torch.load(folder / "weights.pt")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_net_with_dropout_resumes_to_the_same_bits(tmp_path):
    args = {"normalise": "none", "width": 2, "hidden": 16, "stem_stride": 1}
    made = runs.spec("bn-free", model=ModelSpec(name="alexnet-small", args=args))
    assert _in_child(made, str(tmp_path / "whole")) == 0
    assert _in_child(made, str(tmp_path / "killed"), "step:10") != 0
    assert _in_child(made, str(tmp_path / "killed")) == 0
    a, b = (torch.load(training.run_dir(tmp_path / name, made) / "weights.pt") for name in ("whole", "killed"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def _masks(folder, execution, disturb: bool) -> list[list[torch.Tensor]]:
    """By rank what the first dropout keeps of each batch in turn; ``disturb`` draws from torch's generator between."""
    args = {"normalise": "none", "width": 2, "hidden": 16, "stem_stride": 1}
    made = runs.spec("bn-free", model=ModelSpec(name="alexnet-small", args=args), epochs=2)
    folder.mkdir()
    runs.kept_by_dropout(made, execution, folder, disturb)
    return [torch.load(folder / f"{rank}.pt") for rank in range(execution.devices)]


def test_ranks_drop_units_of_their_own_whatever_was_drawn_before(tmp_path):
    """So that a resumed run needs the generator of no rank and of no device."""
    two = Execution(**CPU, devices=2, strategy="ddp_fork")
    first, second = _masks(tmp_path / "a", two, disturb=False)
    assert len(first) == len(second) == 14
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len({mask.numpy().tobytes() for mask in first}) == 14
    again = _masks(tmp_path / "b", two, disturb=True)
    assert all(torch.equal(a, b) for a, b in zip(first + second, again[0] + again[1], strict=True))


def test_a_loss_that_was_lost_before_a_kill_is_still_lost_after_it(tmp_path):
    """Killed when all is trained and saved, and nothing recorded: no batch is left in which to find it again."""
    made = runs.spec("bn-free", lr=1e30, epochs=1)
    assert _in_child(made, str(tmp_path), "step:7") == -signal.SIGKILL
    assert _in_child(made, str(tmp_path)) == 0
    summary = read_run(training.run_dir(tmp_path, made)).summary
    assert (summary["status"], summary["val/error"]) == ("diverged", 90)
