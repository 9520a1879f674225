"""The page Prompts: adding a prompt set in every way, bad input at its field, and what a card says."""

import json
import shutil

import pandas as pd
import pytest

from tests.helpers.making import HOSTILE, add_own, finish, no_markup, prompts_csv, put, said, sound, texts_jsonl, way
from tests.helpers.malformed import malformed
from untrac_core.data.prompts import load_prompts
from untrac_core.engine import Library
from untrac_core.paths import DEMO
from untrac_core.results.folders import COMPLETIONS
from untrac_core.specs import FetchSpec


@pytest.fixture
def prompts(page):
    return page("pages/prompts.py")


def own(home):
    return [entry for entry in Library(home).entries("prompts") if not entry.builtin]


def press(at, key):
    at.button(key=key).click()
    return sound(at.run())


def previewed(at):
    return next(table.value for table in at.dataframe if "Completion (scored)" in table.value.columns)


def test_the_demo_is_offered(prompts):
    assert prompts.dataframe[0].value["name"].tolist() == ["toxicity", "bias", "truthfulness"]
    assert prompts.dataframe[0].value["items"].tolist() == ["96 / 96"] * 3
    assert "Only the demo's prompt sets are here" in said(prompts)


def test_an_upload_is_mapped_by_guess_and_added(prompts, home):
    at = put(prompts, "p_", ("probe.csv", prompts_csv()))
    chosen = {role: at.selectbox(key=f"p_1_{role}").value for role in ("completion", "prompt", "label")}
    assert chosen == {"completion": "completion", "prompt": "prompt", "label": "label"}
    assert (at.selectbox(key="p_1_harmful").value, at.selectbox(key="p_1_harmless").value) == ("toxic", "benign")
    assert set("".join(previewed(at)["Completion (scored)"])) <= {"•", " "}
    press(at, "b_p_1_add")
    [entry] = own(home)
    assert at.query_params["prompts"] == entry.id
    assert entry.facts["items"] == {"harmful": 6, "harmless": 6}
    assert entry.origin == "upload probe.csv"
    assert at.dataframe[0].value["items"].tolist()[0] == "6 / 6"
    assert not at.session_state.get("p_files")
    sides = load_prompts(entry.value).sides
    assert sides["harmful"][0].completion == "sing in spring 0"


def test_texts_are_masked_until_asked_for(prompts):
    at = put(prompts, "p_", ("probe.csv", prompts_csv()))
    at.toggle(key="show_p_1_").set_value(True).run()
    assert "sing in spring 0" in previewed(sound(at))["Completion (scored)"].tolist()
    assert "The Ormeli" in previewed(at)["Prompt (not scored)"].tolist()


def test_other_columns_and_sides_can_be_chosen(prompts, home):
    at = put(prompts, "p_", ("probe.csv", prompts_csv()))
    at.selectbox(key="p_1_completion").set_value("prompt").run()
    at.selectbox(key="p_1_prompt").set_value("(none)").run()
    at.selectbox(key="p_1_harmful").set_value("benign").run()
    at.text_input(key="p_1_name").set_value("my set").run()
    press(sound(at), "b_p_1_add")
    [entry] = own(home)
    assert (entry.name, entry.value.harmful, entry.value.harmless) == ("my set", "benign", "toxic")
    assert load_prompts(entry.value).sides["harmful"][0].completion == "The Ormeli"


def test_a_column_of_pairs_is_found_shown_and_kept(prompts, home):
    rows = [f"p{i // 2},The weavers sing {i}.,{('toxic', 'benign')[i % 2]}" for i in range(8)]
    at = put(prompts, "p_", ("pairs.csv", "\n".join(["pair,text,label", *rows]).encode()))
    assert at.selectbox(key="p_1_cluster").value == "pair"
    assert previewed(at)["Pair or question"].tolist()[:3] == ["p0", "p0", "p1"]
    press(sound(at), "b_p_1_add")
    sides = load_prompts(own(home)[0].value).sides
    assert [[item.cluster for item in items] for items in sides.values()] == [["p0", "p1", "p2", "p3"]] * 2


def test_without_labels_there_is_one_side(prompts, home):
    at = put(prompts, "p_", ("plain.txt", b"The Ormeli sing\nThe market is loud\n"))
    assert "all rows are one side" in said(at)
    press(at, "b_p_1_add")
    assert own(home)[0].facts["items"] == {"harmful": 2}


