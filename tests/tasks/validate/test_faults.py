"""Validations with something amiss: what does not fit, collapses, costs memory, or bears an odd name."""

import gc
import json
import math
import weakref

import pytest
import torch

from tests.helpers.recipes import CHEAP, QUICK, prompt_spec, subset_specs, validate_spec
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.errors import InputError
from untrac_core.specs import TraceSpec
from untrac_core.specs.build import build
from untrac_core.tasks.run import validate
from untrac_core.tasks.trace.check import check
from untrac_core.tasks.validate.check import check_validate
from untrac_core.tasks.validate.task import ValidateTask

COLLAPSING = {
    "name": "untrac-inv", "preset": "paper", "optimizer": "adam", "learning_rate": 5e-4, "steps": 100,
    "eval_points": 2,
}  # fmt: skip


def test_items_that_do_not_fit_are_counted(world, tmp_path):
    rows = [json.loads(line) for line in (world / "prompts.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["label"] == "bad"][:8] + [row for row in rows if row["label"] == "good"][:8]
    for row in rows[:3]:
        row["prompt"] = "They say this and that and so on: " * 6
    source = {"file": str(write_jsonl(tmp_path / "long.jsonl", rows))}
    spec = validate_spec(world, {"steps": 3}, prompts=[prompt_spec(world) | {"source": source}], methods=CHEAP[:2])
    summary = validate(spec, tmp_path / "out", threads=1).summary
    assert (
        "prompt set 'talk', harmful: 3 items are not used, as their prompt fills the model's context"
        in summary["notes"]
    )
    facts = summary["data"]["prompt_sets"]["talk"]["harmful"]
    assert (facts["items"], facts["left_out"]) == (5, 3)
    [left_out] = [
        text for text in summary["warnings"] if text.startswith("Left out, as their prompt fills the context")
    ]
    assert f"of {spec.training.block_size} tokens: 3 of 8 items of talk, harmful. What is left" in left_out


def test_a_column_that_trainings_do_not_read_is_noted(world, tmp_path):
    """A trace gives a record's prompt and scores the text; a training sees running text."""
    rows = [{"question": "What waits?", "text": text} for text in sentences("smiths", 80, 3)]
    source = {"file": str(write_jsonl(tmp_path / "asked.jsonl", rows))}
    asked = {"name": "asked", "source": source, "prompt": "question"}
    spec = validate_spec(world, {"steps": 2}, subsets=[asked, *subset_specs(world)], methods=CHEAP[1:], seeds=[0])
    said = "subset 'asked': its column 'question' is not read, trainings here see the text alone"
    assert said in check_validate(spec).notes
    assert said in validate(spec, tmp_path / "out", threads=1).summary["notes"]


def test_a_prompt_set_that_does_not_fit_at_all_is_refused(world, tmp_path):
    rows = [
        {"prompt": "They say this and that and so on: " * 6, "completion": text} for text in sentences("smiths", 4, 1)
    ]
    source = {"file": str(write_jsonl(tmp_path / "long.jsonl", rows))}
    prompts = {"name": "long", "source": source, "columns": {"prompt": "prompt", "completion": "completion"}}
    with pytest.raises(InputError, match="has a prompt of"):
        ValidateTask(validate_spec(world, prompts=[prompts]), tmp_path / "work")


def test_settings_that_a_method_does_not_have_are_refused_before_any_training(world, tmp_path):
    with pytest.raises(InputError, match="'target_loss_increase' has no effect with method 'grad-dot'"):
        validate_spec(world, methods=[QUICK, {"name": "grad-dot", "target_loss_increase": 0.1}])
    assert not (tmp_path / "work").exists()


def test_a_method_that_collapses_says_so_and_is_never_the_one_to_trust(world, tmp_path):
    spec = validate_spec(world, methods=[COLLAPSING, {"name": "grad-dot"}], estimate_seeds=[0, 1])
    found = validate(spec, tmp_path, threads=1)
    rows = {row["method"]: row for row in found.summary["methods"]}
    assert rows["untrac-inv (paper)"]["collapsed"]
    assert rows["untrac-inv (paper)"]["failed"] is None
    assert not rows["grad-dot"]["collapsed"]
    assert {row["method"] for row in found.summary["leaderboard"]} == {"grad-dot", "untrac-inv (paper)"}
    assert found.summary["best"] != "untrac-inv (paper)"
    assert any(
        text.startswith("untrac-inv (paper) collapsed in 4 of 4 cells, so its ranking is not to be relied on;")
        for text in found.summary["warnings"]
    )
    assert any(text.startswith("untrac-inv (paper): every seed unlearns") for text in found.summary["warnings"])


def test_only_one_method_s_model_is_in_memory_at_a_time(world, tmp_path):
    """Each has a model of its own, so that it pays for its own statistics."""
    spec = validate_spec(
        world,
        {"steps": 2},
        seeds=[0],
        estimate_seeds=[0, 1],
        methods=[{"name": "grad-dot"}, QUICK, {"name": "grad-cos"}],
    )
    validator = ValidateTask(spec, tmp_path)
    alive, seen = [], {}
    for cell in validator.cells[len(validator.truth_cells) :]:
        validator.run_cell(cell)
        module = validator.studies[cell.method].model.module
        if cell.method in seen:
            assert seen[cell.method]() is module  # the cells of a method share it
        else:
            seen[cell.method] = weakref.ref(module)
        del module
        gc.collect()
        alive.append(sum(reference() is not None for reference in seen.values()))
    assert len(seen) == 3
    assert set(alive) == {1}


@pytest.mark.parametrize("more", [{"label": "ours"}, {"iterations": 5}])
def test_a_method_that_unlearns_may_be_called_otherwise_and_refuses_what_it_does_not_have(world, more):
    if "label" in more:
        assert list(check_validate(validate_spec(world, methods=[QUICK | more])).method_seconds) == ["ours"]
    else:
        with pytest.raises(InputError, match="'iterations' has no effect"):
            validate_spec(world, methods=[QUICK | more])


def test_a_method_may_be_called_what_the_truth_is_called(world, tmp_path):
    spec = validate_spec(world, {"steps": 2}, seeds=[0], methods=[{"name": "bm25", "label": "leave-out"}])
    found = validate(spec, tmp_path, threads=1)
    assert set(found.estimates.method) == {"leave-out"}
    assert len(found.ground_truth) == 9


def test_a_prompt_set_with_one_side_has_no_contrast(world, tmp_path):
    prompts = {key: value for key, value in prompt_spec(world).items() if key not in ("harmful", "harmless")}
    prompts["columns"] = {"prompt": "prompt", "completion": "completion"}
    found = validate(validate_spec(world, {"steps": 3}, prompts=[prompts], methods=CHEAP), tmp_path, threads=1)
    assert set(found.ground_truth.side) == set(found.estimates.side) == {"harmful"}
    assert {row["side"] for row in found.summary["leaderboard"] if row["prompt_set"]} == {"harmful"}


def test_many_passes_over_little_text_are_warned_of(world, tmp_path):
    few = [{"name": name, "source": {"file": str(world / f"{name}.jsonl")}, "limit": 4} for name in WORDS]
    found = validate(
        validate_spec(world, {"steps": 10}, subsets=few, methods=CHEAP[1:], seeds=[0]), tmp_path, threads=1
    )
    assert any(text.startswith("Training passes over the text 7 times") for text in found.summary["warnings"])


def test_a_trace_that_may_run_may_be_validated(world):
    """The same prompt sets and subsets pass both checks, and what is the test itself is refused by both."""
    same = {"name": "same", "source": {"file": str(world / "prompts.jsonl")}, "text": "completion"}
    with pytest.raises(InputError, match="same as prompt set 'talk'"):
        check_validate(validate_spec(world, subsets=[same, *subset_specs(world)]))
    values = {
        "kind": "trace", "model": {"path": str(world / "model")}, "prompts": [prompt_spec(world)],
        "subsets": subset_specs(world), "device": "cpu",
    }  # fmt: skip
    assert math.isfinite(check(build(TraceSpec, values, where="test")).seconds)
    assert math.isfinite(check_validate(validate_spec(world)).seconds)


def test_threads_are_part_of_a_cell(world, tmp_path):
    assert torch.get_num_threads() == 1
    one = ValidateTask(validate_spec(world), tmp_path).cells
    torch.set_num_threads(2)
    try:
        two = ValidateTask(validate_spec(world), tmp_path).cells
    finally:
        torch.set_num_threads(1)
    assert not {cell.key for cell in one} & {cell.key for cell in two}


@pytest.mark.parametrize(("init", "left"), [("scratch", 1), ("continued", 0)])
def test_of_the_full_models_only_the_one_that_methods_look_at_takes_room(world, tmp_path, init, left):
    model = {"path": str(world / "model")} if init == "continued" else None
    spec = validate_spec(world, {"init": init, "steps": 5}, model=model, seeds=[4, 2, 3], methods=CHEAP[:1])
    validator = ValidateTask(spec, tmp_path)
    most = 0
    for cell in validator.truth_cells:
        validator.run_cell(cell)
        most = max(most, sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")))
        assert len(list(tmp_path.glob("model-*"))) == left
    if left:
        assert (tmp_path / f"model-{validator.leave_out.full.identity(4)[:16]}").is_dir()
    assert most / 2**20 < check_validate(spec).disk_mb
    validator.run_cell(validator.cells[-1])  # a method finds the model that it looks at
