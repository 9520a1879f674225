"""The form of a validation: what it asks for, its cost, drafts, and bad input."""

import json

import pytest

from tests.helpers.making import add_own, said, sound
from untrac_core.demo.requests import demo_validation
from untrac_core.engine import DEMO_VALIDATION
from untrac_core.specs.files import to_yaml


def start(at):
    return at.button(key="start")


def made(store):
    """The validations that the page has made."""
    return [run for run in store.runs(kind="validate") if run.id != DEMO_VALIDATION]


@pytest.fixture
def form(page):
    return page("pages/validate.py")


def test_the_demo_is_the_first_choice_with_its_cost_before_the_start(form, store):
    assert form.subheader[0].value == "Can the estimate be trusted here?"
    assert form.radio(key="v_way").value == "demo"
    assert form.table[0].value.loc["Trainings"].iloc[0] == "18"
    assert {"Time", "Memory", "Disk"} <= set(form.table[0].value.index)
    start(form).click().run()
    [run] = made(store)
    assert form.query_params["run"] == run.id
    assert run.spec == demo_validation()


def test_the_demo_is_again_as_it_was_after_another_way(form, store):
    form.radio(key="v_way").set_value("continued").run()
    form.radio(key="v_way").set_value("demo").run()
    start(sound(form)).click().run()
    assert made(store)[0].spec == demo_validation()


def test_the_yaml_on_the_page_is_the_request(form, store):
    shown = next(code.value for code in form.code if code.value.startswith("kind: validate"))
    start(form).click().run()
    assert shown == to_yaml(made(store)[0].spec).strip()


@pytest.mark.parametrize("way", ["base", "continued"])
def test_trainings_that_start_from_a_model_name_it(form, store, way):
    form.radio(key="v_way").set_value(way).run()
    assert ("continued" in said(sound(form))) or way == "base"
    assert ("went on learning" in said(form)) == (way == "continued")
    start(form).click().run()
    spec = made(store)[0].spec
    assert (spec.training.init, spec.model.path) == (way, "demo")
    assert spec.training.learning_rate == {"base": 0.002, "continued": 0.0002}[way]
    assert spec.training.block_size == 64


def test_a_model_of_ones_own_brings_its_rate_and_its_context(page, home, tmp_path):
    mine = add_own(home, tmp_path / "data")["model"][0].id
    at = page("pages/validate.py")
    at.radio(key="v_way").set_value("continued").run()
    at.selectbox(key="v_model").set_value("demo").run()
    at.selectbox(key="v_model").set_value(mine).run()
    assert sound(at).number_input(key="v_learning_rate").value == 5e-6
    assert at.number_input(key="v_block_size").value == 64
    assert "Fewer than three subsets" in said(at)


def test_choices_reach_the_request(form, store):
    form.radio(key="v_way").set_value("scratch").run()
    form.selectbox(key="v_architecture").set_value("llama").run()
    form.number_input(key="v_num_layers").set_value(1).run()
    form.number_input(key="v_steps").set_value(20).run()
    form.multiselect(key="v_methods").set_value(["bm25", "untrac paper"]).run()
    form.multiselect(key="v_subsets").set_value(["demo-web", "demo-code", "demo-news"]).run()
    form.text_input(key="v_seeds").set_value("4 5 6").run()
    form.text_input(key="v_estimate_seeds").set_value("7").run()
    form.number_input(key="v_samples_per_subset").set_value(24).run()
    form.number_input(key="v_limit").set_value(9).run()
    assert form.table[0].value.loc["Trainings"].iloc[0] == "12"
    form.number_input(key="v_halves").set_value(2).run()
    assert "'halves' is 0 or at least 4" in said(form)
    form.number_input(key="v_halves").set_value(8).run()
    assert form.table[0].value.loc["Trainings"].iloc[0] == "15"  # three subsets have three halves
    form.number_input(key="v_pairs").set_value(2).run()
    form.multiselect(key="v_controls").set_value(["mixed"]).run()
    start(sound(form)).click().run()
    spec = made(store)[0].spec
    training = spec.training
    assert (training.architecture, training.num_layers, training.steps) == ("llama", 1, 20)
    assert [(method.name, method.variant) for method in spec.methods] == [("bm25", None), ("untrac", "paper")]
    assert [subset.name for subset in spec.subsets] == ["web", "code", "news"]
    assert (spec.seeds, spec.estimate_seeds, spec.samples_per_subset, spec.prompts[0].limit) == ([4, 5, 6], [7], 24, 9)
    assert (spec.halves, spec.pairs, spec.controls) == (8, 2, ["mixed"])


def test_a_reload_keeps_the_form(form, page):
    form.radio(key="v_way").set_value("scratch").run()
    form.number_input(key="v_steps").set_value(77).run()
    form.multiselect(key="v_methods").set_value(["random"]).run()
    again = page("pages/validate.py", draft=form.query_params["draft"])
    assert again.radio(key="v_way").value == "scratch"
    assert again.number_input(key="v_steps").value == 77
    assert again.multiselect(key="v_methods").value == ["random"]


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        ("text_input", "v_seeds", "", "no seeds"),
        ("text_input", "v_seeds", "1, 1", "two seeds"),
        ("text_input", "v_estimate_seeds", "x", "whole number"),
        ("multiselect", "v_methods", [], "No method is chosen"),
        ("multiselect", "v_prompts", [], "No prompt set is chosen"),
        ("multiselect", "v_subsets", ["demo-web", "demo-code"], "Fewer than three subsets"),
        ("number_input", "v_num_heads", 5, "even multiple"),
        ("text_input", "v_name", "", "name"),
    ],
)
def test_bad_input_is_said_and_nothing_starts(form, store, kind, key, value, words):
    getattr(form, kind)(key=key).set_value(value).run()
    assert words.lower() in said(sound(form)).lower()
    assert start(form).disabled
    assert not made(store)


def test_a_draft_from_elsewhere_does_no_harm(page, home):
    (home / "drafts").mkdir(parents=True)
    values = {"v_subsets": ["../../etc/passwd", 3], "v_way": "nonsense", "v_methods": "x", "v_architecture": 3, "o": 1}
    (home / "drafts" / "v_0123456789ab.json").write_text(json.dumps(values))
    at = page("pages/validate.py", draft="0123456789ab")
    assert at.radio(key="v_way").value == "demo"
    assert at.multiselect(key="v_subsets").value == []
    assert "o" not in at.session_state
