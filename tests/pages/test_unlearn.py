"""The form of an unlearning, its course while it runs, and the ways that lead there."""

import json
import math
import shutil

import pytest

from pages.components.layout.labels import TRAINABLE
from tests.helpers.making import HOSTILE, add_own, enqueue, finish, no_markup, said, sound, texts_jsonl
from tests.helpers.unlearnings import RUN, unlearn_spec, write_course
from untrac_core.demo.requests import demo_unlearning
from untrac_core.engine import DEMO_RUN, DEMO_UNLEARNING
from untrac_core.engine.ledger import RunWriter
from untrac_core.paths import DEMO
from untrac_core.specs.files import to_yaml

PAGE = "pages/unlearn.py"


def start(at):
    return at.button(key="start")


def made(store):
    """The unlearnings that the page has made."""
    return [run for run in store.runs(kind="unlearn") if run.id != DEMO_UNLEARNING]


def asked(at, store):
    """Start; the request that was made."""
    start(sound(at)).click().run()
    return made(store)[0].spec


@pytest.fixture
def form(page):
    return page(PAGE)


def test_the_demo_is_the_first_choice_with_its_cost_before_the_start(form, store):
    assert form.subheader[0].value == "What if the model had never seen it?"
    told = form.table[0].value
    assert told.loc["Forget set"].iloc[0] == "327 texts"
    assert {"Trainings", "Unlearnings", "Time, at most", "Memory", "Disk"} <= set(told.index)
    assert "prove no erasure" in said(form)
    assert start(form).label == "Start unlearning"
    start(form).click().run()
    [run] = made(store)
    assert form.query_params["run"] == run.id
    assert run.spec == demo_unlearning()
    assert sound(form).title[0].value == "Unlearning in progress"


def test_the_yaml_on_the_page_is_the_request(form, store):
    shown = next(code.value for code in form.code if code.value.startswith("kind: unlearn"))
    assert shown == to_yaml(asked(form, store)).strip()


def test_a_ranking_brings_its_first_subset(page, store):
    at = page(PAGE, trace=DEMO_RUN, subset="blog")
    assert at.selectbox(key="u_subset").value == "blog"
    assert "draft" not in at.query_params
    assert at.text_input(key="u_name").value == "Demo: without blog"
    assert asked(at, store) == demo_unlearning("blog")


def test_the_first_texts_of_a_trace_are_those_that_the_recipe_trained_on(page, store):
    at = page(PAGE, trace=DEMO_RUN, texts="20", prompts="toxicity", on="contrast")
    assert "3 texts passed over" in said(at)
    rows = next(frame.value for frame in at.dataframe if "Influence" in frame.value.columns)
    assert len(rows) == 20
    assert not rows["Text"].str.contains("[a-z]").any()
    target = asked(at, store).forget
    assert len(target.texts) == 20
    assert (target.texts[0].subset, target.texts[0].id) == ("forum", "forum-0160 @0")


def test_texts_of_one_subset_alone(page, store):
    at = page(PAGE, trace=DEMO_RUN, texts="5", prompts="bias", on="harmful", among="news")
    assert {text.subset for text in asked(at, store).forget.texts} == {"news"}


@pytest.mark.parametrize(
    "query",
    [
        {"trace": "dddddddddddd"},
        {"trace": "../x", "subset": HOSTILE[0]},
        {"trace": DEMO_RUN, "texts": "9" * 30},
        {"trace": DEMO_RUN, "texts": "4", "prompts": "?", "on": HOSTILE[1], "among": "?"},
        {"subset": "forum"},
    ],
)
def test_nonsense_in_the_address_falls_back(page, query):
    at = page(PAGE, **query)
    assert not start(at).disabled
    no_markup(at)


def test_a_side_of_a_prompt_set_has_no_retrained_model(form, store):
    form.radio(key="u_what").set_value("prompts").run()
    form.selectbox(key="u_set").set_value("bias").run()
    form.selectbox(key="u_side").set_value("harmless").run()
    assert "No retrained model" in said(sound(form))
    assert form.radio(key="u_stop").value == "retain_budget"
    assert "retrained" not in form.radio(key="u_stop").options
    form.number_input(key="u_max_retain_increase").set_value(5.0).run()
    spec = asked(form, store)
    assert (spec.forget.prompts, spec.forget.side, spec.training) == ("bias", "harmless", None)
    assert (spec.stop.rule, spec.stop.max_retain_increase) == ("retain_budget", 0.05)


