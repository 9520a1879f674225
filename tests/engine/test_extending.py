"""A finished trace is extended by more seeds: what it has computed is taken over, and the result is the same."""

import json

import pytest

from tests.helpers.commands import said
from untrac_core.engine.checks import SHARED, extension, seeds_tell
from untrac_core.engine.job import run_job
from untrac_core.engine.ledger import RunWriter
from untrac_core.errors import InputError
from untrac_core.tasks.ladder import extended
from untrac_core.tasks.run import trace

QUICK = {"name": "continuation", "steps": 10, "batch_size": 1, "leave_out": ["fishers"]}


@pytest.fixture
def small(request_of):
    """A request of two seeds: a continuation without one subset and a baseline, on few texts."""

    def make(seeds, method=None, **more):
        spec = request_of(method or QUICK, seeds=seeds, baselines=["grad-dot"], **more)
        prompts = [prompts.model_copy(update={"limit": 4}) for prompts in spec.prompts]
        subsets = [subset.model_copy(update={"limit": 4}) for subset in spec.subsets]
        return spec.model_copy(update={"prompts": prompts, "subsets": subsets})

    return make


@pytest.fixture
def to_its_end(store):
    """Queue a request and carry it out in this process."""

    def start(spec):
        ledger, run_id = RunWriter(store.home), store.submit(spec)
        _, attempt = ledger.claim("cpu")
        assert run_job(ledger, run_id, attempt) == 0, store.run(run_id).error
        ledger.left(run_id, attempt)
        return store.run(run_id)

    return start


def test_from_two_to_five_seeds_the_old_cells_are_taken_over_and_the_result_is_that_of_five(
    store, small, to_its_end, tmp_path
):
    first = to_its_end(small([0, 1]))
    assert (first.cells_reused, first.taken_over) == (0, "")
    wider = to_its_end(extension(first, 5))
    assert wider.spec.seeds == [0, 1, 2, 3, 4]
    # Of each seed: a training with everything, one without the subset, and a pass of the baseline.
    assert (wider.cells_reused, wider.cells_total) == (2 * 3, 5 * 3)
    assert wider.taken_over == "6 of 15 cells were taken over"
    fresh = tmp_path / "fresh"
    trace(small([0, 1, 2, 3, 4]), fresh)
    assert (wider.folder / "influence.parquet").read_bytes() == (fresh / "influence.parquet").read_bytes()
    ours, theirs = (json.loads((folder / "summary.json").read_text()) for folder in (wider.folder, fresh))
    for part in ("ranking", "verdicts", "ties", "baselines", "agreement"):
        assert ours[part] == theirs[part]
    assert store.run(first.id).status == "done", "the old run stays"
    store.delete(first.id)
    assert len(list(store.cells_folder.glob("*.parquet"))) == 15, "what the new run has stays, too"


def test_seeds_that_a_request_has_stay_first_and_the_name_says_how_many(small):
    spec = extended(small([3, 0]), 4)
    assert (spec.seeds, spec.name) == ([3, 0, 1, 2], "test, 4 seeds")
    assert extended(spec, 6).name == "test, 6 seeds"
    assert len(extended(spec.model_copy(update={"name": "n" * 80}), 50).name) <= 80


def test_what_cannot_be_extended_is_said_in_one_line(store, small, to_its_end, world, tmp_path, capsys):
    own = tmp_path / "fishers.jsonl"
    own.write_text((world / "fishers.jsonl").read_text())
    spec = small([0, 1], {"name": "bm25"})
    mine = spec.subsets[0].model_copy(update={"source": spec.subsets[0].source.model_copy(update={"file": str(own)})})
    spec = spec.model_copy(update={"subsets": [mine, *spec.subsets[1:]]})
    waiting = store.submit(spec)
    with pytest.raises(InputError, match="queued, so there is nothing to extend"):
        extension(store.run(waiting), 5)
    store.delete(waiting)
    run = to_its_end(spec)
    for seeds, why in ((2, "has 2 seeds already"), (1, "has 2 seeds already"), (51, "at most 50 seeds")):
        with pytest.raises(InputError, match=why):
            extension(run, seeds)
    own.write_text(own.read_text().replace("fish", "eel"))
    capsys.readouterr()
    status, out, err = said(capsys, "extend", run.id, "--seeds", "5")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "subset fishers has changed since the run" in err
    assert len(store.runs()) == 1


def test_a_method_that_more_seeds_tell_nothing_says_so(small):
    assert seeds_tell(small([0, 1]))
    assert not seeds_tell(small([0, 1], {"name": "untrac-inv"}))
    assert "more texts do" in SHARED
