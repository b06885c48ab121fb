from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import PAPER, PAPERS, spec

from replications.smith_a import PAPER as SMITH
from shared.spec import Execution, SpecError
from shared.workflow import plan as planning
from shared.workflow.plan import Plan, Task, choose, makespan, pack
from shared.workflow.suite import EngineError, Suite


def task(seed: int, seconds: float | None, done: bool = False) -> Task:
    return Task(spec("toy", "a", seed, "reduced"), "grid", done, seconds)


costs = st.lists(st.floats(0.1, 5000), min_size=1, max_size=60)


@given(costs=costs, jobs=st.integers(1, 9), limit=st.floats(1, 1000))
def test_packs_hold_every_run_once_and_start_with_the_longest(costs, jobs, limit):
    packs = pack([task(i, c) for i, c in enumerate(costs)], jobs, limit)
    assert sorted(t.spec.seed for p in packs for t in p.tasks) == list(range(len(costs)))
    assert all(p.tasks for p in packs)
    lengths = [p.seconds for p in packs]
    assert lengths == sorted(lengths, reverse=True)
    assert len(packs) >= min(jobs, len(costs))


@given(costs=costs, jobs=st.integers(1, 9), limit=st.floats(1, 1000))
def test_packs_stay_near_the_limit(costs, jobs, limit):
    for p in pack([task(i, c) for i, c in enumerate(costs)], jobs, limit):
        work = [t.seconds for t in p.tasks]
        assert sum(work) <= limit + max(costs) or len(work) == 1


def test_runs_over_several_devices_get_a_job_of_their_own_and_unknown_ones_share_the_slots():
    assert [len(p.tasks) for p in pack([task(i, None) for i in range(6)], 2, 360)] == [3, 3]
    assert [len(p.tasks) for p in pack([task(i, 1.0) for i in range(5)], 2, 360, single=True)] == [1] * 5


@pytest.mark.parametrize(
    ("seconds", "jobs", "expected"),
    [([3.0, 2.0, 2.0], 2, 4.0), ([3.0, 2.0, 2.0], 1, 7.0), ([], 4, 0.0), ([1.0, None], 2, None)],
)
def test_makespan_of_workers_that_take_packs_in_order(seconds, jobs, expected):
    assert makespan(seconds, jobs) == expected


def test_a_run_of_two_sweeps_is_chosen_once(tmp_path):
    tasks = choose(PAPER, "reduced", tmp_path)
    assert [(t.spec.arm, t.spec.seed, t.sweep) for t in tasks] == [
        *(("a", s, "grid") for s in (1, 2)), *(("a-twice", s, "grid") for s in (1, 2)),
        *(("b", s, "extra") for s in (1, 2)),
    ]  # fmt: skip


def test_seeds_arms_and_sweep_narrow_the_choice(tmp_path):
    assert len(choose(PAPER, "reduced", tmp_path, seeds=1)) == 3
    assert {t.spec.arm for t in choose(PAPER, "reduced", tmp_path, arms=["a*"])} == {"a", "a-twice"}
    assert {t.spec.arm for t in choose(PAPER, "reduced", tmp_path, sweep="extra")} == {"a", "b"}


def test_more_seeds_than_are_declared_are_refused_with_the_way_to_others(tmp_path):
    assert len(choose(PAPER, "reduced", tmp_path, seeds=2)) == 6
    with pytest.raises(SpecError, match=r"at most 2 seeds an arm, not 3.*SEED_OFFSET"):
        choose(PAPER, "reduced", tmp_path, seeds=3)


def test_data_that_nobody_has_is_planned_only_by_the_name_of_its_sweep(tmp_path):
    lost = replace(PAPER, unsourced=("digits",))
    with pytest.raises(SpecError, match="declares no run"):
        choose(lost, "reduced", tmp_path)
    assert len(choose(lost, "reduced", tmp_path, sweep="grid")) == 4


def test_a_sweep_that_runs_by_name_is_left_out_unless_it_or_an_arm_is_named(tmp_path):
    sweeps = tuple(replace(s, by_name=s.name == "extra") for s in PAPER.sweeps("reduced"))
    paper = replace(PAPER, sweeps=lambda preset: sweeps)
    arms = {what: {t.spec.arm for t in choose(paper, "reduced", tmp_path, **chosen)} for what, chosen in (
        ("plain", {}), ("sweep", {"sweep": "extra"}), ("arm", {"arms": ["b"]}))}  # fmt: skip
    assert arms == {"plain": {"a", "a-twice"}, "sweep": {"a", "b"}, "arm": {"b"}}
    assert list(paper.commands("reduced")) == [
        "make replicate-toy", "make replicate-toy ARGS='--sweep extra'"
    ]  # fmt: skip
    assert paper.commands_for("reduced", {"a", "b"}) == list(paper.commands("reduced"))


