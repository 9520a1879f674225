import gzip
import json
import os

import pytest

from tests.helpers.hub_stand_in import HubStandIn
from tests.helpers.worlds import NAMES_OF_BYTES, WORDS, sentences, write_jsonl
from untrac_core.data import collections as gathering
from untrac_core.data.collections import members, unique_names
from untrac_core.data.readers import sampling as samples
from untrac_core.data.resolve import expand
from untrac_core.data.subsets import load_subsets
from untrac_core.errors import InputError
from untrac_core.hub import repos
from untrac_core.specs import Collection, FetchSpec, Source, TraceSpec
from untrac_core.specs.files import to_yaml


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    rows = [
        {"body": text, "meta": {"trade": name}}
        for name, count in zip(WORDS, (30, 60, 90), strict=True)
        for text in sentences(name, count, 0)
    ]
    return Source(file=str(write_jsonl(tmp_path / "mixed.jsonl", rows)))


def by_trade(source, **more):
    return Collection(source=source, split_by="column", column="meta.trade", **more)


def test_one_subset_a_value(mixed):
    found = members(by_trade(mixed, limit=7))
    assert [(s.name, s.text, s.where.value, s.limit) for s in found] == [(n, "body", n, 7) for n in sorted(WORDS)]
    assert {name: data.seen for name, data in load_subsets(found).items()} == dict(
        zip(WORDS, (30, 60, 90), strict=True)
    )


def test_the_largest_come_first_where_there_are_too_many(mixed):
    assert [subset.name for subset in members(by_trade(mixed, max_subsets=2))] == ["smiths", "weavers"]


def test_one_subset_a_file(tmp_path):
    for name, column in (("fishers", "text"), ("weavers", "content"), ("smiths", "document")):
        rows = [{column: text, "n": "1"} for text in sentences(name, 20, 0)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "fishers.txt").write_text("The net waits.\n")
    found = members(Collection(source=Source(folder=str(tmp_path)), split_by="file"))
    assert {subset.name: subset.text for subset in found} == {
        "deep/fishers": "text", "fishers": "text", "smiths": "document", "weavers": "content",
    }  # fmt: skip
    assert len(load_subsets(found)) == 4


def test_a_large_source_is_read_once_for_its_values_and_their_documents(mixed, monkeypatch):
    for module in (samples, gathering):
        monkeypatch.setattr(module, "SMALL_BYTES", 1000)
    for module in ("collections", "subsets"):
        monkeypatch.setattr(f"untrac_core.data.{module}.PASS_BYTES", 15_000)
    fresh = load_subsets(members(by_trade(mixed)))
    kept = samples.data_home() / "samples"
    assert len(list(kept.iterdir())) == 3
    monkeypatch.setattr(samples, "_pass", None)  # a second pass would fail
    assert load_subsets(members(by_trade(mixed))) == fresh
    monkeypatch.undo()
    assert {name: len(data.documents) < data.seen for name, data in fresh.items()} == {
        "fishers": True, "weavers": True, "smiths": True,
    }  # fmt: skip


def test_what_was_drawn_on_the_way_is_what_a_pass_of_its_own_draws(mixed, monkeypatch):
    for module in (samples, gathering):
        monkeypatch.setattr(module, "SMALL_BYTES", 1000)
    for module in ("collections", "subsets"):
        monkeypatch.setattr(f"untrac_core.data.{module}.PASS_BYTES", 15_000)
    found = members(by_trade(mixed))
    drawn = load_subsets(found)
    for path in (samples.data_home() / "samples").iterdir():
        path.unlink()
    assert load_subsets(found) == drawn


def test_too_many_values_and_unknown_columns_are_refused(mixed, monkeypatch):
    with pytest.raises(InputError, match=r"has no column 'meta\.origin'"):
        members(Collection(source=mixed, split_by="column", column="meta.origin"))
    with pytest.raises(InputError, match="has no column 'text'"):
        members(by_trade(mixed, text="text"))
    with pytest.raises(InputError, match="has no column 'given'"):
        members(by_trade(mixed, prompt="given"))
    monkeypatch.setattr(gathering, "VALUES_MOST", 2)
    with pytest.raises(InputError, match="has over 2 values"):
        members(by_trade(mixed))


def test_values_that_are_texts_are_refused(tmp_path):
    rows = [{"text": "The net waits.", "trade": "x" * 1001}]
    source = Source(file=str(write_jsonl(tmp_path / "a.jsonl", rows)))
    with pytest.raises(InputError, match=r"has a value of 1,001 characters. Name a column whose values repeat"):
        members(Collection(source=source, split_by="column", column="trade"))
    rows[0]["trade"] = "x" * 1000
    source = Source(file=str(write_jsonl(tmp_path / "b.jsonl", rows)))
    assert len(members(Collection(source=source, split_by="column", column="trade"))) == 1


