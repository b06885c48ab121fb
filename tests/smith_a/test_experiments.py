"""What is declared: one start and one set of images a seed, one change a family, and sweeps that two cores can bear."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from replications.smith_a import PAPER
from replications.smith_a import experiments as e
from shared.datamodules.module import subset
from shared.spec import DataSpec, canonical, diff


def arms(preset: str = "paper") -> dict[str, object]:
    return {s.arm: s for s in PAPER.runs(preset, seeds=1).values()}


def test_the_main_run_is_the_papers():
    spec = arms()["b-30"]
    assert (spec.lr, spec.optimizer.momentum, spec.updates, spec.data.train_size) == (1.0, 0.9, 10_000, 1000)
    assert (spec.model.args["hidden"], spec.data.name, spec.data.holdout) == ("800", "mnist", 0)
    assert (spec.optimizer.momentum_form, spec.model.args["init"], spec.data.pixels) == ("averaging", "glorot", "unit")


@pytest.mark.parametrize(
    ("arm", "changed"),
    [
        ("eps-3-b-65", {"lr", "updates", "eval_every"}),
        ("n-5000-b-65", {"data.train_size"}),
        ("time-n-3000-b-65", {"data.train_size", "updates", "eval_every"}),
        ("m-0-b-45", {"optimizer.momentum", "batch_size"}),
        ("width-200-b-65", {"model.args.hidden"}),
        ("acc-m-0.975-b-65", {"optimizer.momentum", "optimizer.momentum_form", "lr"}),
        ("l2-b-30", {"optimizer.weight_decay", "eval_every", "batch_size"}),
        ("fresh-b-30", {"data.draw", "batch_size"}),
        ("epochs-b-100", {"updates", "eval_every", "batch_size"}),
    ],
)
def test_an_arm_changes_what_its_name_says_and_nothing_else(arm, changed):
    known = arms()
    assert set(diff(known["b-65"], known[arm])) == changed


def test_l2_is_on_the_summed_cost():
    assert arms()["l2-b-30"].optimizer.weight_decay == pytest.approx(0.1 / 1000)


def test_every_batch_of_a_seed_trains_on_the_same_images_and_a_larger_set_adds_to_them():
    spec = arms()["b-30"]
    first, _ = subset(60000, spec.data, seed=1)
    again, _ = subset(60000, arms()["b-1000"].data, seed=1)
    other, _ = subset(60000, spec.data, seed=2)
    larger, _ = subset(60000, arms()["n-5000-b-100"].data, seed=1)
    np.testing.assert_array_equal(first, again)
    assert len(first) == 1000
    assert set(first) <= set(larger)
    assert len(set(first) & set(other)) < 100
    held = spec.data.model_copy(update={"holdout": 10_000})
    assert not set(first) & set(subset(60000, held, seed=1)[1])


def test_a_fixed_subset_keeps_its_images_and_its_name():
    spec = DataSpec(name="mnist", train_size=100)
    np.testing.assert_array_equal(subset(1000, spec, seed=1)[0], subset(1000, spec, seed=2)[0])
    assert "subset" not in canonical(spec)
    assert "draw" not in canonical(spec)


def test_grids_around_the_peak_are_fine_enough():
    """Spacing of at most 1.6 from batch to batch, one and a half with room for whole numbers."""
    for family in e.FAMILIES.values():
        for grid in family.grids.values():
            inner = [b for b in grid if b >= 5]
            assert all(b / a <= 1.61 for a, b in itertools.pairwise(inner))
    near = [b for b in e.GRID if 10 <= b <= 100]
    assert all(b / a <= 1.55 for a, b in itertools.pairwise(near))


@pytest.mark.parametrize("preset", ["paper", "reduced", "smoke"])
def test_tasks_read_runs_of_their_own_seed_and_a_peak_reads_one_curve(preset):
    runs = PAPER.runs(preset)
    for spec in runs.values():
        parents = [runs[p] for p in spec.parents]
        assert {p.seed for p in parents} <= {spec.seed}
        if spec.task == "b-opt":
            assert {p.task for p in parents} == {"train"}
            assert [p.batch_size for p in parents] == sorted({p.batch_size for p in parents})
            same = {canonical(p.but(arm="x", batch_size=1, eval_every=1)) for p in parents}
            assert len(same) == 1
        if spec.task == "fit":
            assert {p.task for p in parents} == {"b-opt"}
            assert len(parents) >= (2 if preset == "smoke" else 3)
            assert spec.axis is not None


def test_own_scale_names_declared_sweeps_and_leaves_two_sizes_to_a_gpu():
    names = [s.name for s in PAPER.sweeps("paper")]
    assert set(names) - set(PAPER.own_scale) == {"sizes-large"}
    planned = PAPER.planned("reduced")
    assert max(s.data.train_size or 0 for s in planned.values() if s.task == "train") == 20_000
    for spec in planned.values():
        assert set(spec.parents) <= set(planned)


def test_the_curve_of_summed_momentum_at_the_main_rate_is_the_main_curve():
    """Summing at ε(1 − m) is averaging at ε, so it is trained once."""
    assert pytest.approx(1 - e.FAMILIES["acc-m"].base) == e.ACC_EPS
    assert e.curve("acc-m", 0.9, seed=1) == e.main_curve(1)
    assert (e.FAMILIES["acc-m"].base, e.FAMILIES["m"].base) == (0.9, 0.9)


@pytest.mark.parametrize("best", [1.0, 3.0])
def test_a_batch_whose_best_rate_is_the_papers_is_not_trained_again(best, monkeypatch):
    monkeypatch.setattr(e, "TUNED", {30: 1.0, 1000: best})
    runs = {s.arm: s for s in e._tuned(1)}
    assert list(runs) == ["b-30", "b-1000" if best == 1 else "tuned-b-1000"]
    assert e.roles("paper")["tuned_full"] in runs
    assert runs["b-30"] == e.paper_spec("b-30", 30, 1)
    if best == 1:
        assert runs["b-1000"] == e.paper_spec("b-1000", 1000, 1)
    else:
        assert set(diff(e.paper_spec("b-1000", 1000, 1), runs["tuned-b-1000"])) == {"lr", "eval_every"}


def test_the_chosen_convention_is_a_candidate_of_the_pilot():
    assert e.CHOSEN in e.CANDIDATES
    assert e.OTHER in e.CANDIDATES
    assert (e.CHOSEN.init, e.CHOSEN.pixels) == (e.OTHER.init, e.OTHER.pixels)
    declared = {s.arm for s in PAPER.runs("paper", sweep="pilot").values()}
    assert declared == {f"pilot-{c.name}-b-{b}" for c in e.CANDIDATES for b in e.PILOT_GRID}
