"""UnTrac with the rest held: its first step, its batches, its states, its step size, and when it stops."""

import numpy as np
import pytest
import torch

from tests.helpers.worlds import assert_speakers_first
from untrac_core.attribution.linear import MICRO
from untrac_core.attribution.outcome import method_output
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.specs import method_spec
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.ranking import estimates
from untrac_core.tasks.trace.task import TraceTask
from untrac_core.training.flow import Flow
from untrac_core.training.vectors import flat

FLOW = {"name": "untrac", "samples": 24, "steps": 6, "batch_size": 4, "relative_step": 0.5, "eval_points": 2}


def found(task: TraceTask, side: str = "harmful") -> dict:
    frames = [task.run_cell(cell) for cell in task.cells]
    method = next(iter(task.panel.methods.values()))
    return estimates(method_output(task.study, method, "it", task.cells, frames))["talk", side]


def test_the_subset_that_speaks_like_the_prompts_ranks_first(request_of, tmp_path):
    result = trace(request_of(FLOW), tmp_path)
    assert_speakers_first(result)
    assert result.summary["unit"] == "nats per token of partial retraining"
    assert "while the rest is trained on" in result.summary["verdicts"][0]["text"]


def test_the_first_step_is_the_linear_influence_of_leaving_a_subset_out(request_of):
    """A tiny step, from all blocks: the product of gradients, weighed by the shares, times the step."""
    tiny = TraceTask(request_of(FLOW | {"steps": 1, "relative_step": 0.1, "subsample": 1.0, "damping": 0.1}))
    method = next(iter(tiny.panel.methods.values()))
    by_flow = found(tiny)
    rate = 0.1 * method._limit[1]
    product = found(TraceTask(request_of({"name": "untrac-inv", "samples": 24}, seeds=[0])))
    for subset, one in by_flow.items():
        assert one.value == pytest.approx(rate / MICRO * product[subset].value, rel=0.03, abs=1e-6)


def test_weights_come_back_and_every_seed_has_batches_of_its_own(request_of):
    task = TraceTask(request_of(FLOW))
    before = hash_weights(task.study.model.module)
    tables = [task.run_cell(cell) for cell in task.cells]
    assert hash_weights(task.study.model.module) == before
    assert [cell.seed for cell in task.cells] == [0, 1]
    assert set(tables[0].subset) == {"fishers", "weavers", "smiths"}
    assert sorted(tables[0].step.unique()) == [0, 3, 6]
    assert not tables[0].change.equals(tables[1].change)
    assert task.run_cell(task.cells[0]).equals(tables[0])
    assert (tables[0][tables[0].step == 0].change == 0).all()
    ends = tables[0][tables[0].step == 6].groupby("subset").loss_increase.first()
    assert (ends > 0).all()  # its own loss rises


def test_it_solves_what_it_says_where_that_can_be_solved(request_of, monkeypatch):
    """With gradients of a quadratic loss, many steps end at the minimum of Phi, which is known in closed form."""
    import untrac_core.training.flow as module

    task = TraceTask(request_of(FLOW | {"steps": 60, "relative_step": 0.5, "subsample": 1.0}))
    study = task.study
    method = next(iter(task.panel.methods.values()))
    with method._flows(study, task.cells[0]) as flows:
        flow = next(flows)
        start = flat(flow.moved)
        curved = 0.5 / (method.settings.relative_step * method._limit[1])

        def quadratic(model, examples, weight=1.0, *, per_example):
            """L = c |theta - theta_0|^2 / 2 times the weight of the batch, in the metric of P."""
            for _, parameter, part in flow.moved.views(flat(flow.moved) - start):
                parameter.grad = curved * part.clone()
            return torch.tensor(0.5 * curved * float((flat(flow.moved) - start).square().sum()))

        monkeypatch.setattr(module, "mean_gradient", quadratic)
        monkeypatch.setattr(Flow, "_scaled", lambda self, vector: vector)
        assert flow.go_to(60)
        np.testing.assert_allclose(flow.moved.matrix, -flow.ascent / curved, rtol=1e-3, atol=1e-7)


def test_a_flow_that_stopped_goes_on_with_the_same_bits(request_of, tmp_path):
    spec = request_of(FLOW, seeds=[0])
    task = TraceTask(spec, cache=tmp_path)
    whole = task.run_cell(task.cells[0])
    assert len(list(tmp_path.glob("*.safetensors"))) == 3  # curvature, and a state at each look
    for path in sorted(tmp_path.glob("*.safetensors"), key=lambda p: p.stat().st_mtime)[-1:]:
        path.unlink()
    steps = []
    original = Flow._take

    def take(self):
        steps.append(self.step)
        return original(self)

    Flow._take = take
    try:
        again = TraceTask(spec, cache=tmp_path)
        np.testing.assert_array_equal(again.run_cell(again.cells[0]).change, whole.change)
    finally:
        Flow._take = original
    assert steps[-3:] == [3, 4, 5]


def test_subsets_in_several_passes_give_the_same_numbers(request_of):
    task = TraceTask(request_of(FLOW, seeds=[0]))
    whole = task.run_cell(task.cells[0])
    task = TraceTask(request_of(FLOW, seeds=[0]))
    next(iter(task.panel.methods.values())).budget_mb = 1e-3
    np.testing.assert_allclose(task.run_cell(task.cells[0]).change, whole.change, atol=1e-6)


def test_a_flow_that_runs_away_stops_before_it_and_says_so(request_of, tmp_path):
    wild = FLOW | {"relative_step": 20.0, "steps": 12, "eval_points": 12}
    result = trace(request_of(wild), tmp_path / "wild")
    assert any("before it ran away" in text or "collapsed" in text for text in result.summary["warnings"])
    hopeless = trace(request_of(FLOW | {"relative_step": 1e6, "eval_points": 1}), tmp_path / "hopeless")
    assert hopeless.ranking("talk", "harmful").empty
    assert any("UnTrac-Inv's product" in text for text in hopeless.summary["ended"])


def test_what_it_cannot_do_is_one_line(request_of):
    for change, said in (
        ({"method": FLOW | {"batch_size": 500}}, "too few for a batch of 500"),
        ({"model": request_of().model.model_dump() | {"dtype": "bfloat16"}}, "small changes of the weights are lost"),
    ):
        spec = request_of(change.pop("method", FLOW), **change)
        task = TraceTask(spec)
        with pytest.raises(InputError, match=said):
            task.run_cell(task.cells[0])
    with pytest.raises(InputError, match="'two_sided' has no effect on UnTrac with preset 'robust'"):
        TraceTask(request_of(FLOW | {"two_sided": True}))


def test_a_spec_without_settings_takes_the_presets():
    from untrac_core.attribution.settings import flow_settings

    settings = flow_settings(method_spec("untrac"))
    assert (settings.steps, settings.batch_size, settings.damping, settings.subsample) == (20, None, 1.0, 0.5)
