"""Validations of models that exist: fine-tuned from a base, or trained a little further."""

import numpy as np
import pytest
from families import make_model
from recipes import CPU, QUICK, prompt_spec, subset_specs, validate_spec

from untrac_core.errors import InputError
from untrac_core.models import hash_weights, load_model
from untrac_core.results import ESTIMATES, TRUTH
from untrac_core.spec_files import build
from untrac_core.specs import MethodSpec, ModelRef, TraceSpec
from untrac_core.tracing import trace
from untrac_core.validation import Validator, validate
from untrac_core.validation_check import check_validation

TRACIN = {"name": "tracin"}


def test_blocks_that_a_model_has_no_room_for_are_refused(world, tmp_path):
    spec = validate_spec(world, {"init": "further", "block": 64}, model={"path": str(world / "model")})
    for look in (check_validation, lambda one: Validator(one, tmp_path)):
        with pytest.raises(InputError, match="a block of 64 tokens is longer than the model's context of 32"):
            look(spec)


@pytest.fixture(scope="module")
def further(world, tmp_path_factory):
    """A finished model, trained a little further; one method cannot work on it."""
    folder = tmp_path_factory.mktemp("further")
    spec = validate_spec(
        world, {"init": "further", "learning_rate": 0.0005, "steps": 8}, model={"path": str(world / "model")},
        methods=[{"name": "grad-dot"}, TRACIN, {"name": "hidden-similarity"}],
    )  # fmt: skip
    return validate(spec, folder / "out", cache=folder / "cells", threads=1)


def test_a_method_that_cannot_work_says_why_and_leaves_the_others_alone(further, tmp_path):
    rows = {row["method"]: row for row in further.summary["methods"]}
    assert "needs checkpoints of the model's training" in rows["tracin"]["failed"]
    assert "\n" not in rows["tracin"]["failed"]
    assert not rows["tracin"]["collapsed"]
    assert any(text.startswith("tracin did not work here: ") for text in further.summary["warnings"])
    assert {row["method"] for row in further.summary["board"]} == {"grad-dot", "hidden-similarity"}
    without = further.spec.model_copy(update={"methods": [m for m in further.spec.methods if m.name != "tracin"]})
    alone = validate(without, tmp_path, cache=further.folder.parent / "cells", threads=1)
    assert (alone.folder / ESTIMATES).read_bytes() == (further.folder / ESTIMATES).read_bytes()
    for key in ("board", "differences", "verdict"):
        assert alone.summary[key] == further.summary[key]


def test_further_training_starts_from_the_model_and_methods_look_at_the_model_itself(further, world, tmp_path):
    assert further.summary["init"] == "further"
    assert any("not what its own training did" in text for text in further.summary["warnings"])
    digest = load_model(ModelRef(path=str(world / "model")), CPU).digest
    assert further.environment["start"] == digest
    validator = Validator(further.spec, tmp_path / "work")
    own = hash_weights(load_model(ModelRef(path=str(world / "model")), CPU).module)
    assert hash_weights(validator.studies["grad-dot"].model.module) == own
    assert hash_weights(validator.leave_out._begin(0)) == own
    assert hash_weights(validator.leave_out._kept(0)[0]) != own
    scratch = Validator(validate_spec(world), tmp_path / "scratch")
    full = load_model(ModelRef(path=str(scratch.leave_out.full_model(0))), CPU).module
    assert hash_weights(scratch.studies["grad-dot"].model.module) == hash_weights(full)


def test_further_truth_has_the_sign_of_retraining(further):
    means = further.truth.groupby(["side", "subset"]).influence.mean()
    assert means["harmful"].idxmax() == "smiths"
    assert means["harmful", "smiths"] > 0
    assert means["harmless"].idxmax() == "weavers"


def test_a_trace_of_the_same_model_and_a_validation_do_not_take_each_other_s_cells(further, world, tmp_path):
    """Cells of a trace do not tell the time and memory that a validation compares."""
    values = {
        "kind": "trace", "model": {"path": str(world / "model"), "precision": "float32"},
        "prompts": [prompt_spec(world)], "subsets": subset_specs(world), "method": {"name": "grad-dot"},
        "seeds": [0, 1, 2], "baselines": [], "device": "cpu", "block": 32,
    }  # fmt: skip
    cells = tmp_path / "cells"
    trace(build(TraceSpec, values, where="test"), tmp_path / "trace", cache=cells, threads=1)
    training = further.spec.training.model_copy(update={"equal_tokens": False})  # so that both see the same blocks
    changed = {"training": training, "blocks": 10_000, "seeds": [0], "methods": [MethodSpec(name="grad-dot")]}
    found = validate(further.spec.model_copy(update=changed), tmp_path / "out", cache=cells, threads=1)
    assert found.summary["methods"][0]["seconds"] > 0


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_model_that_exists_is_fine_tuned(world, tmp_path, family):
    path = make_model(tmp_path / family, family)
    spec = validate_spec(
        world, {"init": "base"}, model={"path": str(path)}, prompts=[prompt_spec(world, 8)],
        methods=[TRACIN, QUICK], seeds=[0], draws=[0, 1], blocks=6,
    )  # fmt: skip
    found = validate(spec, tmp_path / "out", threads=1)
    assert found.environment["start"] == load_model(ModelRef(path=str(path)), CPU).digest
    assert all(row["failed"] is None for row in found.summary["methods"])
    assert not (found.folder / ".work").exists()
    assert np.isfinite(found.truth.influence).all()
    assert found.truth.influence.abs().max() > 1e-4
    means = found.truth[found.truth.side == "contrast"].groupby("subset").influence.mean()
    assert means.idxmax() == "smiths"
    again = validate(spec, tmp_path / "again", threads=1) if family == "gpt2" else found  # it has dropout
    for file in (TRUTH, ESTIMATES):
        assert (again.folder / file).read_bytes() == (found.folder / file).read_bytes(), file
