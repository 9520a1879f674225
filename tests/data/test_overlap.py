"""Repeated documents, and test items that stand in a training subset."""

from __future__ import annotations

import re
import time

import pytest

from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.data import overlap
from untrac_core.data.overlap import overlaps, repeated_across, repeated_within, warnings_for
from untrac_core.data.prompts import load_prompts
from untrac_core.data.subsets import load_subsets
from untrac_core.specs import Columns, PromptSet, Source, Subset
from untrac_core.tasks.trace.check import check

TEXT = "The old harbour bell rings when the third boat of the morning comes home"


@pytest.fixture
def world_of(tmp_path):
    """Prompt sets and subsets from lists of texts."""

    def make(prompts: dict[str, list[str]], subsets: dict[str, list[str]]):
        def file(name: str, key: str, texts: list[str]) -> Source:
            rows = [{"id": f"{name}-{i}", key: text} for i, text in enumerate(texts)]
            return Source(file=str(write_jsonl(tmp_path / f"{name}.jsonl", rows)))

        sets = {
            name: load_prompts(PromptSet(name=name, source=file(name, "completion", texts), columns=Columns(id="id")))
            for name, texts in prompts.items()
        }
        return sets, load_subsets([Subset(name=name, source=file(name, "text", t)) for name, t in subsets.items()])

    return make


def test_an_item_that_stands_in_a_subset_is_found_whatever_its_case_and_punctuation(world_of):
    prompts, subsets = world_of(
        {"talk": [TEXT, "Nothing of this stands anywhere else, not one phrase of it at all"]},
        {"here": [f"They say: “{TEXT.upper()}!” And then they sleep."], "there": sentences("weavers", 30, 0)},
    )
    (found,) = overlaps(prompts, subsets)
    assert (found.prompts, found.side, found.subset) == ("talk", "harmful", "here")
    assert (found.items, found.whole, found.phrase, found.example) == (2, 1, 0, "talk-0")
    (line,) = warnings_for(prompts, subsets)
    assert "1 of 2 harmful items share" in line
    assert "'here', 1 of them every such phrase (such as 'talk-0')" in line


def test_a_shared_phrase_is_told_from_a_whole_text(world_of):
    eight = " ".join(TEXT.split()[:8])
    seven = " ".join(TEXT.split()[:7])
    prompts, subsets = world_of({"talk": [TEXT]}, {"eight": [f"{eight} loudly"], "seven": [f"{seven} loudly"]})
    (found,) = overlaps(prompts, subsets)
    assert (found.subset, found.whole, found.phrase) == ("eight", 0, 1)
    assert warnings_for(prompts, subsets) == []  # one phrase may be chance


def test_short_texts_count_only_as_a_whole_and_very_short_ones_never(world_of):
    prompts, subsets = world_of(
        {"talk": ["a bell rings at noon", "a bell rings", "the gulls cry at noon today"]},
        {"one": ["When a bell rings at noon they eat.", "The gulls cry at noon."]},
    )
    (found,) = overlaps(prompts, subsets)
    assert (found.items, found.whole, found.phrase, found.example) == (3, 0, 1, "talk-0")


def test_a_phrase_that_runs_over_the_end_of_a_document_does_not_count(world_of):
    words = TEXT.split()
    prompts, subsets = world_of({"talk": [TEXT]}, {"split": [" ".join(words[:7]), " ".join(words[7:])] * 20})
    assert overlaps(prompts, subsets) == []


def test_only_scored_text_is_looked_for(tmp_path):
    rows = [{"prompt": TEXT, "completion": "and the gulls say nothing of it to anyone at all"}]
    spec = PromptSet(
        name="q", source=Source(file=str(write_jsonl(tmp_path / "q.jsonl", rows))), columns=Columns(prompt="prompt")
    )
    source = Source(file=str(write_jsonl(tmp_path / "s.jsonl", [{"text": TEXT}])))
    assert overlaps({"q": load_prompts(spec)}, load_subsets([Subset(name="s", source=source)])) == []


def test_answers_are_remembered_and_follow_the_content(world_of, monkeypatch):
    calls = []
    original = overlap._Wanted.overlaps

    def counted(self, *arguments):
        calls.append(arguments[0])
        return original(self, *arguments)

    monkeypatch.setattr(overlap._Wanted, "overlaps", counted)
    for _ in range(2):
        found = overlaps(*world_of({"talk": [TEXT]}, {"a": [TEXT, "remembered"], "b": ["no"]}))
    assert calls == ["a", "b"]
    changed = overlaps(*world_of({"talk": [TEXT]}, {"a": ["changed"], "b": ["no"]}))
    assert len(found) == 1
    assert changed == []


