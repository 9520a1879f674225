"""The page Report: parts are added, put in order and taken out; the draft survives; what users wrote stays text."""

import shutil

import pytest

from tests.helpers.making import HOSTILE, no_markup, said, sound
from untrac_core.engine import DEMO_RUN


def parts(at):
    """The items of the draft: what each shows, or its words."""
    return [item.get("show") or item.get("text", "") for item in at.session_state["rp_items"]]


@pytest.fixture
def begun(page):
    """The page with the demo's first ranking in it."""
    at = page("pages/report.py")
    assert "Nothing is in this report yet" in said(at)
    return sound(at.button(key="begin_demo").click().run())


def test_parts_are_added_ordered_and_removed_and_the_draft_survives(begun, page):
    at = begun
    assert parts(at) == ["ranking"]
    assert "forum contributes most to toxic rather than benign text: 2.7 times" in said(at)
    assert len(at.get("plotly_chart")) == 1
    sound(at.button(key="add_words").click().run())
    sound(at.text_area(key="words_2").set_value("# Why <b>").run())
    at.text_input(key="rp_title").set_value("For the board").run()
    sound(at.button(key="up_2").click().run())
    assert parts(at) == ["# Why <b>", "ranking"]
    again = page("pages/report.py", draft=at.query_params["draft"])
    assert parts(again) == ["# Why <b>", "ranking"]
    assert again.text_input(key="rp_title").value == "For the board"
    assert again.text_area(key="words_2").value == "# Why <b>"
    assert "title: For the board" in said(again)
    assert "show: ranking" in said(again)
    sound(again.button(key="remove_1").click().run())
    assert parts(again) == ["# Why <b>"]
    assert [one.proto.label for one in again.get("download_button")] == ["Report (HTML)"]


def test_a_part_and_a_comparison_are_chosen(begun):
    at = begun
    at.selectbox(key="add_part_trace").set_value("truth").run()
    at.selectbox(key=f"add_set_{DEMO_RUN}").set_value("bias").run()
    sound(at.button(key="add_item").click().run())
    at.selectbox(key="add_part_trace").set_value("comparison").run()
    at.selectbox(key=f"beside_set_{DEMO_RUN}").set_value("truthfulness").run()
    sound(at.button(key="add_item").click().run())
    assert parts(at) == ["ranking", "truth", "comparison"]
    assert at.session_state["rp_items"][1]["prompt_set"] == "bias"
    assert "Do the same subsets drive stereotype and false text?" in said(at)


def test_a_result_page_adds_what_it_shows(page):
    at = page("pages/influence.py", run=DEMO_RUN, set="bias", side="harmful")
    sound(at.button(key="add_to_report").click().run())
    at.switch_page("pages/report.py")
    sound(at.run())
    [item] = at.session_state["rp_items"]
    assert item == {"show": "ranking", "run": DEMO_RUN, "prompt_set": "bias", "side": "harmful", "number": 1}
    elsewhere = page("pages/report.py")  # another visit, whose address names no draft
    assert elsewhere.session_state["rp_items"] == [item]
    sound(elsewhere.button(key="another").click().run())
    assert elsewhere.session_state["rp_items"] == []


def test_hostile_words_are_no_markup(page, hostile_run):
    at = page("pages/report.py")
    at.selectbox(key="add_run").set_value(hostile_run).run()
    sound(at.button(key="add_item").click().run())
    assert HOSTILE[0] in said(at)
    no_markup(at)


def test_a_part_whose_run_is_gone_is_said_and_can_be_removed(begun, store):
    at = begun
    shutil.rmtree(store.run(DEMO_RUN).folder)
    sound(at.run())
    assert "This part cannot be shown" in said(at)
    assert not at.get("download_button")
    sound(at.button(key="remove_1").click().run())
    assert "Add a part first." in said(at)


def test_a_draft_that_anyone_else_wrote_holds_nothing_but_items(page, home):
    (home / "drafts").mkdir(parents=True)
    (home / "drafts" / "rp_aaaaaaaaaaaa.json").write_text(
        '{"rp_title": "T", "rp_items": [1, {"show": "ranking", "run": "/etc", "number": 1}, {"show": "x"}]}'
    )
    at = page("pages/report.py", draft="aaaaaaaaaaaa")
    assert parts(at) == ["ranking"]
    assert "is not a run id" in said(at)