def test_the_retrained_model_and_its_rule_come_back_with_a_subset(form, store):
    form.radio(key="u_what").set_value("prompts").run()
    form.radio(key="u_what").set_value("subset").run()
    assert asked(form, store) == demo_unlearning()


def test_an_upload_becomes_the_forget_set(form, store):
    form.radio(key="u_what").set_value("upload").run()
    assert "There is no file yet" in said(form)
    assert start(form).disabled
    form.file_uploader[0].upload("away.jsonl", texts_jsonl("The market"), "application/json").run()
    assert "Uses away.jsonl" in said(sound(form))
    upload = asked(form, store).forget.upload
    assert (upload.name, upload.text) == ("away", "text")


def test_grin_brings_its_two_controls(form, store):
    form.radio(key="u_method").set_value("grin").run()
    assert "at random" in said(form)
    form.number_input(key="u_mask_fraction").set_value(0.2).run()
    spec = asked(form, store)
    assert {method.title for method in spec.methods} == {
        "grin", "retain-only", "grin (gradient mask)", "grin (random mask)",
    }  # fmt: skip
    assert (spec.method.mask_fraction, spec.method.beta, spec.compare) == (0.2, None, [])


@pytest.mark.parametrize(
    ("name", "own"), [("k-fade", {"method_steps": 3, "max_forget_loss": 4.5}), ("rest-flow", {"relative_step": 0.25})]
)
def test_methods_in_the_curvature_have_its_settings(form, store, name, own):
    """Also steps and samples, which the stop rule and what the models write have, too: each goes to its own."""
    form.radio(key="u_method").set_value(name).run()
    assert not {"Rate", "Beta"} & {each.label for each in form.number_input}
    assert form.selectbox(key="u_trainable").options[0] == TRAINABLE["matrices"]
    values = {"damping": 0.5, "method_samples": 40} | own
    for key, value in values.items():
        form.number_input(key=f"u_{key}").set_value(value)
    spec = asked(form.run(), store)
    assert [each.name for each in spec.methods] == [name, "retain-only"]
    assert spec.method.trainable == "matrices"
    assert {key: getattr(spec.method, key.removeprefix("method_")) for key in values} == values
    assert (spec.stop.steps, spec.generation.sampling.samples) == (
        demo_unlearning().stop.steps, demo_unlearning().generation.sampling.samples,
    )  # fmt: skip


def test_neighbours_and_compensation_reach_the_request(form, store):
    form.number_input(key="u_neighbours").set_value(20)
    form.selectbox(key="u_compensate").set_value("reverse-neighbours")
    form.multiselect(key="u_compare").set_value(["grad-diff"]).run()
    told = form.table[0].value
    assert told.loc["Forget set"].iloc[0] == "347 texts"
    spec = asked(form, store)
    assert (spec.forget.subset, spec.forget.neighbours) == ("forum", 20)
    assert [getattr(each, "compensate", None) for each in spec.methods] == ["reverse-neighbours", "none", "none"]


def test_shared_settings_hold_for_what_is_compared(form, store):
    form.multiselect(key="u_compare").set_value(["grad-diff", "grad-ascent", "retrain"]).run()
    form.number_input(key="u_learning_rate").set_value(0.002).run()
    form.selectbox(key="u_trainable").set_value("lora").run()
    spec = asked(form, store)
    assert [method.name for method in spec.compare] == ["grad-diff", "grad-ascent", "retrain"]
    assert [getattr(method, "learning_rate", None) for method in spec.compare] == [0.002, 0.002, None]
    assert [getattr(method, "beta", None) for method in spec.methods] == [0.045, None, None, None, None]
    assert spec.methods[-1].name == "retain-only"
    assert (spec.compare[1].trainable, getattr(spec.compare[1], "retain", None)) == ("lora", None)


def test_without_the_recipe_nothing_is_retrained(form, store):
    form.toggle(key="u_retrained").set_value(False).run()
    assert "weaker signs" in said(sound(form))
    assert "retrain" not in form.radio(key="u_method").options
    spec = asked(form, store)
    assert (spec.training, spec.stop.rule, spec.ensemble_size) == (None, "retain_budget", 0)


