"""Subsets cut so that they compare: equal tokens, or in proportion to their text."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.data.balancing import sized
from untrac_core.data.subsets import Document, SubsetData, load_subset
from untrac_core.data.tokens import Example, Packed
from untrac_core.engine.library.library import Library
from untrac_core.specs import Source, Subset
from untrac_core.tasks.prepare import cut_notes
from untrac_core.tasks.trace.check import check


def packed(blocks: int, tokens: int = 10) -> Packed:
    ids = np.arange(tokens + 1)
    return Packed([Example(f"b{i}", ids, 1) for i in range(blocks)], blocks, blocks, blocks)


def data(name: str, characters: int) -> SubsetData:
    documents = [Document("d", "x" * characters, 1)]
    return SubsetData(Subset(name=name, source=Source(file="f")), documents, "", "f", [], characters=characters)


def counts(parts: dict[str, Packed]) -> dict[str, int]:
    return {name: len(part.blocks) for name, part in parts.items()}


def test_as_given_changes_nothing():
    parts = {"a": packed(9), "b": packed(4)}
    assert sized(parts, {"a": data("a", 9), "b": data("b", 4)}, "none") == parts


def test_equal_cuts_all_to_the_tokens_of_the_smallest():
    parts = {"a": packed(90), "b": packed(40), "long": packed(30, 20)}
    cut = sized(parts, {name: data(name, 100) for name in parts}, "equal")
    assert counts(cut) == {"a": 40, "b": 40, "long": 20}
    assert {part.tokens for part in cut.values()} == {400}
    assert cut["b"] is parts["b"]
    assert "'b'" in cut["a"].why
    # A fixed random sample of the blocks, in their order, not the first of them.
    ids = [block.id for block in cut["a"].blocks]
    assert ids != [f"b{i}" for i in range(40)]
    assert ids == [block.id for block in sized(parts, {n: data(n, 1) for n in parts}, "equal")["a"].blocks]


def test_proportional_keeps_the_largest_and_gives_the_others_their_share():
    parts = {"large": packed(100), "half": packed(100), "tiny": packed(100), "limited": packed(20)}
    text = {"large": 1000, "half": 500, "tiny": 1, "limited": 800}
    cut = sized(parts, {name: data(name, characters) for name, characters in text.items()}, "proportional")
    assert counts(cut) == {"large": 100, "half": 50, "tiny": 1, "limited": 20}
    assert cut["large"].why == ""
    assert "in proportion to 'large'" in cut["half"].why
    assert cut["limited"].why.startswith("limit, fewer than its 34.8% of all text")


def test_notes_say_why_a_subset_is_cut():
    parts = {"a": packed(90), "b": packed(40)}
    subsets = {name: data(name, 1) for name in parts}
    (note,) = cut_notes({}, subsets, {}, sized(parts, subsets, "equal"))
    assert note == (
        "subset 'a': a fixed random 40 of 90 blocks, packed from 90 of 90 documents (as many tokens as the smallest "
        "subset, 'b', has)"
    )


@pytest.mark.parametrize("sizes", ["equal", "proportional"])
def test_a_check_counts_what_a_run_will_use(request_of, tmp_path, sizes):
    rows = [{"text": text} for text in sentences("smiths", 400, 9)]
    path = str(write_jsonl(tmp_path / "many.jsonl", rows))
    spec = request_of(weighting=sizes)
    spec = spec.model_copy(update={"subsets": [*spec.subsets, Subset(name="many", source=Source(file=path))]})
    given = {facts.name: facts for facts in check(spec.model_copy(update={"weighting": "none"})).subsets}
    found = check(spec)
    used = {facts.name: facts for facts in found.subsets}
    if sizes == "equal":
        smallest = min(facts.tokens for facts in given.values())
        assert all(abs(facts.tokens - smallest) <= found.block_size for facts in used.values())
        assert any("'many'" in note and "as the smallest subset" in note for note in found.notes)
    else:
        assert used["many"] == given["many"]
        assert used["smiths"].tokens / used["many"].tokens == pytest.approx(150 / 400, rel=0.1)


def test_proportional_sizes_look_past_the_bound_of_a_scan(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    subsets = {}
    for name, rows in (("large", 6000), ("small", 2000)):
        path = write_jsonl(
            tmp_path / f"{name}.jsonl", [{"text": f"{i} " + "The rope waits. " * 60} for i in range(rows)]
        )
        subsets[name] = load_subset(Subset(name=name, source=Source(file=str(path), max_read_mb=1)))
    assert subsets["large"].characters == pytest.approx(subsets["small"].characters, rel=0.01)
    cut = sized({name: packed(90) for name in subsets}, subsets, "proportional")
    assert counts(cut) == {"large": 90, "small": 30}
    assert "in proportion to 'large', estimated from stored sizes" in cut["small"].why


def test_the_library_remembers_what_a_bounded_pass_did_not_see(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": f"{i} " + "The rope waits. " * 60} for i in range(3000)])
    given = Subset(name="a", source=Source(file=str(path), max_read_mb=1))
    read = load_subset(given)
    kept = load_subset(Library().add_subset(given).value)
    assert (kept.seen, kept.characters) == (read.seen, read.characters)
    assert kept.scale == pytest.approx(read.scale, rel=0.001)
    assert kept.scale == pytest.approx(2.95, rel=0.05)
