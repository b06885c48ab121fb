from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from shared.spec import (
    DataSpec,
    Execution,
    ModelSpec,
    OptimizerSpec,
    RunSpec,
    SpecError,
    canonical,
    diff,
    flatten,
    override,
    parse,
)


def a_spec(**changes) -> RunSpec:
    fields = {
        "paper": "some",
        "arm": "kn-64",
        "preset": "smoke",
        "seed": 3,
        "protocol": 1,
        "model": ModelSpec(name="mlp", args={"hidden": "8", "batch_norm": True}),
        "data": DataSpec(name="digits", train_size=128),
        "batch_size": 64,
        "bn_batch": 32,
        "epochs": 2,
        "lr": 0.1,
        "optimizer": OptimizerSpec(decay_skip=("bn",)),
    }
    return RunSpec(**{**fields, **changes})


# Consistency


@pytest.mark.parametrize(
    "changes",
    [{"epochs": None}, {"updates": 10}],
    ids=["neither", "both"],
)
def test_a_run_has_exactly_one_length(changes):
    with pytest.raises(ValidationError, match="exactly one of epochs and updates"):
        a_spec(**changes)


@pytest.mark.parametrize("field", ["batch_size", "eval_every", "epochs", "bn_batch"])
@pytest.mark.parametrize("value", [0, -1])
def test_counts_are_at_least_one(field, value):
    with pytest.raises(ValidationError, match=f"{field} must be at least 1, not {value}"):
        a_spec(**{field: value})


@pytest.mark.parametrize(("batch", "bn"), [(64, 32), (32, 32), (32, 64), (64, None)])
def test_bn_batch_that_divides_the_batch_or_covers_it_is_accepted(batch, bn):
    assert a_spec(batch_size=batch, bn_batch=bn).bn_batch == bn


def test_bn_batch_must_divide_a_larger_batch():
    with pytest.raises(ValidationError, match="bn_batch=48 does not divide batch_size=64"):
        a_spec(bn_batch=48)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", "3"),
        ("seed", 3.0),
        ("seed", True),
        ("lr", "0.1"),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("preset", "tiny"),
        ("precision", "16"),
        ("momentum", 0.9),
        ("model", ModelSpec(name="mlp", args={"hidden": "8"}).args),
    ],
    ids=str,
)
def test_wrong_types_values_and_unknown_fields_are_rejected(field, value):
    with pytest.raises(ValidationError, match=field):
        a_spec(**{field: value})


def test_specs_are_frozen():
    spec = a_spec()
    with pytest.raises(ValidationError, match="frozen"):
        spec.lr = 0.2
    with pytest.raises(ValidationError, match="frozen"):
        spec.optimizer.momentum = 0.5


def test_but_changes_a_field_and_validates_the_result():
    spec = a_spec()
    changed = spec.but(lr=0.2)
    assert (changed.lr, spec.lr) == (0.2, 0.1)
    assert changed.but(lr=0.1) == spec
    with pytest.raises(ValidationError, match="does not divide"):
        spec.but(batch_size=48)
    with pytest.raises(ValidationError, match="epocs"):
        spec.but(epocs=3)


def test_world_size_is_devices_times_nodes():
    assert Execution(devices=4, nodes=3).world_size == 12


# Identity


def test_run_id_names_arm_and_seed_and_is_the_same_on_every_machine():
    # written out so that a change of the canonical form, which would orphan every stored run, is noticed
    assert a_spec().run_id == "kn-64-s3-8e23f0239f"


def test_canonical_does_not_depend_on_how_the_spec_was_written():
    spec = a_spec(lr=1.0)
    shuffled = dict(reversed(json.loads(canonical(spec)).items()))
    shuffled["model"]["args"] = dict(reversed(shuffled["model"]["args"].items()))
    shuffled["lr"] = 1
    again = parse(RunSpec, json.dumps(shuffled, indent=2))
    assert canonical(again) == canonical(spec)
    assert again.run_id == spec.run_id


def test_canonical_is_compact_sorted_json_with_exact_floats():
    text = canonical(a_spec(lr=0.1 + 0.2))
    tree = json.loads(text)
    assert list(tree) == sorted(tree)
    assert " " not in text
    assert parse(RunSpec, text).lr == 0.1 + 0.2


def test_integers_and_floats_and_booleans_in_model_args_stay_what_they_are():
    args = {"width": 1, "scale": 1.0, "zero_gamma": True, "hidden": "1"}
    spec = a_spec(model=ModelSpec(name="mlp", args=args))
    again = parse(RunSpec, canonical(spec)).model.args
    assert {k: (type(v), v) for k, v in again.items()} == {k: (type(v), v) for k, v in args.items()}


