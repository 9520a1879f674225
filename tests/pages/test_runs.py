import json
import re
import time

import pandas as pd
import pytest

from pages.components.layout.under_way import in_words, tab_title
from pages.components.runs import listing
from tests.helpers.making import HOSTILE, enqueue, finish, no_markup, said, sound, spec_of, write_result
from untrac_core.engine.database import change
from untrac_core.engine.ledger import RunWriter
from untrac_core.explore.tables import trace_live
from untrac_core.results.folders import write_frame
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


def write_evaluations(folder, steps):
    """What a run has seen of its prompts: each subset's loss on two sides, by one seed."""
    rows = [
        {"cell": "c", "method": "continuation", "seed": 0, "subset": subset, "step": step, "prompt_set": "talk"}
        | {"side": side, "loss": 2.0 + rise * step * (2 if side == "harmful" else 1)}
        for step in steps
        for subset, rise in (("", 0.0), ("forum", 0.01), ("news", -0.002))
        for side in ("harmful", "harmless")
    ]
    path = folder / trace_live.LIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frame(pd.DataFrame(rows), path)


def test_a_running_trace_shows_its_curve_as_far_as_it_came(page, store, tmp_path):
    spec = spec_of(["forum", "news"], tmp_path / "data", method={"name": "continuation"})
    [prompts] = spec.prompts
    columns = prompts.columns.model_copy(update={"label": "label"})
    sides = {"harmful": "toxic", "harmless": "benign", "columns": columns}
    two_sided = prompts.model_copy(update={"name": "talk", **sides})
    enqueue(store, spec.model_copy(update={"prompts": [two_sided]}), RUN)
    ledger = RunWriter(store.home)
    _, attempt = ledger.claim(store.run(RUN).device)
    assert "The curve begins with the first evaluation of the prompts." in said(page("pages/runs.py", run=RUN))
    write_evaluations(store.run(RUN).folder, (0, 10, 20))
    at = page("pages/runs.py", run=RUN)
    told = said(at)
    assert "Continuation, 1 seed so far" in told
    assert "makes toxic rather than benign texts more likely" in told
    lines = {line["name"]: line for line in json.loads(at.get("plotly_chart")[0].proto.spec)["data"] if "name" in line}
    assert lines["forum"]["y"] == pytest.approx([0.0, 0.1, 0.2])
    assert lines["forum"]["x"] == [0, 10, 20]
    assert lines["news"]["y"] == pytest.approx([0.0, -0.02, -0.04])
    assert lines["forum"]["line"]["color"] != lines["news"]["line"]["color"]
    at = sound(at.selectbox(key="live_place").select_index(2).run())
    assert "makes benign texts more likely" in said(at)
    ledger.finish(RUN, attempt, "failed", "the disk is full")
    assert page("pages/runs.py", run=RUN).get("plotly_chart"), "what it has seen stays"


def test_a_method_without_evaluations_promises_no_curve(page, store, tmp_path):
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data"), RUN)
    RunWriter(store.home).claim("cpu")
    assert "curve" not in said(page("pages/runs.py", run=RUN))


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
    assert page().button(key=f"row_{RUN}").label == "View"


def listed(at):
    return next(frame.value for frame in sound(at).dataframe if "kind" in frame.value.columns)


@pytest.fixture
def several(store, tmp_path):
    """Two runs that have ended, and how to tick rows of the list, which a test without a browser cannot."""
    for run, name in (("a" * 12, "first look"), ("b" * 12, "second look")):
        enqueue(store, spec_of(["forum", "blog"], tmp_path / run, name=name), run)
        finish(store, run, "failed")
    return store


@pytest.fixture
def tick(monkeypatch):
    def rows(*names):
        monkeypatch.setattr(listing, "chosen_rows", lambda event, runs: [run for run in runs if run.name in names])

    return rows


def test_runs_are_found_by_words_kind_and_tag_and_sorted(page, several):
    several.label("a" * 12, tags=["paper"], notes="the long one")
    at = page("pages/runs.py")
    assert {"kind", "method", "model", "tags", "notes"} <= set(listed(at).columns)
    assert "UnTrac-Inv (robust)" in set(listed(at)["method"])
    at.text_input(key="runs_find").set_value("SECOND").run()
    assert listed(at)["name"].tolist() == ["second look"]
    at.text_input(key="runs_find").set_value("long").run()
    assert listed(at)["name"].tolist() == ["first look"]
    at.text_input(key="runs_find").set_value("no such run").run()
    assert "No run fits." in said(sound(at))
    at.text_input(key="runs_find").set_value("").run()
    at.multiselect(key="runs_tags").set_value(["paper"]).run()
    assert listed(at)["name"].tolist() == ["first look"]
    at.multiselect(key="runs_tags").set_value([]).run()
    at.multiselect(key="runs_methods").set_value(["UnTrac-Inv (robust)"]).run()
    at.selectbox(key="runs_sort").set_value("name").run()
    names = listed(at)["name"].tolist()
    assert names == sorted(names, key=str.casefold)
    assert {"first look", "second look"} <= set(names)