@NAMES_OF_BYTES
def test_a_file_name_that_is_not_utf8_is_refused_in_one_line(tmp_path):
    (tmp_path / os.fsdecode(b"net\xff.txt")).write_text("The net waits.\n")
    (tmp_path / "loom.txt").write_text("The loom waits.\n")
    with pytest.raises(InputError, match=r"the file name 'net.*udcff\.txt' is not UTF-8. Rename the file") as caught:
        members(Collection(source=Source(folder=str(tmp_path)), split_by="file"))
    assert str(caught.value).isascii()


def test_a_bounded_pass_over_compressed_files_meets_files_at_random(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    folder = tmp_path / "d"
    folder.mkdir()
    for k in range(6):
        lines = "".join(json.dumps({"text": f"{i} The net waits. " * 20, "part": f"p{k}"}) + "\n" for i in range(1200))
        (folder / f"p{k}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    found = members(
        Collection(source=Source(folder=str(folder), max_read_mb=1), split_by="column", column="part", text="text")
    )
    assert [subset.name for subset in found] not in (["p0", "p1"], ["p0", "p1", "p2"])
    drawn = load_subsets(found)
    assert all("taken at random" in data.notes[0] for data in drawn.values())


def test_names_are_clean_and_unique():
    names = unique_names(["a\nb", "a b", "", "  ", "x" * 200, "x" * 300, "taken"], ["taken"])
    assert names[:4] == ["a b", "a b (2)", "(empty)", "(empty) (2)"]
    assert [len(name) for name in names[4:6]] == [80, 80]
    assert names[6] == "taken (2)"
    assert len(set(names)) == 7


def spec(source, kind=TraceSpec, **more):
    values = {
        "prompts": [{"name": "q", "source": {"bundled": "prompts/friendliness.jsonl"}}],
        "model": {"path": "demo"},
    }
    if kind is FetchSpec:
        values = {}
    return kind.model_validate(values | {"collections": [by_trade(source).model_dump()]} | more)


def test_expansion_puts_subsets_in_the_place_of_collections(mixed):
    whole = expand(spec(mixed, subsets=[{"name": "smiths", "source": {"file": mixed.file}, "text": "body"}]))
    assert [subset.name for subset in whole.subsets] == ["smiths", "fishers", "smiths (2)", "weavers"]
    assert whole.collections == []
    assert expand(whole) == whole
    assert "collections" not in to_yaml(whole)
    assert len(expand(spec(mixed, FetchSpec)).subsets) == 3


def test_a_trace_needs_two_subsets_in_the_end(mixed, tmp_path):
    one = Source(file=str(write_jsonl(tmp_path / "one.jsonl", [{"body": "a", "meta": {"trade": "x"}}] * 3)))
    with pytest.raises(InputError, match="give 1 subset, and a trace run compares at least 2"):
        expand(spec(one))


@pytest.mark.parametrize(
    "by", [{"split_by": "config"}, {"split_by": "split", "config": "smiths"}, {"split_by": "column"}]
)
def test_the_hub_is_asked_once_for_the_commit_of_a_data_set(by, tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    folder = tmp_path / "served/datasets/guild/trades"
    card = ""
    for name in WORDS:
        (folder / name).mkdir(parents=True)
        card += f"- config_name: {name}\n  data_files:\n"
        for split in ("train", "test"):
            write_jsonl(folder / name / f"{split}.jsonl", [{"text": t, "trade": t} for t in sentences(name, 9, 0)])
            card += f"  - split: {split}\n    path: {name}/{split}.jsonl\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n{card}---\n")
    source = Source(hub="guild/trades", config=by.pop("config", "smiths" if by["split_by"] == "column" else None))
    collection = Collection(source=source, column="trade" if by["split_by"] == "column" else None, **by)
    asked = []
    pin = repos.pin
    monkeypatch.setattr(repos, "pin", lambda repo, revision, kind: asked.append(revision) or pin(repo, revision, kind))
    with HubStandIn(tmp_path / "served") as hub, hub.here(tmp_path / "cache"):
        found = expand(FetchSpec(collections=[collection, collection])).subsets
        commits = {subset.source.revision for subset in found}
        assert [revision for revision in asked if revision not in commits] == [None]
        assert len(commits) == 1
        assert {subset.source.revision for subset in members(collection)} == commits


def test_a_probe_is_written_out(tmp_path):
    rows = [{"id": "a", "prompt": "", "completion": "x", "group": "g", "label": label} for label in ("toxic", "benign")]
    path = write_jsonl(tmp_path / "t.jsonl", rows)
    given = spec(Source(file="x"), prompts=[{"name": "q", "probe": "toxigen", "source": {"file": str(path)}}])
    given = given.model_copy(update={"collections": [], "subsets": []})
    with pytest.raises(InputError):
        expand(given)
    fetch = FetchSpec(prompts=given.prompts)
    (generations,) = expand(fetch).prompts
    assert (generations.harmful, generations.harmless, generations.columns.label) == ("toxic", "benign", "label")
    assert json.loads(expand(fetch).model_dump_json()) == json.loads(expand(expand(fetch)).model_dump_json())
