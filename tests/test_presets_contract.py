"""What every registered paper promises of its claims, presets, figures and nets."""

from __future__ import annotations

import importlib

import torch

from shared.datamodules.order import accumulation
from shared.datamodules.sources import ALTERNATIVES, SOURCES
from shared.datasets import KNOWN
from shared.models import build, indivisible
from shared.optim import make_optimizer
from shared.paper import Paper
from shared.report.declare import Points
from shared.spec import PRESETS, Execution, RunSpec, diff
from shared.training import fitting
from tests.contract import declared, one_an_arm, papers, presets, smaller

SMOKE_IMAGES = 500_000
"""Images that all smoke runs of a paper may train on together: half a minute for a tiny net."""


# Claims


def strings(value) -> list[str]:
    """Every string in nested tables and lists."""
    if isinstance(value, dict | list):
        return [text for inner in (value.values() if isinstance(value, dict) else value) for text in strings(inner)]
    return [value] if isinstance(value, str) else []


@papers
@presets
def test_claims_are_about_declared_arms(paper: Paper, preset):
    arms = {spec.arm for spec in declared(paper.key, preset)}
    for claim in paper.claims():
        tests = [t for t in claim.get("test", []) if preset in t.get("only", claim.get("presets", ()))]
        for template in (text for text in strings(tests) if "{" in text):
            assert set(paper.arms(template, preset)) <= arms, (claim["id"], template)


@papers
def test_printed_numbers_are_of_declared_arms_of_the_paper(paper: Paper):
    arms = {spec.arm for spec in declared(paper.key, "paper")}
    for claim in paper.claims():
        if "not_run" not in claim:
            assert set(claim.get("numbers", ())) <= arms, claim["id"]


@papers
def test_a_claim_on_recomputed_statistics_has_runs_that_recompute_them(paper: Paper):
    recomputing = {(s.preset, s.arm) for p in PRESETS for s in declared(paper.key, p) if s.precise_bn}
    for claim in paper.claims():
        for test in claim.get("test", []):
            sides = [side for side in (test.get("a"), test.get("b"), *test.get("arms", ())) if side]
            terms = [t for side in sides for t in (side if isinstance(side, list) else [{"arm": side}])]
            for term in terms:
                metric = term.get("metric") or test.get("metric") or claim.get("metric") or ""
                if "precise_bn" in metric:
                    wanted = {(p, arm) for p in claim["presets"] for arm in paper.arms(term["arm"], p)}
                    assert wanted <= recomputing, claim["id"]


@papers
@presets
def test_templates_expand_over_roles(paper: Paper, preset):
    for role, value in paper.roles(preset).items():
        values = (value,) if isinstance(value, str) else value
        assert paper.arms(f"x-{{{role}}}-y", preset) == tuple(f"x-{v}-y" for v in values)


# Presets


@papers
@smaller
def test_a_smaller_run_stands_for_a_declared_run_of_the_paper_or_for_none(paper: Paper, preset):
    theirs = {spec.run_id for spec in declared(paper.key, "paper")}
    found = 0
    for spec in declared(paper.key, preset):
        counterpart = paper.counterpart(spec)
        if counterpart is not None:
            found += 1
            assert counterpart.preset == "paper"
            assert counterpart.run_id in theirs, f"{spec.arm} stands for {counterpart.arm}, which is not declared"
            assert counterpart.seed == spec.seed
            assert {"data.name", "model.name", "epochs"} & set(diff(counterpart, spec))
    assert found


@papers
def test_a_run_of_the_paper_stands_for_its_own_arm_or_is_ours_alone(paper: Paper):
    """For itself, but where the paper is known to differ: Smith and Le's momentum, and the rate of their Figure 7."""
    found = [(spec, other) for spec in declared(paper.key, "paper") if (other := paper.counterpart(spec))]
    assert found
    known = {"lr", "optimizer.momentum_form"} if paper.key == "smith_a" else set()
    assert set().union(*(diff(other, spec) for spec, other in found)) == known
    assert all((other.arm, other.seed, other.preset) == (spec.arm, spec.seed, "paper") for spec, other in found)


@papers
def test_distinct_arms_stand_for_distinct_arms(paper: Paper):
    """Two arms of the reduced preset that stood for one of the paper's would be compared with one number twice."""
    stands = [c.arm for s in one_an_arm(paper.key, "reduced") if (c := paper.counterpart(s))]
    plain = [arm for arm in set(stands) if stands.count(arm) > 1]
    assert plain == []


