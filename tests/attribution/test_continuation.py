"""Continuation: the same batches with and without a subset, what is kept and extended, and what it finds."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.helpers.worlds import assert_speakers_first
from untrac_core.attribution.base import make_method
from untrac_core.attribution.continuation import EVERY
from untrac_core.attribution.outcome import method_output
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.specs import method_spec
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.check import check
from untrac_core.tasks.trace.ranking import estimates
from untrac_core.tasks.trace.task import TraceTask

SHORT = {"name": "continuation", "steps": 20, "batch_size": 4, "learning_rate": 2e-3}


@pytest.fixture
def batches(monkeypatch):
    """The examples and weights of every step that is taken."""
    import untrac_core.attribution.continuation as module

    seen, original = [], module.mean_gradient

    def spy(model, examples, **more):
        seen.append(([example.id for example in examples], list(more["per_example"]), examples))
        return original(model, examples, **more)

    monkeypatch.setattr(module, "mean_gradient", spy)
    return seen


def test_the_subset_that_speaks_like_the_prompts_ranks_first(request_of, tmp_path):
    result = trace(request_of(SHORT), tmp_path)
    assert_speakers_first(result)
    assert result.summary["unit"] == "nats per token of continued training"


def test_without_a_subset_the_batches_are_the_same_but_for_its_blocks(request_of, batches):
    task = TraceTask(request_of(SHORT, seeds=[3]))
    before = hash_weights(task.study.model.module)
    tables = {cell.subset: task.run_cell(cell) for cell in task.cells}
    assert hash_weights(task.study.model.module) == before
    assert [cell.subset for cell in task.cells] == ["", "fishers", "weavers", "smiths"]
    whole, without = batches[:20], batches[20:40]  # with everything, then without the fishers
    own = {block.id for block in task.study.subsets["fishers"].blocks}
    for (every, weights, examples), (rest, heavier, _) in zip(whole, without, strict=True):
        assert rest == [name for name in every if name not in own]
        assert len(set(every)) == len(every) == 12
        tokens = [example.tokens for example in examples]
        assert np.dot(weights, tokens) == pytest.approx(1, abs=0.2)
        assert sum(heavier) == pytest.approx(1.5 * sum(weights[4:]))
    assert not tables[""].loss.equals(tables["smiths"].loss)


def test_its_number_is_the_difference_of_two_trainings(request_of):
    task = TraceTask(request_of(SHORT))
    frames = [task.run_cell(cell) for cell in task.cells]
    method = next(iter(task.panel.methods.values()))
    found = estimates(method_output(task.study, method, "it", task.cells, frames))["talk", "harmful"]["smiths"]
    by_hand = []
    for seed in (0, 1):
        part = {
            cell.subset: frame[frame.side == "harmful"]
            for cell, frame in zip(task.cells, frames, strict=True)
            if cell.seed == seed
        }
        by_hand.append((part["smiths"].loss.sum() - part[""].loss.sum()) / part[""].tokens.sum())
    np.testing.assert_allclose(found.per_seed, by_hand)


def test_more_steps_go_on_from_those_that_are_kept_and_end_with_the_same_bits(request_of, tmp_path, batches):
    longer = SHORT | {"steps": 40}
    cache = tmp_path / "kept"
    short, extended = (TraceTask(request_of(method, seeds=[0]), cache=cache) for method in (SHORT, longer))
    fresh = TraceTask(request_of(longer, seeds=[0]))
    short.run_cell(short.cells[1])
    assert len(batches) == 20
    grown = extended.run_cell(extended.cells[1])
    assert len(batches) == 40, "the first twenty steps were not taken again"
    pd.testing.assert_frame_equal(grown, fresh.run_cell(fresh.cells[1]), check_exact=True)
    assert len(batches) == 80


def test_a_training_that_was_stopped_goes_on(request_of, tmp_path, batches, monkeypatch):
    monkeypatch.setattr("untrac_core.training.states.SAVE_SECONDS", 0.0)
    task = TraceTask(request_of(SHORT, seeds=[0]), cache=tmp_path)
    study = task.study
    original, calls = study.losses, []

    def stop(examples):
        calls.append(1)
        if len(calls) == 3:  # before all steps, after ten, after twenty
            raise KeyboardInterrupt
        return original(examples)

    monkeypatch.setattr(study, "losses", stop)
    with pytest.raises(KeyboardInterrupt):
        task.run_cell(task.cells[0])
    assert len(batches) == 20
    monkeypatch.setattr(study, "losses", original)
    resumed = task.run_cell(task.cells[0])
    assert len(batches) == 20 + EVERY
    fresh = TraceTask(request_of(SHORT, seeds=[0]))
    pd.testing.assert_frame_equal(resumed, fresh.run_cell(fresh.cells[0]), check_exact=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 4000}, "too few for a batch of 4000 without repeats"),
        ({"steps": 15}, None),
    ],
)
def test_what_cannot_be_is_said_in_a_line(request_of, change, said):
    if said is None:
        with pytest.raises(InputError, match="steps"):
            request_of(SHORT | change)
        return
    task = TraceTask(request_of(SHORT | change, seeds=[0]))
    with pytest.raises(InputError, match=said):
        task.run_cell(task.cells[0])


def test_a_subset_that_is_nearly_everything_is_refused(request_of):
    study = TraceTask(request_of(SHORT)).study
    study.sizes = {"fishers": 95.0, "weavers": 3.0, "smiths": 2.0}
    method = make_method(method_spec("continuation"))
    with pytest.raises(InputError, match="'fishers' is 95% of the training: without it there is nothing to train on"):
        method.run(study, method.cells(study)[0])


def test_a_collapse_leaves_no_ranking(request_of, tmp_path):
    result = trace(request_of(SHORT | {"learning_rate": 5.0}), tmp_path)
    assert result.summary["ranking"] == []
    assert all(verdict["collapsed"] for verdict in result.summary["verdicts"])


def test_beside_a_method_it_has_a_ranking_of_its_own_and_its_cells_are_counted(request_of, tmp_path):
    spec = request_of(baselines=["continuation"], subsets=[
        subset.model_dump() | {"limit": 20} for subset in request_of().subsets
    ])  # fmt: skip
    result = trace(spec, tmp_path)
    rows = [row for row in result.summary["baselines"] if row["method"] == "continuation"]
    assert {row["side"] for row in rows} == {"harmful", "harmless", "contrast"}
    task = TraceTask(spec)
    assert check(spec).cells == len(task.cells) + len(task.eval_points) == 2 + 2 + 2 * 4
    assert json.dumps(result.summary)


def test_longer_trainings_cost_more(request_of):
    short, long = (check(request_of(SHORT | {"steps": steps})) for steps in (20, 200))
    assert 5 * short.flop < long.flop < 11 * short.flop
