"""The page Subsets: adding training subsets in every way, bad input at its field, and what a card says."""

import json

import pandas as pd
import pytest

from pages.components.forms.source_preview import stamp
from pages.components.library import token_counts as counting
from tests.helpers.making import HOSTILE, add_own, no_markup, put, said, sound, texts_jsonl, way
from tests.helpers.malformed import malformed
from untrac_core.data.subsets import load_subset
from untrac_core.engine import Library
from untrac_core.specs import FetchSpec, Source


@pytest.fixture
def subsets(page):
    return page("pages/subsets.py")


@pytest.fixture
def folder(tmp_path):
    """Three files, one of them parquet, and something that is no data."""
    place = tmp_path / "corpora"
    place.mkdir()
    (place / "market.jsonl").write_bytes(texts_jsonl("The market"))
    (place / "ferry.txt").write_text("The bridge is open.\nThe ferry is late.\n")
    pd.DataFrame({"content": [f"Page {i} of the book" for i in range(9)]}).to_parquet(place / "tales.parquet")
    (place / "notes.pdf").write_bytes(b"%PDF")
    return place


@pytest.fixture
def mixed(tmp_path):
    """One data set with a column that tells where a text is from."""
    rows = [{"text": f"{name} text {i}", "meta": {"source": name}} for name in ("sea", "hill") for i in range(20)]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def own(home):
    return [entry for entry in Library(home).entries("subset") if not entry.builtin]


def press(at, key):
    at.button(key=key).click()
    return sound(at.run())


def type_in(at, key, value):
    at.text_input(key=key).set_value(str(value))
    return sound(at.run())


def test_the_demo_is_offered(subsets):
    assert len(subsets.dataframe[0].value) == 8
    assert "Only the demo's subsets are here" in said(subsets)
    assert "fixed random sample of its documents" in said(subsets)


def test_uploads_become_subsets(subsets, home):
    at = put(subsets, "s_", ("market.jsonl", texts_jsonl("The market")), ("talk.txt", b"The bridge.\nThe ferry.\n"))
    at.text_input(key="s_2_name").set_value("newspaper").run()
    press(sound(at), "b_s_upload_add")
    assert sorted(entry.name for entry in own(home)) == ["market", "newspaper"]
    assert {entry.facts["documents"] for entry in own(home)} == {30, 2}
    assert not at.session_state.get("s_files")
    assert "Next: trace them (2 of your own)" in [link.label for link in at.get("page_link")]


def test_an_upload_can_be_split_by_a_column(subsets, home, mixed):
    at = put(subsets, "s_", ("mixed.jsonl", mixed.read_bytes()))
    at.button_group(key="s_upload_make").set_value("column").run()
    assert at.selectbox(key="s_1_column").value == "meta.source"
    counts = next(table.value for table in sound(at).dataframe if "Value" in table.value.columns)
    assert counts["Rows"].tolist() == [20, 20]
    press(at, "b_s_1_add")
    assert sorted(entry.name for entry in own(home)) == ["hill", "sea"]
    assert not at.session_state.get("s_files")


def test_a_folder_is_one_file_a_subset(subsets, home, folder):
    way(subsets, "s_", "folder")
    at = type_in(subsets, "s_folder_path", folder)
    assert at.multiselect(key="s_folder_files").value == ["ferry.txt", "market.jsonl", "tales.parquet"]
    press(at, "b_s_folder_add")
    assert sorted(entry.name for entry in own(home)) == ["ferry", "market", "tales"]
    [tales] = [entry for entry in own(home) if entry.name == "tales"]
    assert tales.facts["documents"] == 9


def test_files_of_a_folder_can_be_left_out(subsets, home, folder):
    way(subsets, "s_", "folder")
    at = type_in(subsets, "s_folder_path", folder)
    at.multiselect(key="s_folder_files").set_value(["ferry.txt", "market.jsonl"]).run()
    press(sound(at), "b_s_folder_add")
    assert sorted(entry.name for entry in own(home)) == ["ferry", "market"]


def test_a_bad_file_in_a_folder_is_said_and_the_others_are_added(subsets, home, folder):
    (folder / "zbad.jsonl").write_text('{"text": "a"}\n{"text":\n')
    way(subsets, "s_", "folder")
    at = press(type_in(subsets, "s_folder_path", folder), "b_s_folder_add")
    assert "zbad.jsonl: line 2 is not valid JSON" in said(at)
    assert len(own(home)) == 3


def test_a_folder_without_data(subsets, tmp_path):
    (tmp_path / "none").mkdir()
    way(subsets, "s_", "folder")
    assert "no data file in it" in said(type_in(subsets, "s_folder_path", tmp_path / "none"))


def test_a_link_in_a_folder_that_leads_out(subsets, home, folder):
    (folder / "passwd.txt").symlink_to("/etc/passwd")
    way(subsets, "s_", "folder")
    assert "outside the folders that pages may read" in said(type_in(subsets, "s_folder_path", folder))
    assert not own(home)


