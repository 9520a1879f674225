import re
import time

import pytest

from tests.helpers.making import enqueue, finish, said, sound, spec_of
from untrac_core.engine.database import change
from untrac_core.engine.ledger import RunWriter
from untrac_core.specs import KINDS
from untrac_core.specs.build import build

RUN = "cccccccccccc"


def labels(at):
    return [button.label for button in at.button]


def test_a_waiting_run_says_how_many_are_before_it_and_can_be_cancelled(page, store, tmp_path):
    spec = spec_of(["forum", "news"], tmp_path / "data", name="mine")
    enqueue(store, spec, "bbbbbbbbbbbb", created=1.0)
    enqueue(store, spec, RUN, created=2.0)
    at = page("pages/runs.py", run=RUN)
    assert "1 run before it in the queue" in said(at)
    assert at.progress[0].value == 0
    at.button(key="cancel").click().run()
    assert store.run(RUN).status == "cancelled"
    assert "Resume" in labels(sound(at))
    at.button(key="resume").click().run()
    assert store.run(RUN).status == "queued"


def test_a_running_run_shows_phase_and_share_and_its_silence(page, store, tmp_path):
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data"), RUN)
    RunWriter(store.home).claim("cpu")
    with change(store.database) as connection:
        connection.execute(
            "update runs set phase = 'loading the model', cells_total = 4, part = 0.5, heartbeat = ?, pid = 1",
            (time.time() - 70,),
        )
    at = page("pages/runs.py", run=RUN)
    assert "loading the model" in said(at)
    assert at.progress[0].value == 12
    assert re.search(r"No sign of life for 1 min \d+ s", said(at))
    assert "Delete" not in labels(at)


def test_a_failed_run_says_why_in_one_line(page, store, tmp_path):
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data"), RUN)
    finish(store, RUN, "failed", "the machine ran out of memory; finished cells are kept: resume")
    at = page("pages/runs.py", run=RUN)
    assert "the machine ran out of memory" in said(at)
    assert {"Resume", "Delete"} <= set(labels(at))


def test_deleting_asks_first(page, store, tmp_path):
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data", name="short-lived"), RUN)
    finish(store, RUN, "cancelled")
    at = page("pages/runs.py", run=RUN)
    at.button(key="delete").click().run()
    assert "This cannot be undone." in said(sound(at))
    assert store.run(RUN).name == "short-lived"


def test_an_unknown_run_is_said_and_the_list_stays(page):
    for run_id in ("dddddddddddd", "../../etc/passwd", "' or 1=1 --"):
        at = page("pages/runs.py", run=run_id)
        assert "There is no run with the id in this address" in said(at)
        assert len(at.dataframe) == 1


def test_the_request_can_be_copied_as_yaml(page, store, tmp_path):
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data"), RUN)
    assert "kind: trace" in said(page("pages/runs.py", run=RUN))


@pytest.mark.parametrize(
    ("kind", "values", "label", "title"),
    [
        ("fetch", {"models": [{"path": "demo"}]}, "See it in the library", "Which model do you want to study?"),
        (
            "generate",
            {"model": {"path": "demo"}, "texts": ["a"]},
            "See what it wrote",
            "What should the model not write?",
        ),
    ],
)
def test_runs_that_rank_nothing_lead_to_the_library(page, store, kind, values, label, title):
    enqueue(store, build(KINDS[kind], {**values, "device": "cpu"}, where="test"), RUN)
    at = page("pages/runs.py", run=RUN)
    assert f"kind: {kind}" in said(at)
    finish(store, RUN, "done")
    at = page("pages/runs.py", run=RUN)
    assert label in labels(at)
    at.button(key="result").click().run()
    assert sound(at).subheader[0].value == title
    at = page("pages/influence.py", run=RUN)
    assert "This run ranks no subsets" in said(at)
    assert page().button(key=f"row_{RUN}").label == "Look"
