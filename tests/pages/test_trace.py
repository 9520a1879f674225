"""The form: a request that can run, and every kind of bad input, said at its field without making a run."""

import json
import shutil

import pytest
from making import HOSTILE, said, sound

from pages.components.trace_form import parse_seeds
from untrac_core.errors import InputError
from untrac_core.home import DEMO
from untrac_core.spec_files import to_yaml

PROMPTS = b"prompt,completion,label\n" + b"".join(
    f"The Ormeli,sing in spring {i},{('toxic', 'benign')[i % 2]}\n".encode() for i in range(12)
)


def subset(text: str, count: int = 30) -> bytes:
    return "".join(
        json.dumps({"id": str(i), "text": f"{text} number {i} by the river."}) + "\n" for i in range(count)
    ).encode()


def start(at):
    return at.button(key="start")


def put(at, kind, *files):
    """Drop files into the uploader of a kind, as a browser does."""
    turn = at.session_state.get(f"turn_{kind}", 0)
    uploader = at.file_uploader(key=f"up_{kind}_{turn}")
    for name, content in files:
        uploader.upload(name, content, "text/plain")
    return sound(at.run())


@pytest.fixture
def form(page):
    return page("pages/trace.py")


@pytest.fixture
def own(form):
    """The form with nothing of the demo's data: one uploaded prompt set and two uploaded subsets."""
    form.pills(key="t_demo_prompts").set_value([])
    form.pills(key="t_demo_subsets").set_value([])
    form.run()
    put(form, "prompts", ("probe.csv", PROMPTS))
    return put(form, "subsets", ("forum.jsonl", subset("The market")), ("news.jsonl", subset("The weather")))


def test_the_demo_is_ready_to_start(form, store):
    assert not start(form).disabled
    assert {"Cells", "Time", "Memory", "Disk"} <= set(form.table[0].value.index)
    start(form).click().run()
    sound(form)
    [run] = [run for run in store.runs() if run.created]
    assert form.query_params["run"] == run.id
    assert run.status == "queued"
    assert len(run.spec.subsets) == 8
    assert [prompts.harmful for prompts in run.spec.prompts] == ["toxic", "stereotype", "false"]


def test_the_yaml_on_the_page_is_the_request(form, store):
    shown = next(code.value for code in form.code if code.value.startswith("kind: trace"))
    start(form).click().run()
    [run] = [run for run in store.runs() if run.created]
    assert shown == to_yaml(run.spec).strip()


def test_uploads_with_columns_and_labels_make_a_request(own, store):
    assert not start(own).disabled, said(own)
    assert own.selectbox(key="t_prompts_1_label").value == "label"
    assert own.selectbox(key="t_prompts_1_harmful").value == "toxic"
    own.text_input(key="t_seeds").set_value("3 5").run()
    start(own).click().run()
    [run] = [run for run in sound(own) and store.runs() if run.created]
    assert [subset.name for subset in run.spec.subsets] == ["forum", "news"]
    assert run.spec.prompts[0].columns.prompt == "prompt"
    assert (run.spec.prompts[0].harmful, run.spec.prompts[0].harmless) == ("toxic", "benign")
    assert run.spec.seeds == [3, 5]
    assert all(str(store.home / "uploads") in str(subset.source.file) for subset in run.spec.subsets)


def test_previews_are_masked_until_asked_for(own):
    def previewed():
        return next(table.value for table in own.dataframe if "completion" in table.value.columns)

    assert set("".join(previewed()["completion"])) <= {"•", " "}
    own.toggle(key="t_prompts_1_show").set_value(True).run()
    assert "sing in spring 0" in previewed()["completion"].tolist()


def test_a_reload_keeps_the_form(own, page):
    own.text_input(key="t_name").set_value("kept").run()
    again = page("pages/trace.py", draft=own.query_params["draft"])
    assert again.text_input(key="t_name").value == "kept"
    assert again.text_input(key="t_subsets_3_name").value == "news"
    assert not start(again).disabled


def test_an_upload_can_be_taken_off_the_list(own):
    own.button(key="drop_subsets_3").click().run()
    assert "t_subsets_3_name" not in own.session_state
    assert start(sound(own)).disabled


def refused(at, store, *words):
    """The page says why in one line that has these words; Start is closed, and no run was made."""
    text = said(sound(at))
    for word in words:
        assert word in text
    assert start(at).disabled
    assert not [run for run in store.runs() if run.created]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("latin.txt", "Grüße\n".encode("latin-1"), ("latin.txt is not UTF-8 text (line 1)", "ave it as UTF-8")),
        ("bad.jsonl", b'{"text": "a"}\n{"text": \n', ("bad.jsonl line 2 is not valid JSON",)),
        ("deep.jsonl", b"[" * 100_000, ("deep.jsonl line 1 is not valid JSON",)),
        ("list.jsonl", b"[1]\n", ("list.jsonl line 1 is not a JSON object",)),
        ("empty.csv", b"", ("empty",)),
        ("header.csv", b"text,label\n", ("header.csv has no records",)),
        ("ragged.csv", b"a,b\n1,2,3\n", ("ragged.csv line 2 has 3 fields, the header has 2",)),
        ("twice.csv", b"a,a\n1,2\n", ("empty or repeated column name",)),
        ("binary.txt", b"a\0b\n", ("NUL characters",)),
    ],
)
def test_a_bad_file_is_refused_at_the_uploader(form, store, name, content, words):
    put(form, "subsets", (name, content))
    for word in words:
        assert word in said(form)
    assert not form.session_state["t_subsets_files"]
    assert not [run for run in store.runs() if run.created]