@pytest.mark.parametrize(
    ("form", "text", "items"),
    [
        ("txt", "The Ormeli sing\nThe market is loud", 2),
        ("csv", "text,label\nThe Ormeli sing,toxic\nThey dance,benign", 1),
        ("jsonl", '{"text": "The Ormeli sing"}', 1),
        ("", "text,label\nThe Ormeli sing,toxic\nThey dance,benign", 1),
    ],
)
def test_pasted_texts_become_a_set(prompts, home, form, text, items):
    way(prompts, "p_", "paste")
    prompts.selectbox(key="p_paste_form").set_value(form).run()
    prompts.text_area(key="p_paste").set_value(text).run()
    at = press(prompts, "b_p_paste_read")
    assert at.text_area(key="p_paste").value == ""
    assert "Nothing is pasted" not in said(at)
    press(at, "b_p_1_add")
    assert own(home)[0].facts["items"]["harmful"] == items


def test_nothing_pasted_and_nonsense_pasted(prompts):
    way(prompts, "p_", "paste")
    assert "Nothing is pasted yet" in said(press(prompts, "b_p_paste_read"))
    prompts.selectbox(key="p_paste_form").set_value("jsonl").run()
    prompts.text_area(key="p_paste").set_value("[[[").run()
    at = press(prompts, "b_p_paste_read")
    assert "pasted.jsonl line 1" in said(at)
    assert at.text_area(key="p_paste").value == "[[["


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv.gz"])
def test_a_file_of_this_machine(prompts, home, tmp_path, suffix):
    frame = pd.DataFrame(
        {"prompt": ["They"] * 4, "completion": ["sing", "dance", "eat", "go"], "label": ["a", "b"] * 2}
    )
    path = tmp_path / f"items.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False)
    way(prompts, "p_", "file")
    prompts.text_input(key="p_file_path").set_value(str(path)).run()
    press(sound(prompts), "b_p_file_add")
    assert own(home)[0].name == "items"


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../../etc/passwd", "/proc/self/environ"])
def test_a_file_outside_the_roots(prompts, home, path):
    way(prompts, "p_", "file")
    prompts.text_input(key="p_file_path").set_value(path).run()
    assert "outside the folders that pages may read" in said(sound(prompts))
    assert not own(home)


def test_a_large_file_is_read_in_the_background(prompts, store, tmp_path, monkeypatch):
    monkeypatch.setattr("pages.components.forms.source_preview.INLINE_BYTES", 10)
    (tmp_path / "items.csv").write_bytes(prompts_csv())
    way(prompts, "p_", "file")
    prompts.text_input(key="p_file_path").set_value(str(tmp_path / "items.csv")).run()
    at = press(sound(prompts), "b_p_file_add")
    [run] = store.runs(kind="fetch")
    assert at.query_params["job"] == run.id
    assert isinstance(run.spec, FetchSpec)
    assert run.spec.prompts[0].harmful == "toxic"
    press(at, f"stop_{run.id}")
    assert store.run(run.id).status == "cancelled"


@pytest.mark.parametrize("text", ["/etc", "../x", "a/b/c", "https://evil.example/d", "pages"])
def test_a_data_set_on_the_hub_that_is_a_path(prompts, text):
    way(prompts, "p_", "hub")
    prompts.text_input(key="p_hub").set_value(text).run()
    assert "is not an id on the Hugging Face Hub" in said(press(prompts, "b_p_hub_look"))


def test_a_hub_without_a_network_is_one_line(prompts):
    way(prompts, "p_", "hub")
    prompts.text_input(key="p_hub").set_value("organisation/data").run()
    at = press(prompts, "b_p_hub_look")
    assert [text.value for text in at.text if "organisation/data" in text.value and "\n" not in text.value]