# flatten and diff


def test_flatten_gives_dotted_keys_and_keeps_lists():
    flat = flatten(a_spec())
    assert flat["data.train_size"] == 128
    assert flat["model.args.hidden"] == "8"
    assert flat["optimizer.decay_skip"] == ["bn"]
    assert flat["updates"] is None
    assert not {"data", "model", "model.args"} & set(flat)


def test_diff_of_a_spec_with_itself_is_empty():
    assert diff(a_spec(), a_spec()) == {}


def test_diff_shows_nested_changes_and_ignores_who_and_which_seed():
    ours = a_spec(seed=9, arm="other", preset="reduced", lr=0.2, data=DataSpec(name="cifar10"))
    assert diff(a_spec(), ours) == {
        "data.name": ("digits", "cifar10"),
        "data.train_size": (128, None),
        "lr": (0.1, 0.2),
    }
    assert diff(a_spec(), ours, ignore=("lr", "data.name", "data.train_size")) == {
        "arm": ("kn-64", "other"),
        "preset": ("smoke", "reduced"),
        "seed": (3, 9),
    }


def test_diff_shows_arguments_that_only_one_side_has():
    ours = a_spec(model=ModelSpec(name="mlp", args={"hidden": "8", "width": 4}))
    assert diff(a_spec(), ours) == {"model.args.batch_norm": (True, None), "model.args.width": (None, 4)}


# Overrides


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("lr=0.5", "lr", 0.5),
        ("lr=1", "lr", 1.0),
        ("epochs=7", "epochs", 7),
        ("bn_batch=null", "bn_batch", None),
        ("data.name=fashion-mnist", "data.name", "fashion-mnist"),
        ("data.name=folder:/a=b", "data.name", "folder:/a=b"),
        ("optimizer.nesterov=true", "optimizer.nesterov", True),
        ('optimizer.decay_skip=["bn","bias"]', "optimizer.decay_skip", ["bn", "bias"]),
        ("model.args.batch_norm=false", "model.args.batch_norm", False),
        ("model.args.new=3", "model.args.new", 3),
    ],
)
def test_override_sets_one_field(text, path, value):
    spec = a_spec()
    changed = override(spec, [text])
    assert flatten(changed)[path] == value
    assert set(diff(spec, changed, ignore=())) == {path}


def test_overrides_apply_in_order_and_together():
    spec = override(a_spec(), ["lr=0.5", "epochs=null", "updates=10", "lr=0.7"])
    assert (spec.lr, spec.epochs, spec.updates) == (0.7, None, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "--set 'lr': write it as field=value"),
        ("lrr=1", "--set lrr: no such field; there are: .*batch_size"),
        ("data.nmae=x", r"--set data\.nmae: no such field; there are: .*data\.name"),
        ("lr.x=1", r"--set lr\.x: no such field"),
        ("paper=you", "--set paper: it names a run and sets nothing"),
        ("lr=fast", "lr: .*number"),
        ("epochs=1.5", "epochs: .*integer"),
        ("lr=NaN", "lr: .*"),
        ("optimizer.momentum_form=sideways", r"optimizer\.momentum_form: .*'absorbed'"),
        ("data=digits", "data: "),
        ("bn_batch=48", "bn_batch=48 does not divide batch_size=64"),
        ("updates=5", "exactly one of epochs and updates"),
        ("optimizer.momentum=-0.5", r"^optimizer: momentum must be from 0 to below 1, not -0\.5$"),
        ("optimizer.momentum=1", "not 1$"),
        ("optimizer.weight_decay=-1e-4", "^optimizer: weight_decay must not be negative"),
        ("lr=-0.1", r"^lr must not be negative, but is -0\.1$"),
    ],
)
def test_bad_overrides_are_named(text, message):
    with pytest.raises(SpecError, match=message):
        override(a_spec(), [text])


def test_parse_names_every_wrong_field_at_once():
    tree = json.loads(canonical(a_spec()))
    tree["lr"], tree["data"]["name"], tree["colour"] = "fast", 3, "red"
    with pytest.raises(SpecError) as error:
        parse(RunSpec, json.dumps(tree))
    assert all(f"{name}: " in str(error.value) for name in ("lr", "data.name", "colour"))


def test_parse_rejects_what_is_no_json():
    with pytest.raises(SpecError, match="spec: Invalid JSON"):
        parse(RunSpec, "{")


def test_a_subclass_hashes_its_own_fields():
    class Longer(RunSpec):
        decay: float = 0.1

    spec = Longer(**{k: getattr(a_spec(), k) for k in RunSpec.model_fields})
    assert spec.run_id != spec.but(decay=0.2).run_id
    assert spec.run_id != a_spec().run_id
