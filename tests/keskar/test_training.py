"""Keskar et al.'s training and the tasks that measure its solutions."""

from __future__ import annotations

import pytest

from replications.keskar import PAPER, experiments
from replications.keskar.method import plateaued
from shared import training
from shared.curvature.declare import Measure, Sharp
from shared.curvature.objective import Objective
from shared.curvature.paths import curved
from shared.runs.read import read_run
from tests.keskar.test_runs import CPU, paper_of, run, smoke, weights


def test_the_plateau_counts_from_the_last_improvement_of_more_than_delta():
    assert not plateaued([1.0, 0.5, 0.5], 2, 0.1)
    assert plateaued([1.0, 0.5, 0.5, 0.5], 2, 0.1)
    assert plateaued([1.0, 0.95, 0.91], 2, 0.1)  # small falls are none …
    assert not plateaued([1.0, 0.95, 0.89], 2, 0.1)  # … until they add up


def test_three_steps_a_batch_are_recorded_once_and_the_proximal_term_holds_them_back(tmp_path):
    whole = {"batch_size": 1280, "epochs": 2, "lr": 1e-2}
    settings = ((1, 0.0), (3, 0.0), (3, 100.0))
    plain, free, held = (run(smoke("lb", **whole, inner_steps=n, proximal=p), tmp_path) for n, p in settings)
    # one batch an epoch: the first row is of the start, whatever is done to the batch afterwards
    assert free[2].history["train/loss"][0] == pytest.approx(plain[2].history["train/loss"][0], rel=1e-6)
    module, _ = training.assemble(smoke("lb", **whole), CPU, PAPER)
    start = dict(module.net.named_parameters())

    def moved(home):
        return sum(float((weights(home)[k] - w.detach()).norm()) ** 2 for k, w in start.items()) ** 0.5

    assert moved(held[1]) < 0.9 * moved(free[1])


def test_runs_counted_in_updates_are_measured_at_their_end(tmp_path):
    made = smoke("lb", epochs=None, updates=20, eval_every=5, measure=Measure(sharp=(Sharp(solver="sign"),)))
    _, _, record = run(made, tmp_path)
    assert record.history["full/train_loss"].notna().tolist() == [False] * 3 + [True]


def test_a_curve_bends_and_a_remeasurement_is_of_the_parents_solution(tmp_path):
    pair = smoke("sb", measure=Measure()), smoke("lb", measure=Measure())
    bend = experiments.task("curve", "c1-curve", *pair)
    again = experiments.task("remeasure", "c1-again", pair[0], measure=Measure())
    paper = paper_of(*pair, bend, again)
    _, _, record = run(bend, tmp_path, paper)
    module, data = training.assemble(pair[0], CPU, paper)
    flat = []
    for spec in pair:
        module.net.load_state_dict(weights(training.run_dir(tmp_path, spec)))
        flat.append(Objective(module.net, *data.plain("train")).start())
    half = Objective(module.net, *data.plain("train")).value(curved(*flat, 0.5))
    assert record.history.set_index("alpha").loc[0.5, "train/loss"] == pytest.approx(half, rel=1e-6)
    _, _, record = run(again, tmp_path, paper)
    there = read_run(training.run_dir(tmp_path, pair[0])).summary
    assert record.summary["full/train_loss"] == pytest.approx(there["full/train_loss"], rel=1e-6)