def test_overridden_runs_are_runs_of_their_own(tmp_path):
    plain, changed = (choose(PAPER, "reduced", tmp_path, assignments=a) for a in ([], ["lr=0.2"]))
    assert {t.spec.lr for t in changed} == {0.2}
    assert not {t.spec.run_id for t in plain} & {t.spec.run_id for t in changed}


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"arms": ["c"]}, ["'c'", "a-twice"]),
        ({"sweep": "no"}, ["'no'", "grid, extra"]),
        ({"assignments": ["lrr=1"]}, ["lrr"]),
        ({"assignments": ["batch_size=many"]}, ["batch_size"]),
        ({"assignments": ["model.name=mpl"]}, ["--set: a: unknown model 'mpl' (did you mean 'mlp'?)", "resnet-small"]),
        ({"assignments": ["model.args.width=8"]}, ["mlp takes no argument 'width'", "hidden"]),
        ({"assignments": ["optimizer.name=adamm"]}, ["unknown optimizer 'adamm'", "lars"]),
        ({"assignments": ["optimizer.nesterov=true", "optimizer.momentum=0"]}, ["nesterov needs optimizer.momentum"]),
        ({"assignments": ["optimizer.momentum=1.5"]}, ["optimizer: momentum must be from 0 to below 1, not 1.5"]),
        ({"assignments": ["lr=-1"]}, ["lr must not be negative, but is -1"]),
    ],
)
def test_a_wrong_choice_names_what_there_is(tmp_path, wrong, names):
    with pytest.raises(SpecError) as error:
        choose(PAPER, "reduced", tmp_path, **wrong)
    assert all(name in str(error.value) for name in names)


def test_runs_that_read_others_are_not_overridden(tmp_path):
    """They would measure what was declared and be recorded as something else."""
    tasks = choose(SMITH, "smoke", tmp_path, assignments=["lr=0.5"])
    assert tasks
    assert not [t.spec.arm for t in tasks if t.spec.parents]
    assert {t.spec.lr for t in tasks} == {0.5}
    reading = next(s for s in SMITH.runs("smoke").values() if s.parents)
    with pytest.raises(SpecError, match="reads others as they are declared"):
        choose(SMITH, "smoke", tmp_path, arms=[reading.arm], assignments=["lr=0.5"])


def test_done_runs_are_left_out_of_the_packs_and_counted(tmp_path):
    first = choose(PAPER, "reduced", tmp_path)[0].spec
    home = tmp_path / "runs" / "toy" / "reduced" / first.run_id
    home.mkdir(parents=True)
    (home / "done.json").write_text("{}")
    plan = Plan("reduced", tmp_path, Execution(), 2, choose(PAPER, "reduced", tmp_path))
    assert first.run_id not in {t.spec.run_id for t in plan.todo}
    assert (plan.summary()["runs"], plan.summary()["done"]) == (6, 1)


def test_plan_files_of_two_invocations_never_meet(tmp_path, monkeypatch):
    tasks = choose(PAPER, "reduced", tmp_path)
    plan = Plan("reduced", tmp_path, Execution(), 2, tasks, pack(tasks, 2, 360))
    monkeypatch.setattr(os, "getpid", iter((1, 2)).__next__)
    one, two = (planning.write(plan, Suite(PAPERS, "toy"), cluster=False, per_gpu=1) for _ in range(2))
    assert one.parent != two.parent
    assert sum(len(p["runs"]) for p in json.loads(one.read_text())["packs"]) == 6


def test_what_the_snapshot_holds_is_left_out_on_demand(tmp_path):
    stored = [spec("toy", "a", s, "reduced").run_id for s in (1, 2)]
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "toy.csv").write_text("arm,run_id\n" + "".join(f"a,{i}\n" for i in stored))
    left = [t.spec.run_id for t in choose(PAPER, "reduced", tmp_path, missing=True) if not t.done]
    assert len(left) == 4
    assert not set(left) & set(stored)
    assert not any(t.done for t in choose(PAPER, "reduced", tmp_path))


def test_a_parent_without_a_folder_is_part_of_the_plan(tmp_path):
    """It is trained on the way, so it has to be in the forecast, whether or not the snapshot has its row."""
    peak = next(s for s in SMITH.runs("smoke", seeds=1).values() if s.arm == "bopt-n-500")
    (tmp_path / "snapshot").mkdir()
    rows = "".join(f"{i}\n" for i in SMITH.runs("smoke") if i != peak.run_id)
    (tmp_path / "snapshot" / "smith_a.csv").write_text("run_id\n" + rows)

    def left() -> set[str]:
        chosen = choose(SMITH, "smoke", tmp_path, arms=["bopt-n-500"], seeds=1, missing=True)
        return {t.spec.run_id for t in chosen if not t.done}

    assert left() == {peak.run_id, *peak.parents}
    for parent in peak.parents[:2]:
        home = tmp_path / "runs" / "smith_a" / "smoke" / parent
        home.mkdir(parents=True)
        (home / "done.json").write_text("{}")
    assert left() == {peak.run_id, *peak.parents[2:]}


def test_a_damaged_snapshot_is_named_before_anything_is_trained_again(tmp_path):
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "toy.csv").write_text("<<<<<<< HEAD\n")
    with pytest.raises(EngineError, match=r"toy\.csv.*git checkout"):
        choose(PAPER, "reduced", tmp_path, missing=True)
