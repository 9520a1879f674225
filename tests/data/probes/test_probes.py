"""Named probes: every one as its YAML says, on files of its own schema, and on the canonical schema."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.helpers.hub_stand_in import HubStandIn
from tests.helpers.probe_files import WRITERS, copies, jsonl, on_the_hub, parquet
from tests.helpers.worlds import sentences
from untrac_core.data.probes import loader as probes
from untrac_core.data.probes.items import Gathered
from untrac_core.data.probes.loader import complete, probe, probe_names, probe_records, sources
from untrac_core.data.prompts import load_prompts
from untrac_core.data.readers.reader import Row
from untrac_core.data.resolve import expand
from untrac_core.errors import InputError
from untrac_core.specs import FetchSpec, PromptSet, Source


def of(name: str, source: Source | None = None, **more) -> PromptSet:
    return PromptSet(name=name, probe=name, source=source, **more)


def found(records) -> set[tuple[str, str, str, str]]:
    return {(row["label"], row["group"], row["prompt"], row["completion"]) for row in records.rows}


def test_all_probes_of_the_plan_are_there_and_say_what_they_are():
    assert {
        "toxigen", "winobias", "truthfulqa", "crows_pairs", "bbq", "real_toxicity_prompts", "bold", "tofu", "wmdp",
        "pku_saferlhf",
    } <= set(probe_names())  # fmt: skip
    # Code that makes items is held to files in its probe's own schema.
    assert {name for name in probe_names() if probe(name).columns is None} == set(WRITERS)


@pytest.mark.parametrize("name", probe_names())
def test_each_yaml_says_what_the_probe_is_and_how_rows_become_items(name):
    one = probe(name)
    assert one.name == name
    assert all((one.title, one.about, one.warning, one.licence, one.citation, one.home, one.confirmed, one.hub))
    assert all(one.forms)
    gathered = Gathered(one)
    for form in one.forms:  # the columns that a form needs are all that a row must have
        for value in ("", "[", "1", '["she"]'):
            gathered.add(Row(1, dict.fromkeys(form, value), "f"), "anti bio forget10", "f", "here")
    assert gathered.fitting == 4 * len(one.forms)


@pytest.mark.parametrize("name", probe_names())
def test_records_in_the_canonical_columns_are_items_as_they_are(name, tmp_path):
    one = probe(name)
    text = "the net " * 6  # of a length that any probe takes
    rows = [
        {"id": f"{label}-{i}", "prompt": "Who?", "completion": f"{text}{label} {i}", "group": "g", "label": label}
        for label in one.labels or ["any"]
        for i in range(one.least or 3)
    ]  # fmt: skip
    data = load_prompts(of(name, Source(file=str(jsonl(tmp_path / "mine.jsonl", rows)))))
    assert [item.id for items in data.sides.values() for item in items] == [row["id"] for row in rows]


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_files_of_its_own_schema_give_exactly_its_items(name, tmp_path):
    for copy in copies(name, tmp_path):
        spec = of(name, copy.source)
        records = probe_records(spec)
        assert found(records) == copy.items, copy.shape
        assert len(records.rows) == len(copy.items), copy.shape
        ids = [row["id"] for row in records.rows]
        assert len(set(ids)) == len(ids)
        data = load_prompts(spec)
        labels = {"harmful": probe(name).harmful, "harmless": probe(name).harmless}
        for side, items in data.sides.items():
            wanted = [item for item in copy.items if labels[side] is None or item[0] == labels[side]]
            assert len(items) == len(wanted)


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"truthfulqa_paper"}))
def test_its_data_set_on_the_hub_gives_the_same_items_at_one_commit(name, tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    copy = next(copy for copy in copies(name, tmp_path / "made") if copy.shape not in ("annotated csv", "text folder"))
    shapes = {"bbq": "parquet"}  # the copy on the hub tells the stereotyped answer in a column
    if name in shapes:
        copy = next(copy for copy in copies(name, tmp_path / "again") if copy.shape == shapes[name])
    on_the_hub(copy, probe(name), tmp_path / "served")
    with HubStandIn(tmp_path / "served") as hub, hub.here(tmp_path / "cache"):
        spec = expand(FetchSpec(prompts=[of(name)])).prompts[0]
        assert len(spec.source.revision) == 40
        assert found(probe_records(spec)) == copy.items
        assert expand(FetchSpec(prompts=[spec])).prompts[0] == spec


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_its_items_as_canonical_records_give_the_same_items(name, tmp_path):
    copy = copies(name, tmp_path)[0]
    first = probe_records(of(name, copy.source))
    again = probe_records(of(name, Source(file=str(jsonl(tmp_path / "kept.jsonl", first.rows)))))
    assert again.rows == first.rows
    assert again.digest == first.digest


def test_complete_gives_columns_labels_and_source_and_changes_nothing_twice():
    spec = complete(of("toxigen", limit=7))
    assert spec.source == Source(hub="toxigen/toxigen-data", config="train", split="train")
    assert (spec.harmful, spec.harmless, spec.columns.label, spec.limit) == ("toxic", "benign", "label", 7)
    assert complete(spec) == spec
    plain = PromptSet(name="p", source=Source(file="x.csv"))
    assert complete(plain) is plain


def test_a_data_set_in_parts_is_read_part_by_part_at_one_revision():
    spec = complete(of("winobias"))
    assert spec.source == Source(hub="uclanlp/wino_bias")
    pinned = spec.model_copy(update={"source": spec.source.model_copy(update={"revision": "a" * 40})})
    read = sources(pinned)
    assert [(part.config, part.split) for part in read] == [
        ("type1_pro", "validation"), ("type1_pro", "test"), ("type1_anti", "validation"), ("type1_anti", "test"),
    ]  # fmt: skip
    assert {part.revision for part in read} == {"a" * 40}
    assert sources(of("winobias", Source(file="mine.jsonl"))) == [Source(file="mine.jsonl")]


def test_at_most_so_many_of_a_group_and_side_the_same_in_any_order(tmp_path):
    texts = list(dict.fromkeys(f"{text} It is said {i} times." for i, text in enumerate(sentences("fishers", 900, 1))))
    rows = [
        {"generation": text, "prompt_label": i % 2, "group": "small" if i < 20 else "large"}
        for i, text in enumerate(texts)
    ]
    first = probe_records(of("toxigen", Source(file=str(parquet(tmp_path / "a.parquet", rows)))))
    counts = Counter((row["label"], row["group"]) for row in first.rows)
    assert counts == {
        ("toxic", "large"): 256, ("benign", "large"): 256, ("toxic", "small"): 10, ("benign", "small"): 10,
    }  # fmt: skip
    assert any("a fixed random 532 of 900 items" in note for note in first.notes)
    turned = probe_records(of("toxigen", Source(file=str(parquet(tmp_path / "b.parquet", rows[::-1])))))
    assert found(turned) == found(first)
    # A fair draw: the first and the second half of the rows are taken about equally often.
    early = {row["completion"] for row in first.rows} & {row["generation"] for row in rows[:450]}
    assert 200 < len(early) < 330


def test_of_more_than_so_many_winobias_pairs_both_sentences_are_kept(tmp_path):
    texts = [f"[{line[:-1]}], for [{{}}] broke rope {i}." for i, line in enumerate(sentences("fishers", 600, 2))]
    for side, pronouns in (("pro", ("she", "he")), ("anti", ("he", "she"))):
        lines = [f"{i + 1} {text.format(pronouns[i % 2])}" for i, text in enumerate(texts)]
        (tmp_path / f"{side}_stereotyped_type1.txt").write_text("\n".join(lines) + "\n")
    sides = load_prompts(of("winobias", Source(folder=str(tmp_path)))).sides
    assert [len(items) for items in sides.values()] == [512, 512]  # 256 of each gender
    first, second = ({item.cluster for item in items} for items in sides.values())
    assert first == second
    assert len(first) == 512


def test_items_of_one_row_are_one_cluster(tmp_path):
    for name, both in (("bbq", True), ("crows_pairs", True), ("truthfulqa", True), ("bold", False)):
        sides = load_prompts(of(name, copies(name, tmp_path)[0].source)).sides
        clusters = [{item.cluster for item in items} for items in sides.values()]
        assert "" not in set.union(*clusters)
        assert len(set.union(*clusters)) < sum(map(len, sides.values()))
        if both:
            assert clusters[0] == clusters[1]


def test_a_bounded_pass_over_compressed_files_meets_files_at_random(tmp_path, monkeypatch):
    def rows(group: str, count: int) -> list[dict[str, str]]:
        texts = [f"{i} {group} The net waits by the boat of the {'o' * 300}." for i in range(count)]
        return [{"generation": text, "prompt_label": "1", "group": group} for text in texts]

    folder = tmp_path / "d"
    folder.mkdir()
    for k in range(6):
        lines = "".join(json.dumps(row) + "\n" for row in rows(f"g{k}", 1200))
        (folder / f"g{k}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    many = Source(folder=str(folder), max_read_mb=1)
    alone = probe_records(of("toxigen", many))
    groups = {row["group"] for row in alone.rows}
    assert not {"g0", "g1"} <= groups
    assert 2 <= len(groups) <= 4
    # What was read before stays, and what the first pass over these files met is forgotten.
    before = Source(file=str(jsonl(tmp_path / "first.jsonl", rows("first", 300))))
    monkeypatch.setattr(probes, "sources", lambda spec: [before, many])
    both = probe_records(of("toxigen", many))
    assert Counter(row["group"] for row in both.rows)["first"] == 256
    assert [row for row in both.rows if row["group"] != "first"] == alone.rows
    assert not any("repeat" in note for note in both.notes)
    (said, again) = (int(re.search(r" of ([\d,]+) items", "".join(r.notes))[1].replace(",", "")) for r in (alone, both))
    assert again == said + 300


def test_pairs_are_drawn_and_left_out_together(tmp_path):
    source = next(copy.source for copy in copies("bbq", tmp_path) if copy.shape == "jsonl")
    row = json.loads(Path(source.file).read_text().splitlines()[0])
    rows = [{**row, "example_id": i, "context": f"I saw a weaver and a smith in lane {i}."} for i in range(400)]
    records = probe_records(of("bbq", Source(file=str(jsonl(tmp_path / "many.jsonl", rows)))))
    prompts = Counter(row["prompt"] for row in records.rows)
    assert len(prompts) == 256
    assert set(prompts.values()) == {2}
    data = load_prompts(of("bbq", Source(file=str(tmp_path / "many.jsonl")), limit=50))
    assert [item.prompt for item in data.sides["harmful"]] == [item.prompt for item in data.sides["harmless"]]


def test_what_is_left_out_is_said(tmp_path):
    copy = next(copy for copy in copies("crows_pairs", tmp_path) if copy.shape == "parquet")
    assert probe_records(of("crows_pairs", copy.source)).notes == [
        "prompt set 'crows_pairs': 1 rows do not give one item to each side and are not used"
    ]


@pytest.mark.parametrize("name", probe_names())
def test_a_file_of_something_else_is_refused_in_one_line(name, tmp_path):
    path = jsonl(tmp_path / "other.jsonl", [{"colour": "blue", "size": "3"}])
    with pytest.raises(InputError, match=r"the data are not those of the probe .* 'colour', 'size'") as caught:
        probe_records(of(name, Source(file=str(path))))
    assert "\n" not in str(caught.value)


def test_a_file_without_a_usable_row_is_refused(tmp_path):
    rows = [{"generation": "too short", "prompt_label": 1, "group": "g"}]
    with pytest.raises(InputError, match="none of its 1 rows gives an item"):
        probe_records(of("toxigen", Source(file=str(parquet(tmp_path / "a.parquet", rows)))))


def test_endless_data_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    from untrac_core.data.probes import items as probe_items

    monkeypatch.setattr(probe_items, "MOST_ITEMS", 10)
    rows = [{"question": f"q {i}", "correct_answers": ["a"], "incorrect_answers": ["b"]} for i in range(20)]
    with pytest.raises(InputError, match="more than 10 items"):
        probe_records(of("truthfulqa", Source(file=str(parquet(tmp_path / "a.parquet", rows)))))


def test_an_unknown_probe_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no probe is named 'toxic_gin'.*winobias"):
        probe("toxic_gin")


@pytest.fixture
def write_probe(tmp_path, monkeypatch):
    """Write a probe of one's own, like WMDP but for what is given; ``None`` takes a key away."""
    values = yaml.safe_load((probes.FOLDER / "wmdp.yaml").read_text())

    def write(name: str, **changed) -> None:
        said = {**values, **changed, "name": name}
        kept = {key: value for key, value in said.items() if value is not None}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(kept))

    def forget() -> None:
        probe_names.cache_clear()
        probe.cache_clear()

    monkeypatch.setattr(probes, "FOLDER", tmp_path)
    forget()
    yield write
    monkeypatch.undo()
    forget()


