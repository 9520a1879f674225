"""The page Models: adding a model in every way, every kind of bad input at its field, and what a card says."""

import json
import shutil

import pandas as pd
import pytest

from tests.helpers.making import HOSTILE, add_own, enqueue, finish, no_markup, said, sound, way
from untrac_core.engine import Library
from untrac_core.paths import DEMO
from untrac_core.results.folders import COMPLETIONS
from untrac_core.specs import GenerateSpec
from untrac_core.specs.build import build


@pytest.fixture
def models(page):
    return page("pages/models.py")


@pytest.fixture
def folder(tmp_path):
    """A model of one's own under the allowed roots."""
    return shutil.copytree(DEMO / "model", tmp_path / "models" / "mine")


def name_folder(at, path):
    at.text_input(key="m_model_path").set_value(str(path))
    return sound(at.run())


def add(at):
    at.button(key="b_m_add").click()
    return sound(at.run())


def own(home):
    return [entry for entry in Library(home).entries("model") if not entry.builtin]


def test_the_demo_is_always_there_and_offered(models):
    assert models.dataframe[0].value["name"].tolist() == ["demo"]
    assert "Only the demo's model is here" in said(models)
    assert models.button(key="b_m_add").disabled


def test_a_local_folder_becomes_a_model(models, folder, home):
    at = add(name_folder(models, folder))
    [entry] = own(home)
    assert at.query_params["model"] == entry.id
    assert at.dataframe[0].value["name"].tolist() == ["mine", "demo"]
    text = said(at)
    for fact in ("OPTForCausalLM", "536,320", "64 tokens", "1,024 tokens", "float32", "Licence"):
        assert fact in text
    assert at.text_input(key="m_model_path").value == ""


def test_folders_that_were_found_are_offered(folder, models):
    found = models.selectbox(key="m_model_found")
    assert any(option.endswith("models/mine") for option in found.options)
    found.set_value(str(folder)).run()
    assert models.text_input(key="m_model_path").value == str(folder)


def test_every_method_on_every_device_says_whether_it_fits(page):
    at = page("pages/models.py", model="demo")
    needs = at.dataframe[1].value
    assert set(needs["Method"]) == {"UnTrac-Inv, robust", "UnTrac-Inv, paper", "UnTrac, robust", "UnTrac, paper"}
    assert set(needs["Here"]) == {"fits"}
    assert "for a reference request: 8 subsets" in said(at)
    at.selectbox(key="needs_dtype").set_value("bfloat16").run()
    assert set(sound(at).dataframe[1].value["Data type"]) == {"bfloat16"}
    at.selectbox(key="needs_trainable").set_value("last_layers").run()
    assert len(sound(at).dataframe[1].value) == 4


def test_a_model_that_does_not_fit_is_said(page, home, tmp_path):
    entry = add_own(home, tmp_path / "data")["model"][0]
    path = home / "library" / "model" / f"{entry.id}.json"
    values = json.loads(path.read_text())
    values["facts"] |= {"parameters": 70_000_000_000, "hidden_size": 8192, "num_layers": 80, "weight_bytes": 140e9}
    path.write_text(json.dumps(values))
    at = page("pages/models.py", model=entry.id)
    assert set(at.dataframe[1].value["Here"]) == {"does not fit"}
    assert "70 billion" in said(at)


@pytest.mark.parametrize("path", ["/etc", "../../../../../../etc", "/proc/self/root/etc"])
def test_a_folder_outside_the_roots(models, home, path):
    at = name_folder(models, path)
    assert "outside the folders that pages may read" in said(at)
    assert at.button(key="b_m_add").disabled
    assert not own(home)


def test_a_link_out_of_the_roots(models, tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    assert "outside the folders that pages may read" in said(name_folder(models, tmp_path / "link"))


def test_a_folder_that_is_missing(models, tmp_path):
    assert "There is no file or folder" in said(name_folder(models, tmp_path / "none"))


def spoil_pickle(copy):
    for weights in copy.glob("*.safetensors"):
        weights.rename(copy / "pytorch_model.bin")


def spoil_tokenizer(copy):
    for file in copy.glob("tokenizer*"):
        file.unlink()


def spoil_config(copy, **more):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | more))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_pickle, ("pickle", "safetensors")),
        (spoil_tokenizer, ("no tokenizer",)),
        (lambda copy: spoil_config(copy, auto_map={"AutoModel": "x.Y"}), ("auto_map",)),
        (lambda copy: spoil_config(copy, _attn_implementation_internal="evil/x"), ("_attn_implementation",)),
        (lambda copy: spoil_config(copy, num_hidden_layers=100_000), ("model",)),
        (lambda copy: (copy / "config.json").write_text("[" * 100_000), ("config.json",)),
        (lambda copy: (copy / "model.safetensors").write_bytes(b"\xff" * 64), ("safetensors",)),
    ],
)
def test_a_model_that_must_not_be_loaded(models, folder, home, spoil, words):
    spoil(folder)
    text = said(add(name_folder(models, folder)))
    for word in words:
        assert word in text
    assert not own(home)