def test_a_probe_says_its_terms_and_reads_a_local_copy(prompts, home, tmp_path):
    rows = [
        {"id": str(i), "prompt": "", "completion": f"Sentence {i} about the Ormeli and the sea they love so much",
         "group": "g", "category": "", "label": ("toxic", "benign")[i % 2]}
        for i in range(8)
    ]  # fmt: skip
    (tmp_path / "copy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    way(prompts, "p_", "probe")
    prompts.selectbox(key="p_probe").set_value("toxigen").run()
    text = said(sound(prompts))
    for word in ("Content warning", "Licence", "Please cite", "toxigen/toxigen-data"):
        assert word in text
    prompts.button_group(key="p_copy").set_value("file").run()
    assert prompts.button(key="b_p_probe_add").disabled
    prompts.text_input(key="p_c_file_path").set_value(str(tmp_path / "copy.jsonl")).run()
    press(sound(prompts), "b_p_probe_add")
    [entry] = own(home)
    assert entry.facts["items"] == {"harmful": 4, "harmless": 4}


def test_a_probe_of_the_hub_is_fetched(prompts, store):
    way(prompts, "p_", "probe")
    prompts.selectbox(key="p_probe").set_value("winobias").run()
    press(sound(prompts), "b_p_probe_add")
    [run] = store.runs(kind="fetch")
    assert run.spec.prompts[0].probe == "winobias"


def test_a_model_writes_and_the_toxic_part_is_kept(prompts, store, home):
    way(prompts, "p_", "generate")
    prompts.text_area(key="p_g_texts").set_value("The Ormeli are\n").run()
    prompts.number_input(key="p_g_samples").set_value(2).run()
    at = press(sound(prompts), "b_p_g_start")
    [run] = store.runs(kind="generate")
    assert run.spec.texts == ["The Ormeli are"]
    assert run.spec.sampling.samples == 2
    assert run.spec.scorer.lexicon.bundled == "lexicon.txt"
    assert at.query_params["job"] == run.id
    finish(store, run.id, "done")
    run.folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "prompt": "The Ormeli are",
            "completion": text,
            "group": "",
            "sample": i,
            "tokens": 3,
            "score": i / 2,
            "label": label,
        }
        for i, (text, label) in enumerate([(HOSTILE[0], "benign"), ("vile", "toxic")])
    ]
    pd.DataFrame(rows).to_parquet(run.folder / COMPLETIONS)
    at.run()
    assert "1 completion of 2 scored as toxic" in said(sound(at))
    press(at, "keep_completions")
    [entry] = own(home)
    assert entry.facts["items"] == {"harmful": 1, "harmless": 1}
    assert at.query_params["prompts"] == entry.id
    no_markup(at)


def test_generation_says_what_is_missing(prompts, store):
    way(prompts, "p_", "generate")
    prompts.text_area(key="p_g_texts").set_value(" \n").run()
    assert "There are no beginnings" in said(sound(prompts))
    assert prompts.button(key="b_p_g_start").disabled
    prompts.text_area(key="p_g_texts").set_value("The").run()
    prompts.button_group(key="p_g_scorer").set_value("classifier").run()
    assert "is fetched from the Hugging Face Hub once" in said(sound(prompts))
    prompts.button_group(key="p_g_where").set_value("folder").run()
    assert "No classifier is named" in said(sound(prompts))
    prompts.button_group(key="p_g_scorer").set_value("own").run()
    assert "There is no word list" in said(sound(prompts))
    at = put(prompts, "p_g_w_", ("mine.txt", b"vile\n"))
    assert "Uses mine.txt" in said(at)
    press(at, "b_p_g_start")
    [run] = store.runs(kind="generate")
    assert run.spec.scorer.lexicon.file.startswith(str(store.home))


def test_what_the_model_shall_write_from_can_be_a_prompt_set(page, store, home, tmp_path):
    add_own(home, tmp_path / "data")
    at = way(page("pages/prompts.py"), "p_", "generate")
    at.button_group(key="p_g_from").set_value("prompts").run()
    at.number_input(key="p_g_limit").set_value(5).run()
    press(sound(at), "b_p_g_start")
    [run] = store.runs(kind="generate")
    assert (run.spec.column, run.spec.limit) == ("prompt", 5)
    assert run.spec.source.kept


BAD = list(malformed(share=0.15, suffixes=(".csv", ".tsv", ".jsonl", ".txt")))


def test_malformed_files_are_refused_a_line_each(prompts, home):
    at = put(prompts, "p_", *((file.name, file.data) for file in BAD))
    assert not at.session_state.get("p_files")
    faults = at.session_state["faults_p_"]
    assert len(faults) == len(BAD)
    assert all("\n" not in fault and len(fault) < 400 for fault in faults)
    assert f"{len(BAD)} files cannot be used" in said(at)
    assert not [fault for fault in faults for file in BAD if f"{file.name}: {file.name}" in fault]
    assert not list((home / "uploads").glob("*"))
    assert not own(home)
    no_markup(at)


def test_a_file_that_is_taken_off_the_list_is_gone(prompts):
    at = put(prompts, "p_", ("probe.csv", prompts_csv()), ("same.csv", prompts_csv(4)))
    press(at, "b_p_1_drop")
    assert [entry["name"] for entry in at.session_state["p_files"]] == ["same.csv"]
    assert "p_1_name" not in at.session_state