def test_a_request_of_many_subsets_is_remembered_and_what_is_asked_for_again_stays(monkeypatch):
    memory, hits = overlap._Memory(), 0
    for _ in range(3):
        for key in range(500):
            hits += memory.get(key) is not None
            memory.put(key, [])
    assert hits == 1000
    monkeypatch.setattr(overlap, "KEPT", 500)
    assert memory.get(0) == []
    memory.put("another", [])
    assert (memory.get(0), memory.get(1)) == ([], None)


def test_pairs_that_share_as_much_come_in_the_order_of_the_documents(world_of):
    texts = [f"The boat of pier {i} waits." for i in range(10)]
    _, subsets = world_of({}, {"all": texts, **{f"s{i}": [text, f"more {i}"] for i, text in enumerate(texts)}})
    order = [texts.index(document.text) for document in subsets["all"].documents]
    assert repeated_across(subsets) == [
        f"Subsets 'all' and 's{i}' share 1 documents: what these do is told of both." for i in order
    ]


def test_texts_that_stand_in_many_subsets_are_counted_for_every_pair(world_of):
    shared = [f"The boat of pier {i} waits." for i in range(4)]
    _, subsets = world_of({}, {name: [*shared, f"only {name}"] for name in "abc"} | {"d": [shared[0], "only d"]})
    assert repeated_across(subsets) == [
        f"Subsets {one!r} and {other!r} share {4 if other != 'd' else 1} documents: what these do is told of both."
        for one, other in ("ab", "ac", "bc", "ad", "bd", "cd")
    ]


def test_documents_repeated_within_and_across_subsets(world_of):
    one, other = sentences("fishers", 30, 1), sentences("smiths", 30, 1)
    one, other = list(dict.fromkeys(one)), list(dict.fromkeys(other))
    _, subsets = world_of(
        {}, {"one": [*one, one[0], f" {one[1]} "], "other": [*other, *one[:5]], "third": sentences("weavers", 3, 2)}
    )
    assert repeated_within(subsets) == [
        f"In subset 'one', 2 of {len(one) + 2} documents repeat another; they count again."
    ]
    assert repeated_across(subsets) == ["Subsets 'one' and 'other' share 5 documents: what these do is told of both."]


def test_many_findings_are_cut_to_a_dozen_lines(world_of):
    prompts, subsets = world_of({f"p{i}": [TEXT, str(i)] for i in range(20)}, {"s": [TEXT]})
    lines = warnings_for(prompts, subsets)
    assert len(lines) == 13
    assert lines[-1] == "And 8 more prompt sets that stand in subsets."


def test_a_check_warns_of_a_test_that_stands_in_a_subset(request_of, tmp_path):
    spec = request_of()
    smiths = [item.completion for item in load_prompts(spec.prompts[0]).sides["harmful"]]
    rows = [{"text": text} for text in [*smiths[:20], *sentences("fishers", 100, 8)]]
    leaky = Subset(name="leaky", source=Source(file=str(write_jsonl(tmp_path / "leaky.jsonl", rows))))
    warnings = check(spec.model_copy(update={"subsets": [*spec.subsets, leaky]})).warnings
    (line,) = (warning for warning in warnings if "words in a row" in warning)
    told = re.search(r"of 40 harmful items share 5 to 8 words in a row with subset 'leaky', (\d+) of them every", line)
    assert told
    assert 20 <= int(told[1]) < 40
    assert "'leaky'" not in " ".join(check(spec).warnings)


def test_ten_subsets_of_a_megabyte_and_a_half_are_looked_through_in_seconds(world_of):
    texts = sentences("fishers", 30_000, 3)
    prompts, subsets = world_of(
        {"talk": [f"{text} {i} of all of them" for i, text in enumerate(texts[:3000])]},
        {f"s{i}": [" ".join(texts[at : at + 20]) + f" {i}" for at in range(0, 30_000, 20)] for i in range(10)},
    )
    assert sum(data.characters for data in subsets.values()) > 12e6
    start = time.process_time()
    overlaps(prompts, subsets)
    assert time.process_time() - start < 3 * 2  # 3 s, and twice that on a slow machine