@papers
def test_smoke_is_small(paper: Paper):
    total = 0
    for spec in paper.runs("smoke").values():
        assert spec.data.train_size is not None or spec.updates is not None
        assert spec.data.name == "digits"  # comes with scikit-learn: nothing to download
        total += (spec.updates or 0) * spec.batch_size + (spec.epochs or 0) * spec.data.train_size
    assert total <= SMOKE_IMAGES


@papers
@presets
def test_every_data_set_has_a_source_or_is_said_to_have_none(paper: Paper, preset):
    specs = declared(paper.key, preset)
    names = {spec.data.name for spec in specs}
    assert names <= {*SOURCES, *ALTERNATIVES, *paper.unsourced}
    assert not {*SOURCES, *ALTERNATIVES} & {*paper.unsourced}
    nobody_can_run = {s.arm for s in specs if s.data.name in paper.unsourced}
    assert not paper.commands_for(preset, nobody_can_run)


@papers
@presets
def test_one_command_is_named_for_every_sweep_and_the_plain_one_runs_what_it_is_named_for(paper: Paper, preset):
    commands = paper.commands(preset)
    assert preset == "reduced" or not any(sweep.by_name for sweep in paper.sweeps(preset))
    named = [sweep.name for sweeps in commands.values() for sweep in sweeps]
    assert sorted(named) == sorted(sweep.name for sweep in paper.sweeps(preset))
    plain = f"make smoke-{paper.key}" if preset == "smoke" else f"make replicate-{paper.key}"
    planned = paper.planned("reduced" if preset == "paper" else preset)
    runs = {s.run_id for sweep in commands.get(plain, ()) for s in sweep.specs if s.data.name not in paper.unsourced}
    assert runs == {i for i, s in planned.items() if s.preset == preset}


@papers
@presets
def test_batches_fit_into_the_data(paper: Paper, preset):
    for spec in declared(paper.key, preset):
        if spec.data.train_size is not None:
            assert spec.batch_size <= spec.data.train_size


@papers
def test_points_are_of_what_their_axis_names(paper: Paper):
    """No column of the training set on an axis that names the test set."""
    for figure in importlib.import_module(f"replications.{paper.key}.figures").FIGURES:
        for panel in figure.panels if isinstance(figure, Points) else ():
            label = panel.y_label or figure.y_label
            read = {s.metric for s in panel.series}
            assert "test" not in label or not any("train" in metric for metric in read), (figure.key, label, read)


# Nets


def shape_of(spec: RunSpec) -> tuple[int, tuple[int, int, int]]:
    """Classes and (C, H, W) of a data set; ImageNet at a size that costs nothing, since nets pool at the end."""
    known = KNOWN.get(spec.data.name, KNOWN["cifar10"])  # of what has no source, any
    return known.classes, (3, 96, 96) if spec.data.name == "imagenet" else known.shape


@papers
@presets
def test_every_run_can_be_cut_as_a_gpu_cuts_it(paper: Paper, preset):
    for spec in one_an_arm(paper.key, preset):
        execution = fitting(spec, Execution(accelerator="gpu"))
        parts = {accumulation(b, spec.bn_batch, 1, execution.micro_batch) for b in spec.batches}
        assert parts == {1} or indivisible(spec) < max(spec.batches), spec.run_id


@papers
@presets
def test_every_net_and_optimizer_is_built(paper: Paper, preset):
    distinct = {(s.model.model_dump_json(), s.data.name, s.bn_batch): s for s in declared(paper.key, preset)}
    for spec in distinct.values():
        classes, shape = shape_of(spec)
        with torch.device("meta"):  # shapes without memory or arithmetic
            net = build(spec.model, classes, shape, spec.bn_batch)
            logits = net.eval()(torch.empty(2, *shape))
        assert logits.shape == (2, classes)
        optimizer = make_optimizer(net, spec.optimizer, spec.lr)
        held = sum(len(g["params"]) for g in optimizer.param_groups)
        assert held == len(list(net.parameters()))
        decays = {g["weight_decay"] for g in optimizer.param_groups}
        assert max(decays) == spec.optimizer.weight_decay
