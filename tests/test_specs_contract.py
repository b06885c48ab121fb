"""What every registered paper promises, preset by preset: a new paper is tested on the day it is registered."""

from __future__ import annotations

import importlib
import json
import re
from collections import defaultdict
from functools import cache

import pytest
import torch

from replications import PAPERS
from shared.datamodules.order import accumulation
from shared.datamodules.sources import ALTERNATIVES, SOURCES
from shared.models import build, indivisible
from shared.optim import make_optimizer
from shared.paper import Paper
from shared.report.build import findings
from shared.report.declare import Points
from shared.report.tables import CHOOSING
from shared.spec import PRESETS, Execution, RunSpec, SpecError, canonical, diff, flatten, override, parse
from shared.training import fitting

FILES = ("README.md", "__init__.py", "method.py", "module.py", "experiments.py", "figures.py", "claims.toml")
SMOKE_IMAGES = 500_000
"""Images that all smoke runs of a paper may train on together: half a minute for a tiny net."""

papers = pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
presets = pytest.mark.parametrize("preset", PRESETS)
smaller = pytest.mark.parametrize("preset", [p for p in PRESETS if p != "paper"])


def shape_of(spec: RunSpec) -> tuple[int, tuple[int, int, int]]:
    """Classes and (C, H, W) of a data set; ImageNet at a size that costs nothing, since nets pool at the end."""
    known = {"digits": (10, (1, 8, 8)), "fashion-mnist": (10, (1, 28, 28)), "imagenet": (1000, (3, 96, 96))}
    return known.get(spec.data.name, (10, (3, 32, 32)))


@cache
def declared(key: str, preset: str) -> tuple[RunSpec, ...]:
    """Every spec of every sweep: a run that stands in two sweeps is here twice."""
    return tuple(spec for sweep in PAPERS[key].sweeps(preset) for spec in sweep.specs)


def one_an_arm(key: str, preset: str) -> list[RunSpec]:
    return list({spec.arm: spec for spec in declared(key, preset)}.values())


# Folder and registry


@papers
def test_folder_has_the_fixed_files(paper: Paper):
    assert [name for name in FILES if not (paper.folder / name).is_file()] == []
    assert list((paper.folder / "reference").glob("*.csv"))


@papers
def test_the_card_says_in_words_what_came_out(paper: Paper):
    assert len(findings(paper).split()) > 100


@pytest.mark.parametrize("key", PAPERS)
def test_registry_key_is_the_folder_and_the_paper_of_every_spec(key):
    paper = PAPERS[key]
    assert (paper.key, paper.folder.name) == (key, key)
    for preset in PRESETS:
        for spec in declared(key, preset):
            assert type(spec) is paper.spec
            assert (spec.paper, spec.preset, spec.protocol) == (key, preset, paper.protocol)


@papers
@presets
def test_sweeps_are_named_described_and_not_empty(paper: Paper, preset):
    sweeps = paper.sweeps(preset)
    assert len({s.name for s in sweeps}) == len(sweeps) > 0
    assert all(s.specs and s.says for s in sweeps)


@papers
def test_paper_rejects_unknown_names_with_the_known_ones(paper: Paper):
    for call, message in (
        (lambda: paper.runs("tiny"), "unknown preset 'tiny'.*paper, reduced, smoke"),
        (lambda: paper.runs("smoke", sweep="no-such"), f"no sweep 'no-such'.*{paper.sweeps('smoke')[0].name}"),
        (lambda: paper.runs("smoke", seeds=0), "seeds must be at least 1"),
        (lambda: paper.arms("x-{no_such_role}", "smoke"), "no_such_role.*smoke has"),
    ):
        with pytest.raises(SpecError, match=message):
            call()


# Identity


@papers
@presets
def test_specs_survive_json(paper: Paper, preset):
    for spec in declared(paper.key, preset):
        again = parse(paper.spec, canonical(spec))
        assert again == spec
        assert (canonical(again), again.run_id) == (canonical(spec), spec.run_id)


@papers
def test_run_ids_are_unique_over_presets_and_fit_for_file_names(paper: Paper):
    ids = defaultdict(set)
    for preset in PRESETS:
        for spec in declared(paper.key, preset):
            ids[spec.run_id].add(canonical(spec))
    assert {run_id for run_id, specs in ids.items() if len(specs) > 1} == set()
    assert {run_id for run_id in ids if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,100}", run_id)} == set()


@papers
@presets
def test_an_arm_is_one_condition(paper: Paper, preset):
    """Runs of an arm are averaged, so nothing but the seed may differ between them."""
    conditions = defaultdict(set)
    for spec in declared(paper.key, preset):
        parents = tuple(p.rsplit("-s", 1)[0] for p in spec.parents)  # their arms, without seed and hash
        conditions[spec.arm].add(canonical(spec.but(seed=0, parents=parents)))
    assert {arm for arm, found in conditions.items() if len(found) > 1} == set()
    assert len({c for found in conditions.values() for c in found}) == len(conditions)


def another(spec: RunSpec, path: str) -> RunSpec | None:
    """The spec with another value, of whatever kind is accepted, in the field of this dotted path."""
    tree = spec.model_dump(mode="json")
    *parents, leaf = path.split(".")
    node = tree
    for name in parents:
        node = node[name]
    old = node[leaf]
    words = set(re.findall(r'"([\w-]+)"', json.dumps(spec.model_json_schema())))
    if isinstance(old, bool):
        candidates = [not old]
    elif isinstance(old, int | float):
        candidates = [old * 2, old + 1, 1]
    elif isinstance(old, list):
        candidates = [old[:-1], *([w] for w in sorted(words)), [1]]
    else:
        candidates = [f"{old}-x", 1, {}, *sorted(words)]
    for value in candidates:
        node[leaf] = value
        try:
            changed = parse(type(spec), json.dumps(tree))
        except SpecError:
            continue
        if value != old and changed != spec:
            return changed
    return None