def test_a_probe_file_with_a_misspelt_word_is_refused(write_probe):
    write_probe("mine", licens="MIT")
    with pytest.raises(InputError, match="unknown key 'licens': did you mean 'licence'"):
        probe("mine")


def test_one_yaml_is_enough_where_rows_are_items(write_probe, tmp_path):
    columns = {"prompt": "asked", "completion": "said", "label": "judged", "id": "key"}
    write_probe("mine", needs=None, columns=columns)
    assert probe_names() == ["mine"]
    rows = [
        {"key": f"k{i}", "asked": f"What is {i}?", "said": f"It is {i}.", "judged": ("wrong", "hazardous")[i % 2]}
        for i in range(4)
    ]
    records = probe_records(of("mine", Source(file=str(jsonl(tmp_path / "mine.jsonl", [*rows, {"asked": "What?"}])))))
    assert [list(row.values()) for row in records.rows] == [
        [row["key"], row["asked"], row["said"], "", row["judged"], ""] for row in rows
    ]
    assert records.notes == ["prompt set 'mine': 1 rows lack the probe's columns and are not used"]
    with pytest.raises(InputError, match="It needs asked, said, judged, or prompt"):
        probe_records(of("mine", Source(file=str(jsonl(tmp_path / "other.jsonl", [{"colour": "blue"}])))))


def test_a_probe_like_another_is_read_by_its_module(write_probe, tmp_path):
    write_probe("wmdp")
    (tmp_path / "few.yaml").write_text("{like: wmdp, name: few, most: 2}")
    (tmp_path / "fewer.yaml").write_text("{like: few, name: fewer}")
    rows = [{"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 2}]
    records = probe_records(of("fewer", Source(file=str(jsonl(tmp_path / "q.jsonl", rows)))))
    assert Counter(row["label"] for row in records.rows) == {"hazardous": 1, "wrong": 2}


@pytest.mark.parametrize("changed", [{"needs": None}, {"columns": {"completion": "a"}}])
def test_rows_are_items_or_a_module_makes_them(write_probe, changed):
    write_probe("mine", **changed)
    with pytest.raises(InputError, match="name either 'columns' or 'needs'"):
        probe("mine")
