"""Panels: every method's cells under its title, and whose fault ends a run."""

import pytest

from untrac_core.attribution.base import failed_frame
from untrac_core.attribution.outcome import MethodRunner
from untrac_core.errors import InputError
from untrac_core.specs import method_spec
from untrac_core.tasks.trace.task import TraceTask

DOT, BM25, RANDOM = (method_spec(name) for name in ("grad-dot", "bm25", "random"))
TRACIN = method_spec("tracin")


@pytest.fixture
def study(request_of):
    return TraceTask(request_of(seeds=[0, 1])).study


def ran(panel, study):
    cells = panel.cells(study)
    return panel.outcomes(study, cells, [panel.run(study, cell) for cell in cells])


def test_cells_come_method_by_method_under_their_titles(study):
    labelled = method_spec("grad-dot", trainable="matrices", label="on matrices")
    panel = MethodRunner([DOT, BM25, labelled])
    cells = panel.cells(study)
    assert [cell.method for cell in cells] == ["grad-dot"] * 2 + ["bm25"] * 2 + ["on matrices"] * 2
    assert len({cell.key for cell in cells}) == 6
    outcomes = ran(panel, study)
    assert [outcome.title for outcome in outcomes] == ["grad-dot", "bm25", "on matrices"]
    assert [outcome.method.name for outcome in outcomes] == ["grad-dot", "bm25", "grad-dot"]
    assert all([cell.method for cell in o.cells] == [o.title] * 2 and len(o.frames) == 2 for o in outcomes)


def test_the_fault_of_the_method_that_was_asked_for_ends_the_run(study):
    panel = MethodRunner([TRACIN, RANDOM])
    with pytest.raises(InputError, match="needs checkpoints"):
        panel.run(study, panel.cells(study)[0])


@pytest.mark.parametrize(("specs", "may"), [([RANDOM, TRACIN], False), ([TRACIN, RANDOM], True)])
def test_the_fault_of_another_is_its_own(study, specs, may):
    outcomes = {outcome.title: outcome for outcome in ran(MethodRunner(specs, first_may_fail=may), study)}
    assert "needs checkpoints" in outcomes["tracin"].failed
    assert "\n" not in outcomes["tracin"].failed
    assert outcomes["tracin"].collapsed("talk", "harmful")
    assert not outcomes["tracin"].ranked("talk", "harmful")
    assert outcomes["random"].failed is None
    assert outcomes["random"].collapsed_cells() == []


def test_a_fault_of_the_program_is_nobody_s_input(study, monkeypatch):
    panel = MethodRunner([RANDOM, DOT])

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(panel.methods["grad-dot"], "run", broken)
    with pytest.raises(ZeroDivisionError):
        panel.run(study, panel.cells(study)[-1])


def test_settings_that_a_method_does_not_have_are_refused_when_the_panel_is_made():
    with pytest.raises(InputError, match="'target_loss_increase' has no effect with method 'grad-dot'"):
        MethodRunner([RANDOM, method_spec("grad-dot", target_loss_increase=0.1)], first_may_fail=True)


def test_one_cell_that_fails_makes_the_method_fail(study):
    panel = MethodRunner([RANDOM])
    cells = panel.cells(study)
    frames = [panel.run(study, cells[0]), failed_frame("it does not fit")]
    (outcome,) = panel.outcomes(study, cells, frames)
    assert outcome.failed == "it does not fit"
    assert outcome.collapsed_cells() == [cells[1]]
