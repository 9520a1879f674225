"""The curve of a trace that is under way: what was seen of the prompts, as far as it came, and nothing more."""

import pandas as pd
import pytest

from untrac_core.models import losses as counted
from untrac_core.results.folders import read_frame
from untrac_core.tasks.base import Place
from untrac_core.tasks.trace.frames import trajectory
from untrac_core.tasks.trace.live import LIVE, LiveTable, changes, curve, sides_so_far
from untrac_core.tasks.trace.ranking import influence_frame
from untrac_core.tasks.trace.task import TraceTask, open_task

FLOW = {"name": "untrac", "samples": 24, "steps": 4, "batch_size": 4, "relative_step": 0.5, "eval_points": 2}
SHORT = {"name": "continuation", "steps": 20, "batch_size": 4, "learning_rate": 2e-3}


@pytest.mark.parametrize("method", [FLOW, SHORT])
def test_the_last_point_of_the_curve_belongs_to_the_result(request_of, tmp_path, method):
    task = open_task(request_of(method, baselines=[]), Place(tmp_path))
    frames = [task.run_cell(cell) for cell in task.cells]
    evaluations = read_frame(tmp_path / LIVE)
    drawn = {
        side: curve(evaluations, task.spec.method.title, "talk", side) for side in sides_so_far(evaluations, "talk")
    }
    assert list(drawn) == ["contrast", "harmful", "harmless"]
    steps = [0, 2, 4] if method is FLOW else [0, 10, 20]
    for points in drawn.values():
        assert sorted(points["step"].unique()) == steps
        assert set(points["subset"]) == {"fishers", "weavers", "smiths"}
        assert (points["seeds"] == 2).all()
        assert (points.loc[points["step"] == 0, "influence"] == 0).all()
    (outcome,) = task.panel.outcomes(task.study, task.cells, frames)
    told = trajectory(influence_frame(outcome), "talk", "harmful").query(f"step == {steps[-1]}")
    if method is SHORT:  # its number is the mean of the last half of the evaluations: of twenty steps, the last
        assert (told["step"] == 20).all()
    both = told.merge(drawn["harmful"], on=["subset", "step"])
    assert len(both) == 3
    assert both["influence_x"].tolist() == pytest.approx(both["influence_y"].tolist())
    task.write(tmp_path, frames, 0.0, 0.0)
    assert not (tmp_path / LIVE).parent.exists()


@pytest.mark.parametrize("method", [FLOW, SHORT])
def test_it_measures_nothing_more_and_the_numbers_are_the_same(request_of, tmp_path, monkeypatch, method):
    seen, original = [], counted.batch_losses
    monkeypatch.setattr(counted, "batch_losses", lambda *given: seen.append(1) or original(*given))
    tables, passes = [], []
    for live in (None, tmp_path / LIVE):
        task, before = TraceTask(request_of(method, seeds=[0], baselines=[]), live=live), len(seen)
        tables.append([task.run_cell(cell) for cell in task.cells])
        passes.append(len(seen) - before)
    assert passes[0] == passes[1] > 0
    for without, beside in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(without, beside, check_exact=True)


def test_a_run_that_goes_on_keeps_what_was_seen(request_of, tmp_path):
    """Also the training with everything, which an earlier attempt has done, and the steps of one that stopped."""
    spec, path, cache = request_of(SHORT, seeds=[0], baselines=[]), tmp_path / LIVE, tmp_path / "kept"
    first = TraceTask(spec, cache=cache, live=path)
    first.run_cell(first.cells[0])
    again = TraceTask(spec, cache=cache, live=path)
    again.run_cell(again.cells[1])
    found = changes(read_frame(path))
    assert set(found["subset"]) == {"fishers"}
    assert sorted(found["step"].unique()) == [0, 10, 20]
    path.unlink()
    kept = TraceTask(spec, cache=cache, live=path)
    kept.run_cell(kept.cells[0])  # from its last state: its evaluations come with it
    assert sorted(read_frame(path)["step"].unique()) == [0, 10, 20]


def test_a_broken_table_is_begun_anew_and_seldom_written(request_of, tmp_path, monkeypatch):
    path = tmp_path / LIVE
    path.parent.mkdir()
    path.write_bytes(b"half a table")
    written = []
    monkeypatch.setattr(LiveTable, "write", lambda table: written.append(len(table._evaluations)))
    task = TraceTask(request_of(FLOW, seeds=[0], baselines=[]), live=path)
    task.run_cell(task.cells[0])
    assert written[-1] == 3 + 3 * 3  # the untouched model at three steps, and each of three subsets


def test_a_line_is_that_of_the_seeds_that_came_furthest():
    rows = [
        {
            "method": "m",
            "seed": seed,
            "step": step,
            "prompt_set": "talk",
            "side": "harmful",
            "subset": subset,
            "loss": at,
        }
        for seed, steps in ((0, (0, 10, 20)), (1, (0, 10)))
        for step in steps
        for subset, at in (("", 1.0), ("a", 1.0 + step * (1 + seed)))
    ]
    points = curve(pd.DataFrame(rows), "m", "talk", "harmful")
    assert points["influence"].tolist() == [0.0, 10.0, 20.0]
    assert points["seeds"].tolist() == [1, 1, 1]
