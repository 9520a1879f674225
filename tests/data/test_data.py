import json

import numpy as np
import pytest

from untrac_core.data.prompts import load_prompts, sample
from untrac_core.data.readers.records import guess_columns, guess_text, read_records
from untrac_core.data.subsets import load_subset
from untrac_core.errors import InputError
from untrac_core.specs import Columns, PromptSet, Source, Subset

HEADER = "completion,label\n"


def prompt_set(path, **more):
    values = {"columns": Columns(label="label"), "harmful": "x", "harmless": "y"} | more
    return PromptSet(name="q", source=Source(file=str(path)), **values)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text,label\n"one, two",x\n"line\nbreak",y\n'),
        ("a.tsv", 'text\tlabel\none, two\tx\n"line\nbreak"\ty\n'),
        ("a.jsonl", '{"text": "one, two", "label": "x"}\n\n{"text": "line\\nbreak", "label": "y"}\n'),
        ("bom.csv", '\ufefftext,label\n"one, two",x\n"line\nbreak",y\n'),
    ],
)
def test_formats_read_alike(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    records = read_records(tmp_path / name)
    assert records.columns == ["text", "label"]
    assert [row["text"] for row in records.rows] == ["one, two", "line\nbreak"]


def test_a_line_ends_where_the_file_says(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\none\u2028two\x0cthree\x85four,x\n", encoding="utf-8")
    assert [row["text"] for row in read_records(tmp_path / "a.csv").rows] == ["one\u2028two\x0cthree\x85four"]


def test_txt_is_lines_or_paragraphs(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n")
    assert [row["text"] for row in read_records(tmp_path / "a.txt").rows] == ["one", "two", "three"]
    both = read_records(tmp_path / "a.txt", paragraphs=True)
    assert [row["text"] for row in both.rows] == ["one\ntwo", "three"]
    assert both.lines == [1, 4]
    (tmp_path / "b.txt").write_text("one\ntwo\n\n")
    assert len(read_records(tmp_path / "b.txt", paragraphs=True).rows) == 2


def test_values_that_are_not_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": null, "c": ["\\ud800"], "d": "\\ud800", "e": "\u2028x"}\n')
    row = read_records(tmp_path / "a.jsonl").rows[0]
    assert row == {"a": "1", "b": "", "c": '["?"]', "d": "?", "e": "\u2028x"}


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not valid JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("a.jsonl", b'{"a":' * 100_000, "not valid JSON"),
        ("a.jsonl", b"\xff\xfe{}", "not UTF-8 text (line 1)"),
        ("a.jsonl", b'{"a": "' + b"x" * 1_000_001 + b'"}', "has a field of"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields"),
        ("a.csv", b'a,b\n"1,2\n', "malformed"),
        ("a.csv", b"a,a\n1,2\n", "repeated column"),
        ("a.csv", b"a,b\n", "no records"),
        ("a.csv", b"a,b\n1,\x00\n", "NUL"),
        ("a.txt", b"", "no records"),
        ("a.txt", b" \n \n", "no records"),
        ("a.xlsx", b"x", "is not a csv, tsv, jsonl, json, txt, parquet or arrow"),
        ("a.csv", b",".join(b"c%d" % i for i in range(300)) + b"\n" + b",".join([b"1"] * 300), "300 columns"),
    ],
)
def test_bad_files_get_one_line(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_records(tmp_path / name, where="here")
    assert says in str(caught.value)
    assert str(caught.value).startswith("here: ")
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path / "folder.csv"):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="there is no file"):
            read_records(path)


def test_bundled_source_stays_in_the_demo():
    with pytest.raises(InputError, match="the demo has no file"):
        load_subset(Subset(name="a", source=Source(bundled="../../README.md")))


def test_guesses():
    columns = guess_columns(["ID", "Question", "Answer", "category", "label"])
    assert columns == Columns(completion="Answer", prompt="Question", group="category", label="label", id="ID")
    assert guess_columns(["text"]) == Columns(completion="text")
    for name in ("cluster", "pair", "Pair ID", "question_id"):
        assert guess_columns(["id", "text", name]) == Columns(completion="text", id="id", cluster=name)
    assert guess_text(["id", "content"]) == "content"


def test_every_row_is_used_or_counted(tmp_path):
    rows = "a,x\nb,x\nb,x\n,x\nc,y\nd,z\n"
    (tmp_path / "q.csv").write_text(HEADER + rows)
    data = load_prompts(prompt_set(tmp_path / "q.csv"))
    assert [item.completion for item in data.sides["harmful"]] == ["a", "b", "b"]
    assert [item.completion for item in data.sides["harmless"]] == ["c"]
    notes = "\n".join(data.notes)
    assert "1 items have no text" in notes
    assert "1 items repeat another" in notes
    assert "1 rows have another label" in notes


def test_limit_is_a_fixed_sample_and_said(tmp_path):
    (tmp_path / "q.csv").write_text(HEADER + "".join(f"t{i},x\n" for i in range(50)) + "u,y\n")
    first = load_prompts(prompt_set(tmp_path / "q.csv", limit=10))
    again = load_prompts(prompt_set(tmp_path / "q.csv", limit=10))
    assert first.sides == again.sides
    assert len({item.completion for item in first.sides["harmful"]}) == 10
    assert any("random 10 of 50" in note for note in first.notes)


def test_unknown_column_and_label_list_what_there_is(tmp_path):
    (tmp_path / "q.csv").write_text(HEADER + "a,x\n")
    with pytest.raises(InputError, match="Its columns are 'completion', 'label'"):
        load_prompts(prompt_set(tmp_path / "q.csv", columns=Columns(completion="nope", label="label")))
    with pytest.raises(InputError, match="no row has the label 'y'"):
        load_prompts(prompt_set(tmp_path / "q.csv"))


def test_documents_are_shuffled_once_and_none_is_lost(tmp_path):
    texts = [f"text {i}" for i in range(100)]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    spec = Subset(name="s", source=Source(file=str(tmp_path / "s.jsonl")))
    data = load_subset(spec)
    assert sorted(document.text for document in data.documents) == sorted(texts)
    assert [document.text for document in data.documents] != texts
    assert load_subset(spec).documents == data.documents


def test_sample_keeps_order_and_has_no_repeats():
    drawn = sample(list(range(1000)), 100)
    assert drawn == sorted(set(drawn))
    assert abs(np.mean(drawn) - 500) < 100
