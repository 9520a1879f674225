"""The verification on the examples page: offered, under way, failed, finished, damaged, and with hostile names."""

import json

import pandas as pd
import pytest

from tests.helpers.making import HOSTILE, enqueue, finish, no_markup, said, sound, spec_of, write_result
from untrac_core.engine import DEMO_RUN
from untrac_core.errors import InputError
from untrac_core.results.folders import EXAMPLES, VERIFIED_EXAMPLES, write_frame
from untrac_core.specs import VerifySpec
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml

TRACE, CHECK = "bbbbbbbbbbbb", "cccccccccccc"
NAMES = ["forum", "blog"]
OFFER = "Check the first ten of this list"
EACH = 8


def examples(names):
    rows = [
        ("prompts", "harmful", name, str(i), "line 1", "the weavers sing", 3, 2.5, value, value - 0.02, value + 0.02)
        for shift, name in enumerate(names)
        for i in range(EACH)
        for value in [0.08 - 0.01 * i - 0.001 * shift]
    ]
    columns = "prompt_set side subset id reference text tokens loss_before influence low high"
    return pd.DataFrame(rows, columns=columns.split())


def first(names):
    rows = examples(names).nlargest(10, "influence")
    return [{"subset": row.subset, "id": row.id} for row in rows.itertuples()]


@pytest.fixture
def traced(store, tmp_path):
    """A finished trace with single texts; returns its spec."""

    def make(names=NAMES):
        spec = spec_of(names, tmp_path / "data")
        enqueue(store, spec, TRACE)
        write_result(store.runs_folder / TRACE, spec)
        write_frame(examples(names), store.runs_folder / TRACE / EXAMPLES)
        finish(store, TRACE, "done")
        return spec

    return make


@pytest.fixture
def check(store):
    """Queue a check of the first texts; ``status``: how it ended; ``done`` also writes what it found."""

    def make(trace, names=NAMES, status=None, run_id=CHECK, texts=None, error=None):
        values = {"trace": trace.model_dump(), "of": TRACE, "prompt_set": "prompts", "texts": texts or first(names)}
        spec = build(VerifySpec, values | {"name": "Verification", "device": "cpu"}, where="test")
        enqueue(store, spec, run_id)
        if status == "done":
            write_check(store.runs_folder / run_id, spec, names)
        if status:
            finish(store, run_id, status, error)
        return spec

    return make


def write_check(folder, spec, names):
    """What a check found: unlearned alone, the chosen texts do what their scores say, the controls nothing."""
    folder.mkdir(parents=True)
    chosen = [(text.subset, text.id, "chosen") for text in spec.texts]
    others = [(names[0], str(i), "control") for i in range(EACH) if (names[0], str(i), "chosen") not in chosen]
    rows = []
    for place, (subset, name, role) in enumerate(chosen + others):
        value = 0.01 - 0.0005 * place if role == "chosen" else -0.0001
        rows.append((subset, name, role, "harmful", value, value - 0.001, value + 0.001, 0.05))
    columns = "subset id role side influence low high loss_increase"
    write_frame(pd.DataFrame(rows, columns=columns.split()), folder / VERIFIED_EXAMPLES)
    side = {"side": "harmful", "text": f"Unlearned alone, they move {names[0]}.", "clear": True}
    summary = {"kind": "verify", "sides": [side], "warnings": [f"a warning of {names[0]}"]}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "environment.json").write_text("{}")
    (folder / "spec.yaml").write_text(to_yaml(spec))


def offers(at):
    return [button.label for button in at.button if button.key == "verify"]


def links(at):
    return [link.proto.label for link in at.get("page_link")]


def scatter(at):
    specs = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    return next(spec for spec in specs if "unlearned alone" in spec["layout"]["yaxis"]["title"].get("text", ""))


def test_it_is_offered_and_asked_for(page, store, traced, monkeypatch):
    traced()
    at = page("pages/examples.py", run=TRACE)
    assert "Verify examples" in said(at)
    assert offers(at) == [OFFER]
    at.button(key="verify").click().run()
    # The demo's model has no prompt column here and its texts other ids, so the request is refused in one line.
    assert "there is no text" in said(sound(at))
    assert not store.runs(kind="verify")