@pytest.mark.parametrize(("kind", "path"), [("file", "/etc/passwd"), ("folder", "/etc"), ("file", "../../../etc/none")])
def test_outside_the_roots(subsets, home, kind, path):
    way(subsets, "s_", kind)
    assert "outside the folders that pages may read" in said(type_in(subsets, f"s_{kind}_path", path))
    assert not own(home)


def test_one_file_whole_and_split(subsets, home, mixed):
    way(subsets, "s_", "file")
    at = press(type_in(subsets, "s_file_path", mixed), "b_s_file_add")
    assert at.query_params["subset"] == own(home)[0].id
    assert own(home)[0].facts["documents"] == 40
    at.button_group(key="s_file_make").set_value("column").run()
    type_in(at, "s_file_path", mixed)
    at.multiselect(key="s_file_values_meta.source").set_value(["sea"]).run()
    press(sound(at), "b_s_file_add")
    assert "sea" in [entry.name for entry in own(home)]
    [sea] = [entry for entry in own(home) if entry.name == "sea"]
    assert all(document.text.startswith("sea") for document in load_subset(sea.value).documents)


def test_instruction_data_keep_what_is_given(subsets, home, tmp_path):
    rows = [{"instruction": f"Say {i}", "output": f"The answer number {i}"} for i in range(5)]
    path = tmp_path / "tuned.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    way(subsets, "s_", "file")
    at = type_in(subsets, "s_file_path", path)
    at.selectbox(key="s_file_text").set_value("output").run()
    at.selectbox(key="s_file_prompt").set_value("instruction").run()
    press(sound(at), "b_s_file_add")
    assert own(home)[0].facts["given"] == 5


def test_large_data_are_read_in_the_background(subsets, store, mixed, monkeypatch):
    monkeypatch.setattr("pages.components.library.subset_adding.INLINE_BYTES", 10)
    way(subsets, "s_", "file")
    at = press(type_in(subsets, "s_file_path", mixed), "b_s_file_add")
    [run] = store.runs(kind="fetch")
    assert at.query_params["job"] == run.id
    assert isinstance(run.spec, FetchSpec)
    assert run.spec.subsets[0].name == "mixed"
    press(at, f"stop_{run.id}")
    press(at, f"dismiss_{run.id}")
    assert "job" not in at.query_params


def test_a_hub_without_a_network_is_one_line(subsets):
    way(subsets, "s_", "hub")
    type_in(subsets, "s_hub", "organisation/data")
    at = press(subsets, "b_s_hub_look")
    assert [text.value for text in at.text if "organisation/data" in text.value and "\n" not in text.value]


def test_malformed_files_are_refused_a_line_each(subsets, home):
    bad = list(malformed(seed=1, share=0.15, suffixes=(".csv", ".tsv", ".jsonl", ".txt")))
    at = put(subsets, "s_", *((file.name, file.data) for file in bad))
    assert len(at.session_state["faults_s_"]) == len(bad)
    assert not at.session_state.get("s_files")
    assert not list((home / "uploads").glob("*"))
    assert not own(home)


def test_many_uploads_take_their_own_names(subsets, home):
    files = [(f"part-{i:02}.jsonl", texts_jsonl(f"Part {i}", 3)) for i in range(20)]
    at = put(subsets, "s_", *files)
    assert "8 more files take their own names" in said(at)
    press(at, "b_s_upload_add")
    assert len(own(home)) == 20


def test_a_card_tells_what_repeats_and_what_is_shared(page, home, tmp_path):
    added = add_own(home, tmp_path / "data")
    at = put(page("pages/subsets.py"), "s_", ("twice.jsonl", texts_jsonl("The quay") * 2))
    press(at, "b_s_upload_add")
    assert "Repeated documents" in said(at)
    assert "30 of 60 documents repeat another" in said(at)
    at = page("pages/subsets.py", subset=added["subset"][0].id)
    for word in ("Documents", "Blocks of 64 tokens", "Tokens per document", "whole"):
        assert word in said(at)


def test_texts_are_masked_until_asked_for(page, home, tmp_path):
    entry = add_own(home, tmp_path / "data")["subset"][0]
    at = page("pages/subsets.py", subset=entry.id)
    texts = at.dataframe[1].value["Text"]
    assert set("".join(texts)) <= {"•", " "}
    at.toggle(key=f"show_{entry.id}").set_value(True).run()
    assert all("by the river" in text for text in sound(at).dataframe[1].value["Text"])


def test_rename_and_remove(page, home, tmp_path):
    entry = add_own(home, tmp_path / "data")["subset"][0]
    at = page("pages/subsets.py", subset=entry.id)
    type_in(at, f"rename_{entry.id}", "renamed")
    press(at, f"renamed_{entry.id}")
    assert "renamed" in [one.name for one in own(home)]
    press(at, f"removed_{entry.id}")
    assert len(own(home)) == 1


