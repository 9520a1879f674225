import json

import pytest

from pages.components.layout import downloads as handing_over
from tests.helpers.making import (
    HOSTILE,
    enqueue,
    finish,
    make_hostile_run,
    no_markup,
    said,
    sound,
    spec_of,
    write_result,
)
from tests.helpers.validations import RUN as CHECKED
from tests.helpers.validations import validate_spec, write_validation
from untrac_core.engine import DEMO_RUN


@pytest.fixture
def checked(store, tmp_path):
    """The id of a finished validation."""
    spec = validate_spec(tmp_path / "checked")
    enqueue(store, spec, CHECKED)
    write_validation(store.runs_folder / CHECKED, spec, change=lambda summary: summary.update(run=CHECKED))
    finish(store, CHECKED, "done")
    return CHECKED


def downloads(at):
    return [button.proto.label for button in at.get("download_button")]


def settings(at, number=0):
    return json.loads(at.get("plotly_chart")[number].proto.config)


def test_a_trace_can_be_taken_away(page):
    at = page("pages/influence.py", run=DEMO_RUN, set="bias", side="harmless")
    assert downloads(at) == [
        "Report (HTML)",
        "Everything (.zip)",
        "This ranking (CSV)",
        "All measurements (CSV)",
        "Baselines (CSV)",
        "Summary (JSON)",
        "Request (YAML)",
    ]
    assert f"?run={DEMO_RUN}&set=bias&side=harmless" in said(at)
    assert f"untrac report {DEMO_RUN} --out untrac-{DEMO_RUN}.html" in said(at)


def test_a_validation_can_be_taken_away(page, checked):
    at = page("pages/validate.py", run=checked)
    assert downloads(at)[:5] == [
        "Report (HTML)",
        "Everything (.zip)",
        "Agreement (CSV)",
        "Estimates (CSV)",
        "Truth (CSV)",
    ]


def test_pictures_say_run_and_figure_and_are_of_the_chosen_kind(page):
    at = page("pages/influence.py", run=DEMO_RUN)
    name = f"untrac-{DEMO_RUN}-toxicity-contrast-ranking"
    assert settings(at)["toImageButtonOptions"] == {"format": "png", "scale": 2, "filename": name}
    at.segmented_control(key="pictures").set_value("svg").run()
    at.run()
    assert settings(sound(at))["toImageButtonOptions"]["format"] == "svg"


def test_the_report_that_is_handed_out_is_the_run_s(store, tmp_path):
    store.install_demo()
    run = store.run(DEMO_RUN)
    content = handing_over._report(run.folder, 0.0, run.id, run.finished)
    assert content.startswith(b"<!DOCTYPE html>")
    assert handing_over._report(run.folder, 0.0, run.id, run.finished) is content


def presented(at):
    """Nothing but words, one figure and the way out; no text that may be harmful."""
    assert [button.label for button in at.button] == ["Exit presentation"]
    for kind in (at.selectbox, at.multiselect, at.toggle, at.segmented_control, at.dataframe, at.tabs, at.expander):
        assert not list(kind)
    assert not downloads(at)
    assert not at.sidebar.get("page_link")
    assert settings(at)["displayModeBar"] is False
    [figure] = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    assert figure["layout"]["yaxis"]["tickfont"]["size"] == 20
    return figure


def test_a_presentation_shows_the_answer_of_the_address_and_no_controls(page):
    at = page("pages/influence.py", run=DEMO_RUN, present="1", set="bias", side="harmless")
    assert at.title[0].value == "Which subsets make anti stereotype text more likely?"
    assert len(presented(at)["data"][0]["y"]) == 8
    page_says = [text.value for text in page("pages/influence.py", run=DEMO_RUN, set="bias", side="harmless").text]
    for words in ("The lead is significant.", "r = ", "Retraining without"):
        [line] = [text for text in page_says if words in text]
        assert line in said(at)
    for words in ("95% interval", "Positive: this subset makes", "do not prove", "share 5 to 8 words"):
        assert words in said(at)


def test_a_long_ranking_is_presented_from_its_two_ends(page, store, tmp_path):
    spec = spec_of([f"smiths {i}" for i in range(30)], tmp_path / "data")
    enqueue(store, spec, "bbbbbbbbbbbb")
    write_result(store.runs_folder / "bbbbbbbbbbbb", spec)
    finish(store, "bbbbbbbbbbbb", "done")
    at = page("pages/influence.py", run="bbbbbbbbbbbb", present="1")
    assert len(presented(at)["data"][0]["y"]) == 13
    assert "Drawn: the first 9 and the last 4 of 30 subsets" in said(at)


def test_a_validation_is_presented(page, checked):
    at = page("pages/validate.py", run=checked, present="1")
    presented(at)
    assert "Trust UnTrac-Inv here." in said(at)
    assert "a tie with it" in said(at)
    assert "Agreement: mean over the resolvable sides" in said(at)
    other = page("pages/validate.py", run=checked, present="1", show_vmeasure="kendall", show_vover="all")
    assert presented(other)["layout"]["xaxis"]["title"]["text"] == "Kendall's tau"
    assert "Agreement: mean over all sides" in said(other)


def test_the_way_in_and_out_keeps_the_view(page):
    at = page("pages/influence.py", run=DEMO_RUN, set="bias", side="harmful")
    at.button(key="present").click().run()
    presented(sound(at))
    assert at.title[0].value == "Which subsets make stereotype text more likely?"
    assert "bias" in at.query_params["show_set"]
    at.button(key="leave").click().run()
    assert sound(at).subheader[0].value == "Which subsets make stereotype text more likely?"
    assert "present" not in at.query_params
    assert at.segmented_control(key="side").value == "harmful"


def test_a_hostile_address_can_be_left(page):
    query = {"show_embed": "true", "show_run": "x", "show_present": "1", "show_": "y", "show_side": "harmful"}
    at = page("pages/influence.py", run=DEMO_RUN, present="1", **query)
    at.button(key="leave").click().run()
    assert "present" not in sound(at).query_params
    assert not [name for name in at.query_params if name.startswith("show_")]
    assert at.query_params["run"] == DEMO_RUN
    assert at.segmented_control(key="side").value == "harmful"


@pytest.mark.parametrize("query", [{}, {"run": "dddddddddddd"}])
def test_a_presentation_of_nothing_can_be_left(page, query):
    at = page("pages/influence.py", present="1", **query)
    assert any(button.label == "Exit presentation" for button in at.button)


def test_other_pages_are_not_presented(page):
    assert page("pages/models.py", present="1").sidebar.get("page_link")


def test_hostile_words_are_no_markup_in_a_presentation(page, store, tmp_path):
    run_id = make_hostile_run(store, tmp_path / "data")
    at = page("pages/influence.py", run=run_id, present="1", set=HOSTILE[0], side=HOSTILE[1])
    presented(at)
    no_markup(at)