def test_the_demo_s_first_ten_can_be_checked(page, store):
    at = page("pages/examples.py", run=DEMO_RUN)
    assert offers(at) == [OFFER]
    assert any(caption.value.startswith("Time: about") for caption in at.caption)
    at.button(key="verify").click().run()
    sound(at)
    (run,) = store.runs(kind="verify")
    assert (run.spec.of, run.spec.prompt_set, run.status) == (DEMO_RUN, "toxicity", "queued")
    assert len(run.spec.texts) == run.spec.controls == 10
    assert offers(at) == []
    assert "See the run" in links(at)


def test_one_under_way_shows_how_far_it_is(page, traced, check):
    check(traced())
    at = page("pages/examples.py", run=TRACE)
    assert "next in the queue" in said(at)
    assert "Verification · 10 texts unlearned alone · 10 controls" in said(at)
    assert offers(at) == []
    assert "See the run" in links(at)


def test_one_that_failed_says_why_and_is_offered_again(page, traced, check):
    check(traced(), status="failed", error="memory ran out")
    at = page("pages/examples.py", run=TRACE)
    assert "memory ran out" in said(at)
    assert offers(at) == [OFFER]
    assert at.button(key=f"again_{CHECK}").label == "Try again"


def test_what_it_found_is_said_and_drawn(page, traced, check):
    check(traced(), status="done")
    at = page("pages/examples.py", run=TRACE)
    assert offers(at) == []
    told = said(at)
    assert "Unlearned alone, they move forum." in told
    assert "a warning of forum" in told
    assert "Both rank the texts alike: Spearman" in told
    assert "not that a model that was retrained without a text would agree" in told
    controls, chosen = scatter(at)["data"]
    assert (len(chosen["x"]), len(controls["x"])) == (10, 3)
    assert set(chosen["marker"]["color"]) == {"#D55E00"}
    assert set(controls["marker"]["color"]) == {"#999999"}
    assert controls["marker"]["symbol"] == "circle-open"
    by_text = {tuple(name): (x, y) for name, x, y in zip(chosen["customdata"], chosen["x"], chosen["y"], strict=True)}
    assert by_text["forum", "0"] == pytest.approx((0.08, 0.01))


def test_a_check_of_other_texts_is_shown_and_another_offered(page, traced, check):
    trace = traced()
    check(trace, status="done", texts=[{"subset": "blog", "id": "7"}])
    at = page("pages/examples.py", run=TRACE)
    assert "a check of other texts" in said(at)
    assert offers(at) == [OFFER]
    assert len(scatter(at)["data"][1]["x"]) == 1
    check(trace, status="done", run_id="dddddddddddd")
    at = page("pages/examples.py", run=TRACE)
    assert len(scatter(at)["data"][1]["x"]) == 10
    assert offers(at) == []
    at.segmented_control(key="order").set_value("least influential").run()
    assert offers(sound(at)) == [OFFER]


def test_damaged_files_are_one_line(page, store, traced, check):
    check(traced(), status="done")
    (store.runs_folder / CHECK / VERIFIED_EXAMPLES).write_bytes(b"no table")
    at = page("pages/examples.py", run=TRACE)
    assert "The files of this check cannot be read" in said(at)
    assert "a file is damaged" in said(at)


def test_hostile_names_stay_text(page, traced, check):
    check(traced(HOSTILE), HOSTILE, status="done")
    at = page("pages/examples.py", run=TRACE)
    no_markup(at)
    drawn = scatter(at)
    assert HOSTILE[0] in {name for trace in drawn["data"] for name, _ in trace.pop("customdata")}  # never drawn
    assert "<a" not in json.dumps(drawn)
    assert "<img" not in json.dumps(drawn)


def test_its_run_leads_to_the_texts_of_its_trace(page, store, traced, check):
    trace = traced()
    spec = check(trace, status="done")
    at = page("pages/runs.py", run=CHECK)
    assert "Verification · 10 texts unlearned alone" in said(at)
    at.button(key="result").click().run()
    assert "Unlearned alone, they move forum." in said(sound(at))
    enqueue(store, spec.model_copy(update={"of": ""}), "eeeeeeeeeeee")
    finish(store, "eeeeeeeeeeee", "done")
    at = page("pages/runs.py", run="eeeeeeeeeeee")
    assert "result" not in [button.key for button in at.button]


def test_a_foreign_trace_is_no_request(traced):
    with pytest.raises(InputError, match="no prompt set"):
        build(
            VerifySpec,
            {"trace": traced().model_dump(), "prompt_set": "other", "texts": first(NAMES)},
            where="request",
        )
