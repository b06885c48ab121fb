"""What every registered paper promises of its specs: a new paper is tested on the day it is registered."""

from __future__ import annotations

import json
import re
from collections import defaultdict

import pytest

from replications import PAPERS
from shared.paper import Paper
from shared.report.build import findings
from shared.report.tables import CHOOSING
from shared.spec import PRESETS, Execution, RunSpec, SpecError, canonical, diff, flatten, override, parse
from tests.contract import declared, one_an_arm, papers, presets

FILES = ("README.md", "__init__.py", "method.py", "module.py", "experiments.py", "figures.py", "claims.toml")


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
            assert (spec.paper, spec.preset) == (key, preset)
    assert max(spec.protocol for preset in PRESETS for spec in declared(key, preset)) == paper.protocol


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
        candidates = [old * 2, old + 1, 1, old / 2]
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
    lists = [path for path, value in flatten(spec).items() if isinstance(value, list)]
    for path in lists:
        with pytest.raises(SpecError, match="lists are written as JSON"):
            override(spec, [f"{path}=1,2"])
    for path in flatten(spec):
        with pytest.raises(SpecError) as error:
            override(spec, [f'{path}={{"an": "object"}}'])
        assert path in str(error.value)
