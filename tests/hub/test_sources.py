"""Subsets and prompt sets from a data set on the hub (a stand-in on loopback), through the ordinary path."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.hub_stand_in import HubStandIn
from tests.helpers.worlds import WORDS, sentences
from untrac_core.data.collections import members
from untrac_core.data.prompts import load_prompts
from untrac_core.data.readers.records import preview, read_records
from untrac_core.data.resolve import expand
from untrac_core.data.subsets import load_subset, load_subsets
from untrac_core.errors import InputError
from untrac_core.specs import Collection, Columns, FetchSpec, PromptSet, Source, Subset

CARD = "---\nconfigs:\n{}---\n"
FILES = "  - split: train\n    path: {0}/train-*\n  - split: test\n    path: {0}/test-*\n"
CONFIG = "- config_name: {0}\n  data_files:\n" + FILES


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    root = tmp_path / "served"
    trades = root / "datasets/guild/trades"
    for name in WORDS:
        (trades / name).mkdir(parents=True)
        for split, count in (("train", 60), ("test", 10)):
            rows = [{"text": text, "meta": {"trade": name}} for text in sentences(name, count, len(split))]
            pq.write_table(pa.Table.from_pylist(rows), trades / name / f"{split}-00000-of-00001.parquet")
    (trades / "README.md").write_text(CARD.format("".join(CONFIG.format(name) for name in WORDS)))
    mixed = root / "datasets/guild/mixed"
    mixed.mkdir()
    rows = [{"text": text, "trade": name, "label": "toxic"} for name in WORDS for text in sentences(name, 40, 9)]
    (mixed / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with HubStandIn(root) as server, server.here(tmp_path / "cache"):
        yield server


def test_configs_are_subsets(hub):
    found = members(Collection(source=Source(hub="guild/trades"), split_by="config", limit=3))
    assert [(subset.name, subset.text, subset.source.config) for subset in found] == [
        (name, "text", name) for name in sorted(WORDS)
    ]
    assert all(len(subset.source.revision) == 40 for subset in found)
    loaded = load_subsets(found)
    assert {data.seen for data in loaded.values()} == {60}
    assert sorted(d.text for d in loaded["smiths"].documents) == sorted(sentences("smiths", 60, 5))


def test_splits_are_subsets(hub):
    found = members(Collection(source=Source(hub="guild/trades", config="smiths"), split_by="split"))
    assert [subset.name for subset in found] == ["test", "train"]
    assert [data.seen for data in load_subsets(found).values()] == [10, 60]


def test_a_column_splits_a_data_set_and_it_is_read_once(hub):
    collection = Collection(source=Source(hub="guild/mixed"), split_by="column", column="trade")
    found = members(collection)
    assert {subset.name: subset.where.value for subset in found} == {name: name for name in WORDS}
    asked = len(hub.requests)
    assert {data.seen for data in load_subsets(found).values()} == {40}
    assert not [path for _, path, _ in hub.requests[asked:] if "train.jsonl" in path]


def test_prompts_and_previews_come_from_the_hub_too(hub):
    source = Source(hub="guild/mixed")
    assert preview(source).values["trade"] == dict.fromkeys(WORDS, 40)
    data = load_prompts(
        PromptSet(name="q", source=source, columns=Columns(completion="text", label="label"), harmful="toxic")
    )
    assert len(data.sides["harmful"]) == 120
    assert read_records(source).columns == ["text", "trade", "label"]


def test_expansion_pins_each_data_set_once(hub):
    sources = [Source(hub="guild/trades", config=name) for name in WORDS]
    spec = FetchSpec(subsets=[Subset(name=source.config, source=source) for source in sources])
    whole = expand(spec)
    assert {len(subset.source.revision) for subset in whole.subsets} == {40}
    assert expand(whole) == whole


def test_what_is_pinned_and_read_is_there_offline(hub, monkeypatch):
    (subset, *_) = members(Collection(source=Source(hub="guild/trades"), split_by="config"))
    first = load_subset(subset)
    hub.status = 503
    asked = len(hub.requests)
    assert load_subset(subset) == first
    assert len(hub.requests) == asked


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(hub="guild/none"), "guild/none"),
        (Source(hub="guild/trades", config="bakers"), "bakers.*fishers"),
        (Source(hub="guild/trades", config="smiths", split="dev"), "dev.*train"),
        (Source(hub="../etc/passwd"), "passwd"),
    ],
)
def test_what_is_not_there_is_one_line(hub, source, says):
    with pytest.raises(InputError, match=says) as caught:
        load_subset(Subset(name="a", source=source))
    assert "\n" not in str(caught.value)