def test_one_ticked_run_is_opened_by_a_button(page, several, tick):
    tick("first look")
    at = page("pages/runs.py")
    at.button(key="runs_open").click().run()
    assert at.query_params["run"] in ("a" * 12, ["a" * 12])
    assert "Resume" in labels(sound(at))


def test_several_ticked_runs_are_tagged_and_deleted_at_once(page, several, tick):
    tick("first look", "second look")
    at = page("pages/runs.py")
    assert at.button(key="runs_open").disabled
    assert at.button(key="runs_compare").disabled, "they have no result"
    at.text_input(key="runs_tag").set_value("paper").run()
    at.button(key="runs_tag_apply").click().run()
    assert {several.run(run * 12).tags for run in "ab"} == {("paper",)}
    at = page("pages/runs.py")
    assert "This cannot be undone." in said(at)
    assert {"first look", "second look"} <= {text.value for text in at.text}
    assert at.button(key="runs_delete").label == "Delete 2 runs"
    at.button(key="runs_delete").click().run()
    assert not {"a" * 12, "b" * 12} & {run.id for run in several.runs()}


def test_two_finished_traces_are_compared_at_once(page, store, tick, tmp_path):
    for run, name in (("a" * 12, "first look"), ("b" * 12, "second look")):
        spec = spec_of(["forum", "blog", "news"], tmp_path / "data", name=name)
        enqueue(store, spec, run)
        write_result(store.runs_folder / run, spec)
        finish(store, run, "done")
    store.label("a" * 12, name="renamed look")
    tick("renamed look", "second look")
    at = page("pages/runs.py")
    at.button(key="runs_compare").click().run()
    sound(at)
    assert any("renamed look" in str(box.options) + str(box.value) for box in at.selectbox)


def test_a_run_gets_a_name_tags_and_notes_which_stay_text(page, several):
    at = page("pages/runs.py", run="a" * 12)
    at.text_input(key=f"label_name_{'a' * 12}").set_value(HOSTILE[0])
    at.text_input(key=f"label_tags_{'a' * 12}").set_value(f"paper, {HOSTILE[1][:40]}")
    at.text_area(key=f"label_notes_{'a' * 12}").set_value("\n".join(HOSTILE))
    at.button(key="label_save").click().run()
    run = several.run("a" * 12)
    assert (run.name, run.tags[0], run.notes) == (HOSTILE[0], "paper", "\n".join(HOSTILE))
    at = page("pages/runs.py", run="a" * 12)
    no_markup(at)
    assert any(HOSTILE[1] in text.value for text in at.text)
    at.text_input(key=f"label_tags_{'a' * 12}").set_value("t" * 41)
    at.button(key="label_save").click().run()
    assert "a tag of 41 characters cannot be kept" in said(sound(at))


def test_what_goes_on_is_told_in_the_sidebar_of_every_page_and_so_is_its_end(page, store, tmp_path):
    idle = [link.proto.label for link in page("pages/evidence.py").get("page_link")]
    assert "Evidence" in idle
    assert not [label for label in idle if ":" in label]
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data", name=HOSTILE[0]), RUN)
    at = page("pages/evidence.py")
    links = [link.proto.label for link in at.get("page_link")]
    assert "Trace: waiting" in links
    no_markup(at)
    RunWriter(store.home).claim("cpu")
    with change(store.database) as connection:
        connection.execute("update runs set cells_total = 4, part = 0.5")
    runs = [store.run(RUN)]
    assert tab_title("Evidence · untrac", runs) == "12% · Evidence · untrac"
    assert in_words(runs) == "Trace: 12% done"
    assert in_words(runs * 3) == "Trace: 12% done, and 2 more runs"
    with change(store.database) as connection:
        connection.execute("update runs set status = 'done'")
    assert tab_title("Evidence · untrac", [store.run(RUN)]) == "done · Evidence · untrac"
    assert tab_title("Evidence · untrac", []) == "Evidence · untrac"