@pytest.mark.parametrize(
    "text", ["/etc", "../x", "~/model", "pages/components", "a/b/c", "https://evil.example/m", "demo\0", "pages"]
)
def test_a_hub_id_that_is_a_path(models, home, text):
    way(models, "m_", "hub")
    models.text_input(key="m_hub").set_value(text).run()
    assert "is not an id on the Hugging Face Hub" in said(sound(models))
    assert models.button(key="b_m_add").disabled


def test_a_revision_that_is_none(models):
    way(models, "m_", "hub")
    models.text_input(key="m_hub").set_value("organisation/model")
    models.text_input(key="m_revision").set_value("--upload-pack=x").run()
    assert "is not a revision" in said(sound(models))


def test_a_hub_model_without_a_network_is_one_line(models, home):
    way(models, "m_", "hub")
    models.text_input(key="m_hub").set_value("organisation/model").run()
    at = add(models)
    [line] = [text.value for text in at.text if "organisation/model" in text.value]
    assert "\n" not in line
    assert not own(home)


def test_an_adapter_that_is_none(models, folder, tmp_path, home):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    name_folder(models, folder)
    models.button_group(key="m_a_way").set_value("folder").run()
    models.text_input(key="m_a_adapter_path").set_value(str(tmp_path / "adapter")).run()
    assert "adapter" in said(add(models))
    assert not own(home)


def test_rename_and_remove(page, home, tmp_path):
    entry = add_own(home, tmp_path / "data")["model"][0]
    at = page("pages/models.py", model=entry.id)
    at.text_input(key=f"rename_{entry.id}").set_value("renamed").run()
    at.button(key=f"renamed_{entry.id}").click().run()
    assert [one.name for one in own(home)] == ["renamed"]
    at.text_input(key=f"rename_{entry.id}").set_value("demo").run()
    at.button(key=f"renamed_{entry.id}").click().run()
    assert "another model is named 'demo'" in said(sound(at))
    at.button(key=f"removed_{entry.id}").click().run()
    assert not own(home)
    assert "model" not in sound(at).query_params


def test_the_demo_cannot_be_removed(page):
    at = page("pages/models.py", model="demo")
    assert not [button for button in at.button if button.label == "Remove it"]


@pytest.mark.parametrize("wanted", ["0123456789ab", "../../etc/passwd", "' or 1=1 --", HOSTILE[0]])
def test_an_unknown_id_in_the_address_is_said(page, wanted):
    at = page("pages/models.py", model=wanted)
    assert "no model with the id in this address" in said(at)
    no_markup(at)


def test_samples_are_asked_for_and_shown_masked(page, store):
    at = page("pages/models.py", model="demo")
    at.text_area(key="samples_texts").set_value("The Ormeli sing\n\nThe market").run()
    at.button(key="write").click().run()
    [run] = store.runs(kind="generate")
    assert run.spec.texts == ["The Ormeli sing", "The market"]
    assert "queued" in sound(at).markdown.values.__str__()
    rows = {"prompt": "The Ormeli sing", "completion": HOSTILE[1], "group": "", "sample": 0, "tokens": 4}
    frame = pd.DataFrame([rows | {"score": float("nan"), "label": ""}])
    finish(store, run.id, "done")
    run.folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(run.folder / COMPLETIONS)
    at = page("pages/models.py", model="demo")
    shown = next(table.value for table in at.dataframe if "The model wrote" in table.value.columns)
    assert set(shown["The model wrote"][0]) <= {"•", " "}
    at.toggle(key=f"samples_{run.id}").set_value(True).run()
    shown = next(table.value for table in sound(at).dataframe if "The model wrote" in table.value.columns)
    assert shown["The model wrote"][0] == HOSTILE[1]
    no_markup(at)


def test_a_failed_run_of_samples_can_be_tried_again(page, store):
    values = {"name": "s", "model": {"path": "demo"}, "texts": ["a"], "device": "cpu"}
    enqueue(store, build(GenerateSpec, values, where="test"), "eeeeeeeeeeee")
    finish(store, "eeeeeeeeeeee", "failed", "the machine ran out of memory")
    at = page("pages/models.py", model="demo")
    assert "the machine ran out of memory" in said(at)
    at.button(key="again_eeeeeeeeeeee").click().run()
    assert store.run("eeeeeeeeeeee").status == "queued"


def test_hostile_names_stay_text(page, home, tmp_path):
    copy = tmp_path / "![x](http:evil.example) <img src=evil.example>"
    shutil.copytree(DEMO / "model", copy)
    spoil_config(copy, architectures=[HOSTILE[0]])
    at = add(name_folder(page("pages/models.py"), copy))
    no_markup(at)
    for entry in own(home):
        Library(home).rename("model", entry.id, HOSTILE[1])
        no_markup(page("pages/models.py", model=entry.id))


def test_the_form_survives_a_reload(page, folder):
    at = name_folder(page("pages/models.py"), folder)
    again = page("pages/models.py", draft=at.query_params["draft"])
    assert again.text_input(key="m_model_path").value == str(folder)
