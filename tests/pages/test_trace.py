"""The form: a request that can run, and every kind of bad input, said at its field without making a run."""

import json

import pytest

from pages.components.trace.form import parse_seeds
from tests.helpers.making import HOSTILE, add_own, no_markup, said, sound
from untrac_core.engine import Library
from untrac_core.errors import InputError
from untrac_core.specs import DEFAULT_BASELINES, SEEDS, PromptSet, Subset
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml


def start(at):
    return at.button(key="start")


def started(at, store):
    """Press Start; the run that was made."""
    assert not start(at).disabled, said(at)
    start(at).click().run()
    sound(at)
    [run] = [run for run in store.runs() if run.created]
    return run


@pytest.fixture
def form(page):
    return page("pages/trace.py")


@pytest.fixture
def mine(home, tmp_path):
    """A model, a prompt set and two subsets of one's own in the library."""
    return add_own(home, tmp_path / "data")


@pytest.fixture
def own(mine, page):
    """The form as it opens for someone with a library."""
    return page("pages/trace.py")


def add_subset(home, folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / "more.jsonl").write_bytes(content)
    spec = build(Subset, {"name": name, "source": {"file": str(folder / "more.jsonl")}}, where="test")
    return Library(home).add_subset(spec)


def test_the_demo_is_ready_to_start(form, store):
    assert not start(form).disabled
    assert {"Cells", "Time", "Memory", "Disk"} <= set(form.table[0].value.index)
    run = started(form, store)
    assert form.query_params["run"] == run.id
    assert run.status == "queued"
    assert len(run.spec.subsets) == 8
    assert {subset.limit for subset in run.spec.subsets} == {40}
    assert [prompts.harmful for prompts in run.spec.prompts] == ["toxic", "stereotype", "false"]


def test_the_yaml_on_the_page_is_the_request(form, store):
    shown = next(code.value for code in form.code if code.value.startswith("kind: trace"))
    assert shown == to_yaml(started(form, store).spec).strip()


def test_ones_own_library_is_preselected(own, mine, store):
    run = started(own, store)
    assert run.spec.model.path == mine["model"][0].value.path
    assert [prompts.name for prompts in run.spec.prompts] == ["probe"]
    assert sorted(subset.name for subset in run.spec.subsets) == ["forum of mine", "news of mine"]
    assert all(subset.source.kept for subset in run.spec.subsets)


def test_the_demo_brings_its_own_data_and_takes_them_away(own):
    own.selectbox(key="t_model").set_value("demo").run()
    assert own.multiselect(key="t_prompts").value == ["demo-toxicity", "demo-bias", "demo-truthfulness"]
    assert len(own.multiselect(key="t_subsets").value) == 8
    own.selectbox(key="t_model").set_value(own.selectbox(key="t_model").value).run()
    assert not start(sound(own)).disabled


def test_a_card_of_the_library_brings_its_entry(page, mine, home):
    at = page("pages/trace.py", model="demo")
    assert at.selectbox(key="t_model").value == "demo"
    assert "draft" not in at.query_params
    at = page("pages/trace.py", prompts="demo-bias")
    assert at.multiselect(key="t_prompts").value == ["demo-bias"]
    at = page("pages/trace.py", subset="demo-code")
    assert at.multiselect(key="t_subsets").value[0] == "demo-code"
    at = page("pages/trace.py", subset=mine["subset"][0].id)
    assert set(at.multiselect(key="t_subsets").value) == {entry.id for entry in mine["subset"]}
    at = page("pages/trace.py", model="nonsense")
    assert at.selectbox(key="t_model").value == mine["model"][0].id


def test_choices_of_the_method_reach_the_request(own, store):
    own.selectbox(key="t_dtype").set_value("bfloat16").run()
    own.selectbox(key="t_trainable").set_value("last_layers").run()
    own.selectbox(key="t_weighting").set_value("equal").run()
    own.radio(key="t_method").set_value("untrac").run()
    own.text_input(key="t_seeds").set_value("3 5").run()
    own.number_input(key="t_limit_prompts").set_value(4).run()
    spec = started(sound(own), store).spec
    assert (spec.model.dtype, spec.method.trainable, spec.weighting) == ("bfloat16", "last_layers", "equal")
    assert (spec.method.name, spec.seeds, spec.prompts[0].limit) == ("untrac", [3, 5], 4)