def test_a_file_over_the_limit_is_refused(form):
    put(form, "subsets", ("large.txt", b"a line of text\n" * 1_400_000))
    assert "20 MB" in said(form)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no seeds",)),
        (" , ", ("no seeds",)),
        ("0, x", ("whole number",)),
        ("-1", ("whole number",)),
        ("1, 1", ("two seeds",)),
    ],
)
def test_bad_seeds(form, store, text, words):
    form.text_input(key="t_seeds").set_value(text).run()
    refused(form, store, *words)


def test_seeds_in_any_spacing():
    assert parse_seeds(" 0,1  2 ,3") == [0, 1, 2, 3]
    with pytest.raises(InputError, match="whole number"):
        parse_seeds("1.5")


def folder_model(form, path):
    form.radio(key="t_model").set_value("folder").run()
    for key in ("t_demo_prompts", "t_demo_subsets"):
        assert form.pills(key=key).value == []
        form.pills(key=key).set_value(form.pills(key=key).options)
    form.text_input(key="t_folder").set_value(str(path)).run()
    return form


def test_no_model_named(form, store):
    refused(folder_model(form, ""), store, "no model is named")


def test_a_model_folder_that_is_missing(form, store, tmp_path):
    refused(folder_model(form, tmp_path / "none"), store, "there is no file or folder")


@pytest.mark.parametrize("path", ["/etc", "../../../../../../etc", "/proc/self/root/etc"])
def test_a_model_folder_outside_the_roots(form, store, path):
    refused(folder_model(form, path), store, "outside the folders that pages may read")


def test_a_link_out_of_the_roots(form, store, tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    refused(folder_model(form, tmp_path / "link"), store, "outside the folders that pages may read")


def test_a_pickle_only_model(form, store, tmp_path):
    copy = tmp_path / "pickled"
    shutil.copytree(DEMO / "model", copy)
    for weights in copy.glob("*.safetensors"):
        weights.rename(copy / "pytorch_model.bin")
    refused(folder_model(form, copy), store, "pickle files", "safetensors")


def test_a_model_without_tokenizer(form, store, tmp_path):
    copy = tmp_path / "mute"
    shutil.copytree(DEMO / "model", copy)
    for file in copy.glob("tokenizer*"):
        file.unlink()
    refused(folder_model(form, copy), store, "the folder has no tokenizer")


@pytest.mark.parametrize(
    "text", ["/etc", "../x", "~/model", "pages/components", "a/b/c", "https://evil.example/m", "demo\0", "pages"]
)
def test_a_hub_id_that_is_a_path(form, store, text):
    form.radio(key="t_model").set_value("hub").run()
    form.text_input(key="t_hub").set_value(text).run()
    refused(form, store, "is not an id on the hub")


def test_a_hub_model_that_is_not_here_yet_is_measured_later(own, store):
    own.radio(key="t_model").set_value("hub").run()
    own.text_input(key="t_hub").set_value("organisation/model").run()
    assert not start(sound(own)).disabled, said(own)
    assert "known when it starts" in own.table[0].value.to_string()


def test_two_subsets_with_one_name(own, store):
    own.text_input(key="t_subsets_3_name").set_value("forum").run()
    refused(own, store, "two subsets are named 'forum'")


def test_one_subset_is_too_few(form, store):
    form.pills(key="t_demo_subsets").set_value(["forum"]).run()
    refused(form, store, "subsets")


def test_no_prompt_set(form, store):
    form.pills(key="t_demo_prompts").set_value([]).run()
    refused(form, store, "prompts")


def test_a_name_is_needed(form, store):
    form.text_input(key="t_name").set_value("").run()
    refused(form, store, "name")


def test_a_subset_that_equals_a_prompt_set(own, store):
    put(own, "prompts", ("same.jsonl", subset("The market")))
    refused(own, store, "forum")


def test_a_prompt_longer_than_the_context(own, store):
    long = json.dumps({"prompt": "The Ormeli sing by the river. " * 4000, "completion": "always"})
    put(own, "prompts", ("long.jsonl", long.encode() + b"\n"))
    refused(own, store, "long")


def test_a_full_disk(form, store, monkeypatch):
    monkeypatch.setattr("untrac_core.engine.disk.free_mb", lambda folder: 1.0)
    start(form).click().run()
    assert "the disk is almost full" in said(sound(form))
    assert not [run for run in store.runs() if run.created]


def test_a_draft_from_elsewhere_cannot_name_a_file(page, home):
    (home / "drafts").mkdir(parents=True)
    entry = {"id": 1, "file": "../../etc/passwd", "name": HOSTILE[0]}
    draft = {"t_subsets_files": [entry], "t_model": "nonsense", "other": 1}
    (home / "drafts" / "0123456789ab.json").write_text(json.dumps(draft))
    at = page("pages/trace.py", draft="0123456789ab")
    assert "this upload cannot be found" in said(at)
    assert "other" not in at.session_state


def test_hostile_names_are_shown_as_text(own):
    put(own, "subsets", (HOSTILE[0].replace("/", "") + ".jsonl", subset("The bridge")))
    own.text_input(key="t_subsets_3_name").set_value(HOSTILE[1]).run()
    own.text_input(key="t_subsets_2_name").set_value(HOSTILE[1]).run()
    for element in [*own.title, *own.markdown, *own.caption, *own.subheader, *own.error]:
        assert "evil.example" not in element.value
    assert any("evil.example" in element.value for element in own.text)
