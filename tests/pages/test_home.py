from tests.helpers.making import enqueue, finish, said, spec_of, write_result
from untrac_core.engine import DEMO_RUN


def test_home_says_what_it_is_and_shows_the_demo(page):
    at = page()
    assert "ranks the datasets by influence" in said(at)
    assert at.button(key="open_demo").label == "Open the demo"
    assert at.get("plotly_chart")


def test_the_demo_is_one_click_away(page):
    at = page().button(key="open_demo").click().run()
    assert not at.exception
    assert at.query_params["run"] == DEMO_RUN
    assert at.subheader[0].value.startswith("Which subsets push the model towards")


def test_latest_runs_lead_to_where_they_can_be_looked_at(page, store, tmp_path):
    spec = spec_of(["forum", "news"], tmp_path / "data", name="the latest")
    enqueue(store, spec, "bbbbbbbbbbbb")
    at = page()
    assert "the latest" in said(at)
    assert at.button(key="row_bbbbbbbbbbbb").label == "Show"
    write_result(store.runs_folder / "bbbbbbbbbbbb", spec)
    finish(store, "bbbbbbbbbbbb", "done")
    at = page()
    assert at.button(key="row_bbbbbbbbbbbb").label == "View"
    at.button(key="row_bbbbbbbbbbbb").click().run()
    assert at.subheader[0].value == "Which subsets make the texts of prompts more likely?"


def test_the_tour_leads_through_four_pages_and_is_offered_once(page, home):
    at = page()
    at.button(key="tour_start").click().run()
    for step in range(1, 5):
        assert f"Tour, step {step} of 4" in said(at)
        if step < 4:
            at.button(key="tour_next").click().run()
            assert not at.exception
    at.button(key="tour_end").click().run()
    assert "Tour, step" not in said(at)
    assert "New here?" not in said(page())