def test_the_baselines_are_chosen_in_the_form(form, store):
    assert form.multiselect(key="t_baselines").value == list(DEFAULT_BASELINES)
    assert "TracIn" not in form.multiselect(key="t_baselines").options
    form.multiselect(key="t_baselines").set_value(["random", "fisher-dot"]).run()
    assert "Numbers drawn by chance" in said(sound(form))
    shown = next(code.value for code in form.code if code.value.startswith("kind: trace"))
    assert "baselines:\n- fisher-dot\n- random" in shown
    assert started(form, store).spec.baselines == ["fisher-dot", "random"]


def test_no_baselines_are_none_and_nonsense_in_a_draft_is_dropped(form, page, home, store):
    form.multiselect(key="t_baselines").set_value([]).run()
    again = page("pages/trace.py", draft=form.query_params["draft"])
    assert again.multiselect(key="t_baselines").value == []
    draft = home / "drafts" / f"t_{form.query_params['draft']}.json"
    draft.write_text(json.dumps({"t_model": "demo", "t_baselines": ["tracin", "bm25", 3, "<b>"]}))
    assert started(page("pages/trace.py", draft=form.query_params["draft"]), store).spec.baselines == ["bm25"]


def test_a_request_takes_as_many_seeds_as_a_file_does(form, store):
    assert started(form, store).spec.seeds == list(SEEDS)


def test_a_reload_keeps_the_form(own, mine, page):
    own.text_input(key="t_name").set_value("kept").run()
    own.multiselect(key="t_subsets").set_value(["demo-web", "demo-code"]).run()
    again = page("pages/trace.py", draft=own.query_params["draft"])
    assert again.text_input(key="t_name").value == "kept"
    assert again.multiselect(key="t_subsets").value == ["demo-web", "demo-code"]
    assert not start(again).disabled


def test_the_way_on_from_ones_own_subsets_takes_them_along(page, mine, home):
    """Also without a model of one's own, where the form would else begin with the demo's data."""
    Library(home).remove("model", mine["model"][0].id)
    links = [link.proto for link in page("pages/subsets.py").main.get("page_link")]
    [link] = [link for link in links if link.label == "Next: trace them (2 of your own)"]
    assert link.query_string == "subset=own"
    at = page("pages/trace.py", subset="own")
    assert at.selectbox(key="t_model").value == "demo"
    assert set(at.multiselect(key="t_subsets").value) == {entry.id for entry in mine["subset"]}
    assert at.multiselect(key="t_prompts").value == [entry.id for entry in mine["prompts"]]
    assert "The demo's model was not trained on your texts" in said(at)
    at.multiselect(key="t_subsets").set_value(["demo-web", "demo-code"]).run()
    assert "was not trained on your texts" not in said(sound(at))


def test_what_was_removed_leaves_the_form(own, mine, home, page):
    own.text_input(key="t_name").set_value("kept").run()
    Library(home).remove("subset", mine["subset"][0].id)
    Library(home).remove("model", mine["model"][0].id)
    again = page("pages/trace.py", draft=own.query_params["draft"])
    assert again.multiselect(key="t_subsets").value == [mine["subset"][1].id]
    assert again.selectbox(key="t_model").value == "demo"
    assert "Fewer than two training subsets" in said(again)


def refused(at, store, *words):
    """The page says why in one line that has these words; Start is closed, and no run was made."""
    text = said(sound(at))
    for word in words:
        assert word in text
    assert start(at).disabled
    assert not [run for run in store.runs() if run.created]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no seeds",)),
        (" , ", ("no seeds",)),
        ("0, x", ("whole number",)),
        ("-1", ("whole number",)),
        ("1, 1", ("Two seeds",)),
    ],
)
def test_bad_seeds(form, store, text, words):
    form.text_input(key="t_seeds").set_value(text).run()
    refused(form, store, *words)


def test_seeds_in_any_spacing():
    assert parse_seeds(" 0,1  2 ,3") == [0, 1, 2, 3]
    with pytest.raises(InputError, match="whole number"):
        parse_seeds("1.5")


def test_a_model_that_has_gone(own, mine, store, tmp_path):
    (tmp_path / "data" / "mine").rename(tmp_path / "elsewhere")
    own.run()
    refused(own, store, "its folder", "is gone")


def test_one_subset_is_too_few(form, store):
    form.multiselect(key="t_subsets").set_value(["demo-forum"]).run()
    refused(form, store, "Fewer than two training subsets")


def test_no_prompt_set(form, store):
    form.multiselect(key="t_prompts").set_value([]).run()
    refused(form, store, "No prompt set is chosen")