@papers
def test_changing_any_semantic_field_changes_the_run_id(paper: Paper):
    spec = declared(paper.key, "reduced")[0]
    length = {"epochs", "updates"} - {k for k, v in flatten(spec).items() if v is not None}  # one excludes the other
    length.add("task")  # another task excludes both
    for path in set(flatten(spec)) - length:
        changed = another(spec, path)
        assert changed is not None, f"no other value found for {path}"
        assert changed.run_id != spec.run_id, path


@papers
def test_where_a_run_executes_is_no_part_of_its_identity(paper: Paper):
    leaves = {path.rpartition(".")[2] for spec in one_an_arm(paper.key, "reduced") for path in flatten(spec)}
    assert leaves & set(Execution.model_fields) == set()


# Seeds


@papers
@presets
def test_arms_of_a_sweep_are_paired_by_seed(paper: Paper, preset):
    for sweep in paper.sweeps(preset):
        seeds = defaultdict(list)
        for spec in sweep.specs:
            seeds[spec.arm].append(spec.seed)
        for found in seeds.values():
            assert len(found) == len(set(found))
        assert len({tuple(found) for found in seeds.values()}) == 1, sweep.name


@papers
@presets
def test_nothing_is_chosen_on_runs_that_are_judged(paper: Paper, preset):
    """Tuning and pilot runs have seeds of their own and never see the test set; all others see nothing else."""
    choosing = {s.run_id for sweep in paper.sweeps(preset) if sweep.name in CHOOSING for s in sweep.specs}
    judged = {s.seed for s in declared(paper.key, preset) if s.run_id not in choosing}
    for spec in declared(paper.key, preset):
        if spec.run_id in choosing:
            assert spec.seed not in judged
            assert spec.data.holdout > 0
            assert paper.counterpart(spec) is None
        else:
            assert spec.data.holdout == 0


@papers
@presets
def test_fewer_seeds_keep_every_arm(paper: Paper, preset):
    everything, one = paper.runs(preset), paper.runs(preset, seeds=1)
    assert set(one) <= set(everything)
    assert len(one) == len({s.arm for s in everything.values()}) < len(everything)


@papers
@presets
def test_a_run_belongs_to_the_first_sweep_that_declares_it(paper: Paper, preset):
    for run_id in list(paper.runs(preset))[::10]:
        first = next(s for s in paper.sweeps(preset) if run_id in paper.runs(preset, sweep=s.name))
        assert paper.sweep_of(run_id, preset) == first.name
    assert paper.sweep_of("no-such-run", preset) == "ad-hoc"


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
        terms = [
            t for test in claim.get("test", []) for side in "ab" for t in test.get(side, ()) if isinstance(t, dict)
        ]
        for term in (t for t in terms if t.get("metric") == "val/error_precise_bn"):
            wanted = {(p, arm) for p in claim["presets"] for arm in paper.arms(term["arm"], p)}
            assert wanted <= recomputing, claim["id"]


@papers
@presets
def test_templates_expand_over_roles(paper: Paper, preset):
    for role, value in paper.roles(preset).items():
        values = (value,) if isinstance(value, str) else value
        assert paper.arms(f"x-{{{role}}}-y", preset) == tuple(f"x-{v}-y" for v in values)


# Overrides


@papers
def test_a_field_can_be_set_and_only_that_field_changes(paper: Paper):
    spec = declared(paper.key, "smoke")[0]
    changed = override(spec, ["lr=0.75", "optimizer.weight_decay=0.5"])
    assert diff(spec, changed) == {
        "lr": (spec.lr, 0.75),
        "optimizer.weight_decay": (spec.optimizer.weight_decay, 0.5),
    }
    assert changed.run_id != spec.run_id


@papers
@pytest.mark.parametrize("path", ["lrr", "data.nmae", "optimizer.momentum.form", "model.arg.width"])
def test_an_unknown_field_is_rejected_with_the_known_ones(paper: Paper, path):
    with pytest.raises(SpecError, match=rf"{re.escape(path)}: no such field.*data\.name.*batch_size"):
        override(declared(paper.key, "smoke")[0], [f"{path}=1"])


@papers
def test_a_wrong_type_is_rejected_by_the_name_of_its_field(paper: Paper):
    spec = declared(paper.key, "smoke")[0]
    for path in flatten(spec):
        with pytest.raises(SpecError) as error:
            override(spec, [f'{path}={{"an": "object"}}'])
        assert path in str(error.value)


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
    """For itself, but where the paper is known to have another rate (Smith and Le's Figure 7)."""
    found = [(spec, other) for spec in declared(paper.key, "paper") if (other := paper.counterpart(spec))]
    assert found
    assert all(set(diff(other, spec)) <= ({"lr"} if paper.key == "smith_a" else set()) for spec, other in found)
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
def test_batches_fit_into_the_data(paper: Paper, preset):
    for spec in declared(paper.key, preset):
        if spec.data.train_size is not None:
            assert spec.batch_size <= spec.data.train_size


@papers
def test_points_are_of_what_their_axis_names(paper: Paper):
    """A series takes the training error where it names no column, which on an axis of the test error is another one."""
    for figure in importlib.import_module(f"replications.{paper.key}.figures").FIGURES:
        for panel in figure.panels if isinstance(figure, Points) else ():
            label = panel.y_label or figure.y_label
            read = {s.metric for s in panel.series}
            assert "test" not in label or not any("train" in metric for metric in read), (figure.key, label, read)


# Nets


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
