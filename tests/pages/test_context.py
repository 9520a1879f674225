"""What one looks at stays from page to page: run, prompt set and side, and links act on what is on the screen."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.compare.selection import pair_of
from pages.components.layout.context import KEY, Context
from tests.helpers.making import said, sound
from untrac_core.engine import DEMO_RUN
from untrac_core.paths import DEMO
from untrac_core.results.folders import load_trace


@pytest.fixture
def looking(page):
    """Open a page in a session that has looked at something, without an address that says so."""

    def look(name, held):
        at: AppTest = page(f"pages/{name}.py")
        at.session_state[KEY] = held
        return sound(at.run())

    return look


def test_a_page_notes_what_it_shows(page):
    at = page("pages/influence.py", run=DEMO_RUN, set="bias", side="harmless")
    assert at.session_state[KEY] == Context(DEMO_RUN, "bias", "harmless")
    assert "You are looking at" in said(at.run())


@pytest.mark.parametrize("name", ["influence", "examples"])
def test_a_page_without_an_address_shows_what_was_looked_at(looking, name):
    at = looking(name, Context(DEMO_RUN, "bias", "harmless"))
    assert at.query_params["run"] in (DEMO_RUN, [DEMO_RUN])
    switches = {control.key: control.value for control in at.segmented_control}
    prefix = "of_" if name == "examples" else ""
    assert (switches[f"{prefix}set"], switches[f"{prefix}side"]) == ("bias", "harmless")


def test_a_run_that_was_deleted_is_forgotten(looking):
    assert "No run is chosen" in said(looking("influence", Context("0123456789ab", "bias")))


def test_compare_begins_with_the_prompt_set_that_was_looked_at():
    spec = load_trace(DEMO / "run").spec
    names = [prompts.name for prompts in spec.prompts]
    own, other = pair_of(spec, "bias")
    assert names[own] == "bias"
    assert names[other] == "truthfulness"
    assert pair_of(spec, "no such set") == pair_of(spec)


def test_check_it_validates_what_is_on_the_screen(page):
    at = page("pages/influence.py", run=DEMO_RUN)
    [link] = [link.proto for link in at.get("page_link") if link.proto.label == "Check it against retraining"]
    assert link.query_string == f"trace={DEMO_RUN}"
    at = page("pages/validate.py", trace=DEMO_RUN)
    assert "Filled in from the run" in said(at)
    assert at.radio(key="v_way").value == "demo"
    assert len(at.session_state["v_subsets"]) == 8
    assert DEMO_RUN in at.query_params["trace"], "an address that is rewritten takes a second press of Back"
    at.number_input(key="v_steps").set_value(77).run()
    assert "trace" not in at.query_params
    assert at.query_params["draft"]
    assert at.run().number_input(key="v_steps").value == 77


def test_unlearn_begins_with_the_trace_that_was_looked_at(looking):
    at = looking("unlearn", Context(DEMO_RUN))
    assert at.selectbox(key="u_from").value == DEMO_RUN


def test_a_run_is_run_again_with_changes(page):
    at = page("pages/trace.py", like=DEMO_RUN)
    spec = load_trace(DEMO / "run").spec
    assert "Filled in from the run" in said(at)
    assert at.session_state["t_seeds"] == ", ".join(map(str, spec.seeds))
    assert (at.session_state["t_method"], at.session_state["t_preset"]) == (spec.method.name, spec.method.variant)
    assert len(at.session_state["t_subsets"]) == len(spec.subsets)
    assert len(at.session_state["t_prompts"]) == len(spec.prompts)
    assert at.session_state["t_limit_subsets"] == spec.subsets[0].limit
    assert at.session_state["t_name"].endswith(", again")
    assert "Not in the library" not in said(at)
    at.text_input(key="t_seeds").set_value("0, 1, 2").run()
    assert sound(at).session_state["t_seeds"] == "0, 1, 2", "the run does not fill the form a second time"