def test_a_subset_whose_records_are_gone_says_so(page, home, tmp_path):
    entry = add_own(home, tmp_path / "data")["subset"][0]
    (home / "library" / "data" / f"{entry.value.source.kept}.jsonl").unlink()
    assert "its kept records are gone" in said(page("pages/subsets.py", subset=entry.id))
    page("pages/trace.py")


def test_hostile_names_and_texts_stay_text(page, home, tmp_path):
    rows = [{HOSTILE[0]: f"{HOSTILE[1]} {i}", "source": HOSTILE[i % 3]} for i in range(12)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    at = put(page("pages/subsets.py"), "s_", (HOSTILE[0].replace("/", "") + ".jsonl", data))
    no_markup(at)
    at.button_group(key="s_upload_make").set_value("column").run()
    at.toggle(key="show_s_1_").set_value(True).run()
    no_markup(sound(at))
    press(at, "b_s_1_add")
    no_markup(at)
    for entry in own(home):
        no_markup(page("pages/subsets.py", subset=entry.id))
    no_markup(page("pages/trace.py"))
    folder = tmp_path / "<img src=evil.example>"
    folder.mkdir()
    (folder / "![x](evil.example).txt").write_text("The bridge.\nThe ferry.\n")
    at = way(page("pages/subsets.py"), "s_", "folder")
    no_markup(type_in(at, "s_folder_path", folder))


def test_values_of_a_column_that_look_alike_stay_apart(subsets, home, tmp_path):
    rows = [{"text": f"{name} number {i}", "source": name} for name in ("en/us", "us", "us.txt") for i in range(5)]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    way(subsets, "s_", "file")
    subsets.button_group(key="s_file_make").set_value("column").run()
    at = type_in(subsets, "s_file_path", path)
    press(at, "b_s_file_add")
    assert sorted(entry.name for entry in own(home)) == ["en/us", "us", "us.txt"]
    for entry in own(home):
        assert all(one.text.startswith(f"{entry.name} number") for one in load_subset(entry.value).documents)


def test_what_a_folder_offers_is_what_a_run_reads(subsets, home, folder):
    (folder / "README.txt").write_text("About these texts.\n")
    (folder / "more.ndjson").write_bytes(texts_jsonl("The quay"))
    way(subsets, "s_", "folder")
    at = type_in(subsets, "s_folder_path", folder)
    assert at.multiselect(key="s_folder_files").value == ["ferry.txt", "market.jsonl", "more.ndjson", "tales.parquet"]


def test_the_folders_in_a_folder_count_for_its_size(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "more.jsonl").write_bytes(texts_jsonl("The quay"))
    files = stamp(Source(folder=str(folder)))
    assert [name for name, _, _ in files] == ["deep/more.jsonl", "ferry.txt", "market.jsonl", "tales.parquet"]
    (folder / "deep" / "more.jsonl").write_bytes(texts_jsonl("The quay", 50))
    assert stamp(Source(folder=str(folder))) != files


def test_the_rows_of_a_plain_text_are_its_paragraphs(subsets, home, tmp_path):
    path = tmp_path / "ferry.txt"
    path.write_text("The bridge\nis open.\n\nThe ferry\nis late.\n")
    way(subsets, "s_", "file")
    assert "2 rows" in said(type_in(subsets, "s_file_path", path))
    press(subsets, "b_s_file_add")
    assert own(home)[0].facts["documents"] == 2


def test_another_file_brings_its_own_name(subsets, home, mixed, folder):
    way(subsets, "s_", "file")
    type_in(subsets, "s_file_path", mixed)
    type_in(subsets, "s_file_name", "my sea")
    at = type_in(subsets, "s_file_path", folder / "ferry.txt")
    assert at.text_input(key="s_file_name").value == "ferry"
    press(at, "b_s_file_add")
    assert [entry.name for entry in own(home)] == ["ferry"]


def test_what_is_wrong_is_said_also_where_the_others_are_read_in_the_background(subsets, store, folder, monkeypatch):
    monkeypatch.setattr("pages.components.library.subset_adding.INLINE_BYTES", 10)
    (folder / "zbad.jsonl").write_text('{"text": "a"}\n{"text":\n')
    way(subsets, "s_", "folder")
    at = press(type_in(subsets, "s_folder_path", folder), "b_s_folder_add")
    assert [one.name for one in store.runs(kind="fetch")[0].spec.subsets] == ["ferry", "market", "tales"]
    assert "zbad.jsonl: line 2 is not valid JSON" in said(at)


def test_tokens_are_counted_as_soon_as_the_tokenizer_is_here(page, home, tmp_path, monkeypatch):
    entry = add_own(home, tmp_path / "data")["subset"][0]
    found = counting.find_model
    monkeypatch.setattr(counting, "find_model", lambda ref: None)
    counting._encoder.clear()
    assert "Tokens per document" not in said(page("pages/subsets.py", subset=entry.id))
    monkeypatch.setattr(counting, "find_model", found)
    assert "Tokens per document" in said(page("pages/subsets.py", subset=entry.id))