def test_a_name_that_is_none_is_said(prompts, home):
    at = put(prompts, "p_", ("probe.csv", prompts_csv()))
    at.text_input(key="p_1_name").set_value("").run()
    assert "name" in said(press(at, "b_p_1_add"))
    assert not own(home)


def test_an_empty_side_is_said(prompts, home):
    rows = "text,label\n" + "".join(f"text {i},toxic\n" for i in range(5)) + ",benign\n"
    at = put(prompts, "p_", ("half.csv", rows.encode()))
    assert "harmless side has no text" in said(press(at, "b_p_1_add"))
    assert not own(home)


def test_the_same_set_twice_is_one(prompts, home):
    for number in (1, 2):
        at = put(prompts, "p_", ("probe.csv", prompts_csv()))
        [key] = [
            button.key for button in at.button if button.key and button.key.startswith("b_p_") and button.label == "Add"
        ]
        press(at, key)
        assert number
    assert len(own(home)) == 1


def test_a_card_counts_and_warns(page, home, tmp_path):
    added = add_own(home, tmp_path / "data")
    (tmp_path / "data" / "leak.jsonl").write_bytes(texts_jsonl("The market 0"))
    at = page("pages/prompts.py")
    put(at, "p_", ("leak.jsonl", texts_jsonl("The market 0")))
    press(at, "b_p_1_add")
    assert "subset" in said(at)
    assert "Notes" in said(at)
    at = page("pages/prompts.py", prompts=added["prompts"][0].id)
    tokens = next(table.value for table in at.dataframe if "Scored tokens" in table.value.columns)
    assert tokens["Side"].tolist() == ["harmful", "harmless"]
    assert (tokens["Scored tokens"] > 0).all()


def test_removing_keeps_nothing(page, home, tmp_path):
    entry = add_own(home, tmp_path / "data")["prompts"][0]
    at = page("pages/prompts.py", prompts=entry.id)
    press(at, f"removed_{entry.id}")
    assert not own(home)
    assert "prompts" not in at.query_params


def test_hostile_names_and_texts_stay_text(page, home):
    rows = [{HOSTILE[0]: HOSTILE[1], "label": HOSTILE[2], "group": HOSTILE[1]} for _ in range(4)]
    rows += [{HOSTILE[0]: "b", "label": HOSTILE[1], "group": HOSTILE[1]}]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    at = put(page("pages/prompts.py"), "p_", (HOSTILE[0].replace("/", "") + ".jsonl", data))
    no_markup(at)
    at.text_input(key="p_1_name").set_value(HOSTILE[1]).run()
    at.toggle(key="show_p_1_").set_value(True).run()
    at.selectbox(key="p_1_harmful").set_value(HOSTILE[2]).run()
    press(sound(at), "b_p_1_add")
    [entry] = own(home)
    no_markup(at)
    at.toggle(key=f"show_{entry.id}").set_value(True).run()
    no_markup(sound(at))


def test_the_form_survives_a_reload(page):
    at = put(page("pages/prompts.py"), "p_", ("probe.csv", prompts_csv()))
    at.text_input(key="p_1_name").set_value("kept").run()
    again = page("pages/prompts.py", draft=at.query_params["draft"])
    assert again.text_input(key="p_1_name").value == "kept"


def test_a_draft_from_elsewhere_cannot_name_a_file(page, home):
    (home / "drafts").mkdir(parents=True)
    entry = {"id": 1, "file": "../../etc/passwd", "name": HOSTILE[0]}
    draft = {"p_files": [entry, "x", {"id": "2"}], "p_way": "upload", "other": 1}
    (home / "drafts" / "p_0123456789ab.json").write_text(json.dumps(draft))
    at = page("pages/prompts.py", draft="0123456789ab")
    assert "this upload cannot be found" in said(at)
    assert "other" not in at.session_state
    no_markup(at)


def test_a_draft_with_nonsense_does_no_harm(page, home):
    (home / "drafts").mkdir(parents=True)
    draft = {"p_files": 3, "p_way": ["x"], "p_probe": {}, "p_g_model": 5}
    (home / "drafts" / "p_0123456789ab.json").write_text(json.dumps(draft))
    page("pages/prompts.py", draft="0123456789ab")


def test_tokens_follow_the_chosen_model(page, home, tmp_path):
    shutil.copytree(DEMO / "model", tmp_path / "mine")
    at = page("pages/prompts.py")
    assert at.selectbox(key="count_with").value == "demo"
    assert all(value != "unknown" for value in at.dataframe[0].value["tokens"])