def test_a_name_is_needed(form, store):
    form.text_input(key="t_name").set_value("").run()
    refused(form, store, "name")


def test_a_subset_that_equals_a_prompt_set(own, mine, home, store, tmp_path, page):
    entry = add_subset(home, tmp_path / "more", "leak", b'{"text": "same"}\n' * 3 + b'{"text": "other words"}\n')
    values = {"name": "leak", "source": {"file": str(tmp_path / "more" / "more.jsonl")}}
    twin = Library(home).add_prompts(build(PromptSet, values | {"columns": {"completion": "text"}}, where="test"))
    own.multiselect(key="t_prompts").set_value([twin.id]).run()
    own.multiselect(key="t_subsets").set_value([entry.id, "demo-web"]).run()
    refused(own, store, "leak")


def test_a_prompt_longer_than_the_context(own, home, store, tmp_path):
    long = json.dumps({"prompt": "The Ormeli sing by the river. " * 4000, "completion": "always"})
    (tmp_path / "long.jsonl").write_text(long + "\n")
    values = {"name": "long", "source": {"file": str(tmp_path / "long.jsonl")}}
    columns = {"prompt": "prompt", "completion": "completion"}
    entry = Library(home).add_prompts(build(PromptSet, values | {"columns": columns}, where="test"))
    own.run()
    own.multiselect(key="t_prompts").set_value([entry.id]).run()
    refused(own, store, "long", "context")


def test_overlap_is_a_warning(own, home, store, tmp_path):
    text = "".join(json.dumps({"text": f"The Ormeli sing in spring {i} by the cold river"}) + "\n" for i in range(9))
    entry = add_subset(home, tmp_path / "more", "songs", text.encode())
    values = {"name": "heard", "source": {"file": str(tmp_path / "heard.jsonl")}, "columns": {"completion": "text"}}
    (tmp_path / "heard.jsonl").write_text("".join(text.splitlines(keepends=True)[:4]))
    heard = Library(home).add_prompts(build(PromptSet, values, where="test"))
    own.run()
    own.multiselect(key="t_prompts").set_value([heard.id]).run()
    own.multiselect(key="t_subsets").set_value([entry.id, "demo-web"]).run()
    assert "Notes" in said(own)
    assert "songs" in said(own)
    assert not start(own).disabled


def test_a_full_disk(form, store, monkeypatch):
    monkeypatch.setattr("untrac_core.engine.disk.free_mb", lambda folder: 1.0)
    start(form).click().run()
    assert "the disk is almost full" in said(sound(form))
    assert not [run for run in store.runs() if run.created]


def test_a_draft_from_elsewhere_does_no_harm(page, home):
    (home / "drafts").mkdir(parents=True)
    draft = {"t_subsets": ["../../etc/passwd", 3], "t_model": "nonsense", "t_prompts": "x", "other": 1}
    (home / "drafts" / "t_0123456789ab.json").write_text(json.dumps(draft))
    at = page("pages/trace.py", draft="0123456789ab")
    assert at.selectbox(key="t_model").value == "demo"
    assert at.multiselect(key="t_subsets").value == []
    assert "other" not in at.session_state


def test_hostile_names_are_shown_as_text(own, mine, home, page):
    for number, kind in enumerate(("model", "prompts", "subset")):
        Library(home).rename(kind, mine[kind][0].id, HOSTILE[number])
    at = page("pages/trace.py")
    no_markup(at)
    assert not start(at).disabled
    assert any("evil.example" in name for name in at.dataframe[0].value["Name"])


def test_the_negative_control_is_of_the_default_method_alone(form, store):
    form.checkbox(key="t_doubled").set_value(True).run()
    form.button(key="start").click().run()
    [run] = [run for run in store.runs(kind="trace") if run.created]
    assert run.spec.controls == ["doubled"]


def test_one_slider_sets_how_much_is_read(form, store):
    slider = "t_precision"
    assert form.select_slider(key=slider).value == "Quick look"
    form.select_slider(key=slider).set_value("As on Evidence").run()
    assert (form.number_input(key="t_limit_subsets").value, form.number_input(key="t_limit_prompts").value) == (
        512,
        256,
    )
    form.number_input(key="t_limit_subsets").set_value(7).run()
    assert form.select_slider(key=slider).value == "Own sizes"
    form.button(key="start").click().run()
    [run] = [run for run in store.runs(kind="trace") if run.created]
    assert {subset.limit for subset in run.spec.subsets} == {7}
    assert {prompts.limit for prompts in run.spec.prompts} == {256}