def test_choices_reach_the_request(form, store):
    form.text_input(key="u_seeds").set_value("3 4 5").run()
    form.number_input(key="u_ensemble_size").set_value(4).run()
    form.radio(key="u_stop").set_value("match_holdout").run()
    form.number_input(key="u_steps").set_value(40).run()
    form.number_input(key="u_eval_every").set_value(4).run()
    form.number_input(key="u_relearn_steps").set_value(0).run()
    form.number_input(key="u_limit").set_value(9).run()
    form.toggle(key="u_write").set_value(False).run()
    spec = asked(form, store)
    assert (spec.seeds, spec.ensemble_size, spec.relearn_steps, spec.generation) == ([3, 4, 5], 4, 0, None)
    assert (spec.stop.rule, spec.stop.steps, spec.stop.eval_every) == ("match_holdout", 40, 4)
    assert spec.prompts[0].limit == 9


def test_models_of_ones_own_have_a_retrained_model_only_with_their_recipes_subsets(page, home, tmp_path, store):
    own = add_own(home, tmp_path / "data")
    at = page(PAGE)
    at.selectbox(key="u_from").set_value("library").run()
    at.selectbox(key="u_model").set_value(own["model"][0].id).run()
    at.multiselect(key="u_prompts").set_value([own["prompts"][0].id]).run()
    at.multiselect(key="u_subsets").set_value([entry.id for entry in own["subset"]]).run()
    at.selectbox(key="u_subset").set_value("forum of mine").run()
    assert "trained on other subsets" in said(sound(at))
    spec = asked(at, store)
    assert (spec.training, spec.forget.subset, spec.holdout) == (None, "forum of mine", None)
    assert spec.method.retain == "nll"


def test_a_model_with_the_recipe_of_the_chosen_subsets_has_a_retrained_model(page, home, tmp_path):
    own = add_own(home, tmp_path / "data")
    at = page(PAGE)
    at.selectbox(key="u_from").set_value("library").run()
    at.selectbox(key="u_model").set_value(own["model"][0].id).run()
    names = [subset.name for subset in demo_unlearning().subsets]
    at.multiselect(key="u_subsets").set_value([f"demo-{name}" for name in names]).run()
    assert at.toggle(key="u_retrained").value
    shutil.rmtree(tmp_path / "data" / "mine")
    assert "gone" in said(sound(at.run()))
    assert start(at).disabled
    assert DEMO.is_dir()


def test_the_set_up_of_a_trace_is_the_first_choice(page, home, tmp_path):
    own = add_own(home, tmp_path / "data")
    at = page("pages/trace.py", model=own["model"][0].id)
    at.switch_page(PAGE).run()
    assert sound(at).selectbox(key="u_from").value == "library"
    assert at.selectbox(key="u_model").value == own["model"][0].id
    assert set(at.multiselect(key="u_subsets").value) == {entry.id for entry in own["subset"]}


def test_a_reload_keeps_the_form(form, page):
    form.radio(key="u_what").set_value("prompts").run()
    form.number_input(key="u_steps").set_value(77).run()
    form.radio(key="u_method").set_value("grin").run()
    form.text_input(key="u_name").set_value("mine").run()
    again = page(PAGE, draft=form.query_params["draft"])
    assert again.radio(key="u_what").value == "prompts"
    assert again.number_input(key="u_steps").value == 77
    assert again.radio(key="u_method").value == "grin"
    assert again.text_input(key="u_name").value == "mine"


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        ("text_input", "u_seeds", "", "no seeds"),
        ("text_input", "u_seeds", "1, 1", "two seeds"),
        ("text_input", "u_name", " ", "name"),
    ],
)
def test_bad_input_is_said_and_nothing_starts(form, store, kind, key, value, words):
    getattr(form, kind)(key=key).set_value(value).run()
    assert words in said(sound(form)).lower()
    assert start(form).disabled
    assert not made(store)


@pytest.mark.parametrize("key", ["steps", "eval_every", "eval_samples", "ensemble_size", "samples"])
def test_an_emptied_field_is_said(page, home, key):
    (home / "drafts").mkdir(parents=True)
    values = {
        "u_steps": 20,
        "u_eval_every": 5,
        "u_eval_samples": 8,
        "u_ensemble_size": 0,
        "u_seeds": "0, 1",
        "u_relearn_steps": 0,
        "u_write": True,
    }
    values |= {"u_generation": 4, "u_samples": 2, "u_tokens": 8, "u_limit": None, f"u_{key}": None}
    (home / "drafts" / "u_0123456789ab.json").write_text(json.dumps(values))
    at = page(PAGE, draft="0123456789ab")
    assert "empty" in said(at)
    assert start(at).disabled


