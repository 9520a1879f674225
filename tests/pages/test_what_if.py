"""The what-if page: sliders, what they answer and how soon, and where there is nothing to tell from."""

import time

import pytest

from tests.helpers import validations
from tests.helpers.making import HOSTILE, enqueue, finish, said, sound, spec_of, write_result
from tests.helpers.pace import allowed
from untrac_core.engine import DEMO_RUN

PAGE = "pages/what_if.py"
TRACE = "bbbbbbbbbbbb"


def changes(at):
    return next(table.value for table in at.dataframe if "change" in table.value.columns).set_index("title")


def test_a_moved_slider_is_answered_at_once(page):
    at = page(PAGE, run=DEMO_RUN)
    assert "nothing changes. Move a slider" in said(at)
    assert (changes(at)["change"] == 0).all()
    assert len(at.slider) == 8
    at.slider(key="x1").set_value(0.0).run()
    began = time.perf_counter()
    at.slider(key="x5").set_value(2.0).run()
    taken = time.perf_counter() - began
    assert "Retraining on this mix would raise the loss of toxic text by about 0.5" in said(sound(at))
    assert changes(at).loc["toxicity: toxic", "low"] > 0
    assert "Beyond what was checked" not in said(at)
    assert taken < allowed(1.0), f"{taken:.2f} s"
    at.button(key="as_it_was").click().run()
    assert (changes(sound(at))["change"] == 0).all()


def test_an_address_brings_a_mix_and_a_retrained_one_is_shown_beside_it(page):
    at = page(PAGE, run=DEMO_RUN, x1="0.0", show="contrasts")
    assert "towards the harmless" in said(at)
    assert at.slider(key="x1").value == 0
    found = changes(at).loc["toxicity: toxic"]
    assert found["retrained"] == pytest.approx(found["change"], abs=0.05)


def test_it_says_where_it_leaves_what_it_was_checked_on(page):
    at = page(PAGE, run=DEMO_RUN, x1="3.0")
    assert "more than 2 times as often as before: forum" in said(at)
    for number in range(1, 9):
        at.slider(key=f"x{number}").set_value(0.0)
    assert "nothing is left to train on" in said(sound(at.run()))


def test_a_trace_without_retrainings_leads_to_them(page, store, tmp_path):
    spec = spec_of(["forum", "blog", "news"], tmp_path / "data")
    enqueue(store, spec, TRACE)
    write_result(store.runs_folder / TRACE, spec)
    finish(store, TRACE, "done")
    at = page(PAGE, run=TRACE)
    assert "Nobody has retrained without this run's subsets" in said(at)
    [link] = [link.proto for link in at.get("page_link") if link.proto.label == "Retrain without each subset"]
    assert link.query_string == f"trace={TRACE}"
    assert "There is no run" in said(page(PAGE, run="0123456789ab"))


def test_a_trace_is_told_of_by_a_validation_of_its_texts_whose_names_stay_text(page, store, tmp_path):
    names = [*HOSTILE, "news", "code"]
    check = validations.validate_spec(tmp_path / "data", names, prompts="prompts")
    enqueue(store, check, validations.RUN)
    trained = {"subsets": {name: {"trained_blocks": 10} for name in names}}
    validations.write_validation(
        store.runs_folder / validations.RUN, check, change=lambda summary: summary["data"].update(trained)
    )
    finish(store, validations.RUN, "done")
    spec = spec_of(names, tmp_path / "data")
    enqueue(store, spec, TRACE)
    write_result(store.runs_folder / TRACE, spec)
    finish(store, TRACE, "done")
    at = page(PAGE, run=TRACE)
    assert len(at.slider) == 5
    assert all(slider.label == f"How often subset {number} is read" for number, slider in enumerate(at.slider, 1))
    assert HOSTILE[0] in [text.value for text in at.text]
    assert not [markdown for markdown in (*at.markdown, *at.caption) if "evil" in markdown.value]
    at.slider(key="x1").set_value(0.0).run()
    assert changes(sound(at))["retrained"].notna().all()
