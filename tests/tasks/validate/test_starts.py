"""Validations of models that exist: fine-tuned from a base, or trained a little further."""

import numpy as np
import pytest

from tests.helpers.families import make_model
from tests.helpers.recipes import CPU, QUICK, prompt_spec, subset_specs, validate_spec
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.results.folders import ESTIMATES, GROUND_TRUTH
from untrac_core.specs import ModelRef, TraceSpec, method_spec
from untrac_core.specs.build import build
from untrac_core.tasks.run import trace, validate
from untrac_core.tasks.validate.check import check_validate
from untrac_core.tasks.validate.task import ValidateTask

pytestmark = pytest.mark.slow  # trainings from every start

TRACIN = {"name": "tracin"}


def test_blocks_that_a_model_has_no_room_for_are_refused(world, tmp_path):
    spec = validate_spec(world, {"init": "continued", "block_size": 64}, model={"path": str(world / "model")})
    for look in (check_validate, lambda one: ValidateTask(one, tmp_path)):
        with pytest.raises(InputError, match="a block of 64 tokens is longer than the model's context of 32"):
            look(spec)


@pytest.fixture(scope="module")
def further(world, tmp_path_factory):
    """A finished model, trained a little further; one method cannot work on it."""
    folder = tmp_path_factory.mktemp("continued")
    spec = validate_spec(
        world, {"init": "continued", "learning_rate": 0.0005, "steps": 8}, model={"path": str(world / "model")},
        methods=[{"name": "grad-dot"}, TRACIN, {"name": "hidden-state-similarity"}],
    )  # fmt: skip
    return validate(spec, folder / "out", cache=folder / "cells", threads=1)


def test_a_method_that_cannot_work_says_why_and_leaves_the_others_alone(further, tmp_path):
    rows = {row["method"]: row for row in further.summary["methods"]}
    assert "needs checkpoints of the model's training" in rows["tracin"]["failed"]
    assert "\n" not in rows["tracin"]["failed"]
    assert not rows["tracin"]["collapsed"]
    assert any(text.startswith("tracin did not work here: ") for text in further.summary["warnings"])
    assert {row["method"] for row in further.summary["leaderboard"]} == {"grad-dot", "hidden-state-similarity"}
    without = further.spec.model_copy(update={"methods": [m for m in further.spec.methods if m.name != "tracin"]})
    alone = validate(without, tmp_path, cache=further.folder.parent / "cells", threads=1)
    assert (alone.folder / ESTIMATES).read_bytes() == (further.folder / ESTIMATES).read_bytes()
    for key in ("leaderboard", "differences", "verdict"):
        assert alone.summary[key] == further.summary[key]


def test_further_training_starts_from_the_model_and_methods_look_at_the_model_itself(further, world, tmp_path):
    assert further.summary["init"] == "continued"
    assert any("not what its own training did" in text for text in further.summary["warnings"])
    digest = load_model(ModelRef(path=str(world / "model")), CPU).digest
    assert further.environment["start"] == digest
    validator = ValidateTask(further.spec, tmp_path / "work")
    own = hash_weights(load_model(ModelRef(path=str(world / "model")), CPU).module)
    assert hash_weights(validator.studies["grad-dot"].model.module) == own
    assert hash_weights(validator.leave_out.full.begin(0)) == own
    assert hash_weights(validator.leave_out.full.trained(0)) != own
    scratch = ValidateTask(validate_spec(world), tmp_path / "scratch")
    full = load_model(ModelRef(path=str(scratch.leave_out.full.folder(0))), CPU).module
    assert hash_weights(scratch.studies["grad-dot"].model.module) == hash_weights(full)


def test_further_truth_has_the_sign_of_retraining(further):
    means = further.ground_truth.groupby(["side", "subset"]).influence.mean()
    assert means["harmful"].idxmax() == "smiths"
    assert means["harmful", "smiths"] > 0
    assert means["harmless"].idxmax() == "weavers"


def test_a_trace_of_the_same_model_and_a_validation_do_not_take_each_other_s_cells(further, world, tmp_path):
    """Cells of a trace do not tell the time and memory that a validation compares."""
    values = {
        "kind": "trace", "model": {"path": str(world / "model"), "dtype": "float32"},
        "prompts": [prompt_spec(world)], "subsets": subset_specs(world), "method": {"name": "grad-dot"},
        "seeds": [0, 1, 2], "baselines": [], "device": "cpu", "block_size": 32,
    }  # fmt: skip
    cells = tmp_path / "cells"
    trace(build(TraceSpec, values, where="test"), tmp_path / "trace", cache=cells, threads=1)
    training = further.spec.training.model_copy(update={"equal_tokens": False})  # so that both see the same blocks
    changed = {"training": training, "samples_per_subset": 10_000, "seeds": [0], "methods": [method_spec("grad-dot")]}
    found = validate(further.spec.model_copy(update=changed), tmp_path / "out", cache=cells, threads=1)
    assert found.summary["methods"][0]["seconds"] > 0


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_model_that_exists_is_fine_tuned(world, tmp_path, family):
    path = make_model(tmp_path / family, family)
    spec = validate_spec(
        world, {"init": "base"}, model={"path": str(path)}, prompts=[prompt_spec(world, 8)],
        methods=[TRACIN, QUICK], seeds=[0], estimate_seeds=[0, 1], samples_per_subset=6,
    )  # fmt: skip
    found = validate(spec, tmp_path / "out", threads=1)
    assert found.environment["start"] == load_model(ModelRef(path=str(path)), CPU).digest
    assert all(row["failed"] is None for row in found.summary["methods"])
    assert not (found.folder / ".work").exists()
    assert np.isfinite(found.ground_truth.influence).all()
    assert found.ground_truth.influence.abs().max() > 1e-4
    means = found.ground_truth[found.ground_truth.side == "contrast"].groupby("subset").influence.mean()
    assert means.idxmax() == "smiths"
    again = validate(spec, tmp_path / "again", threads=1) if family == "gpt2" else found  # it has dropout
    for file in (GROUND_TRUTH, ESTIMATES):
        assert (again.folder / file).read_bytes() == (found.folder / file).read_bytes(), file