def test_a_draft_from_elsewhere_does_no_harm(page, home):
    (home / "drafts").mkdir(parents=True)
    values = {
        "u_from": "../../etc",
        "u_what": 3,
        "u_steps": 9,
        "u_method": "x",
        "u_compare": "x",
        "u_f_files": [3],
        "o": 1,
    }
    (home / "drafts" / "u_0123456789ab.json").write_text(json.dumps(values))
    at = page(PAGE, draft="0123456789ab")
    assert at.radio(key="u_what").value == "subset"
    assert at.radio(key="u_method").value == "npo"
    assert "o" not in at.session_state


@pytest.fixture
def running(store, tmp_path):
    """A run that is under way; more of its request can be given."""

    def begin(**more):
        enqueue(store, unlearn_spec(tmp_path / "data", **more), RUN)
        RunWriter(store.home).claim(store.run(RUN).device)
        (store.runs_folder / RUN).mkdir(parents=True, exist_ok=True)

    return begin


def figure(at, key):
    [chart] = [chart for chart in at.get("plotly_chart") if f"-{key}" in chart.proto.id]
    return json.loads(chart.proto.spec)


def test_a_run_shows_its_course_and_a_way_to_stop(page, store, running):
    running()
    at = page(PAGE, run=RUN)
    assert "The curves begin with the second look" in said(at)
    write_course(store.runs_folder / RUN)
    at = page(PAGE, run=RUN)
    assert "The history of NPO, seed 0, up to step 10" in said(at)
    going, rest = figure(at, "going"), figure(at, "rest")
    assert going["data"][0]["y"] == pytest.approx([2.1, 2.2, 2.3])
    assert going["data"][-1]["y"] == [2.4, 2.4]
    assert "Dotted: where the rule stops." in said(at)
    assert "nats per token" in going["layout"]["yaxis"]["title"]["text"]
    named = [note["text"].rpartition("> ")[2] for note in rest["layout"]["annotations"]]
    assert named == ["toxic", "benign", "the retain set"]
    assert [line["text"][0].partition(",")[0] for line in rest["data"]] == ["news", "code", *named]
    assert rest["data"][0]["y"] == [0.0, 0.0, 0.0]
    at.button(key="cancel").click().run()
    assert store.run(RUN).status == "cancelling"


def test_a_rule_without_a_level_draws_none(page, store, running):
    running()
    write_course(store.runs_folder / RUN, level=math.nan)
    at = page(PAGE, run=RUN)
    assert len(figure(at, "going")["data"]) == 2
    assert "Dotted" not in said(at)


def test_failed_and_stopped_runs_say_why_and_can_go_on(page, store, tmp_path):
    enqueue(store, unlearn_spec(tmp_path / "data"), RUN)
    finish(store, RUN, "failed", "the disk is full: make room")
    at = page(PAGE, run=RUN)
    assert "the disk is full: make room" in said(at)
    at.button(key="resume").click().run()
    assert store.run(RUN).status == "queued"
    store.cancel(RUN)
    assert "Resume goes on from there" in said(page(PAGE, run=RUN))


def test_hostile_names_are_shown_as_text(page, store, tmp_path, hostile_run):
    names = [*HOSTILE, "plain"]
    enqueue(store, unlearn_spec(tmp_path / "more", names, name=HOSTILE[0]), RUN)
    RunWriter(store.home).claim(store.run(RUN).device)
    write_course(store.runs_folder / RUN, names)
    at = page(PAGE, run=RUN)
    no_markup(at)
    for chart in at.get("plotly_chart"):
        assert "<img" not in chart.proto.spec
    no_markup(page(PAGE, trace=hostile_run))


@pytest.mark.parametrize("run", ["dddddddddddd", "../../etc", "zzz"])
def test_an_unknown_run_offers_the_form(page, run):
    at = page(PAGE, run=run)
    assert "There is no run with the id in this address" in said(at)
    assert not start(at).disabled


def test_a_trace_is_no_unlearning(page):
    assert "is no unlearning" in said(page(PAGE, run=DEMO_RUN))


def test_broken_results_are_said(page, store, tmp_path):
    enqueue(store, unlearn_spec(tmp_path / "data"), RUN)
    finish(store, RUN, "done")
    assert "cannot be read" in said(page(PAGE, run=RUN))
    assert "it has a page of its own" in said(page("pages/influence.py", run=RUN))


def test_the_runs_page_leads_here(page, store, running):
    running()
    at = page("pages/runs.py", run=RUN)
    at.button(key="watch").click().run()
    assert sound(at).title[0].value == "Unlearning in progress"
