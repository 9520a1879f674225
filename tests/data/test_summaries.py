"""Numbers that pages show of prompt sets and subsets: checked against what a run would score."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.data import summaries
from untrac_core.data.prompts import load_prompts
from untrac_core.data.subsets import load_subset
from untrac_core.data.summaries import prompt_facts, shown, subset_facts
from untrac_core.data.tokens import read_tokenizer
from untrac_core.errors import InputError
from untrac_core.paths import PROJECT
from untrac_core.specs import Columns, PromptSet, Source, Subset


@pytest.fixture(scope="module")
def encoder(world):
    return read_tokenizer(world / "model")


@pytest.fixture
def prompts(world) -> PromptSet:
    columns = Columns(prompt="prompt", group="group", label="label", id="id")
    source = Source(file=str(world / "prompts.jsonl"))
    return PromptSet(name="talk", source=source, columns=columns, harmful="bad", harmless="good")


def test_tokens_are_those_that_a_run_scores(prompts, encoder):
    facts = prompt_facts(prompts, encoder)
    items = load_prompts(prompts).sides
    for side in facts.sides:
        examples = encoder.items(items[side.side], context=None, where="")
        assert side.items == 40
        assert side.scored == sum(example.tokens for example in examples)
        assert side.scored + side.given + side.items == sum(
            len(example.ids) for example in examples
        )  # a start token each
        assert side.longest == max(len(example.ids) for example in examples)
        assert (side.cut, side.unfit, side.fault) == (0, 0, "")
        given = encoder.tokenizer.encode("They say:", add_special_tokens=False).ids
        assert side.given == 40 * len(given)
    assert [side.label for side in facts.sides] == ["bad", "good"]
    assert facts.groups == {"g0": {"harmful": 20, "harmless": 20}, "g1": {"harmful": 20, "harmless": 20}}
    rows = facts.rows()
    assert list(rows[0]) == ["Side", "Items", "Scored tokens", "Given tokens", "Longest item", "Repeated items"]


def test_what_a_context_cuts_and_what_does_not_fit_is_counted_not_refused(tmp_path, encoder):
    rows = [
        {"id": "fits", "prompt": "They say:", "completion": "the net"},
        {"id": "cut", "prompt": "They say:", "completion": " ".join(sentences("smiths", 5, 0))},
        {"id": "full", "prompt": " ".join(sentences("smiths", 9, 0)), "completion": "the net"},
        {"id": "full", "prompt": " ".join(sentences("smiths", 9, 0)), "completion": "the net"},
    ]
    source = Source(file=str(write_jsonl(tmp_path / "p.jsonl", rows)))
    data = load_prompts(PromptSet(name="p", source=source, columns=Columns(prompt="prompt", id="id")))
    (side,) = prompt_facts(data, encoder, context=32).sides
    assert (side.items, side.duplicates, side.cut, side.unfit) == (4, 1, 1, 2)
    assert side.cut_tokens > 0
    assert "'full'" in side.fault
    with pytest.raises(InputError):
        encoder.items(data.sides["harmful"], context=32, where="")
    first, cut, full, _ = shown(data, encoder, context=32)
    assert (first.given, first.scored, first.cut_tokens) == ("They say:", "the net", 0)
    assert first.scored_tokens == len(encoder.tokenizer.encode(" the net", add_special_tokens=False).ids)
    assert cut.cut_tokens == side.cut_tokens
    assert full.scored_tokens is None
    assert full.fault


def test_without_a_tokenizer_items_are_still_counted(prompts):
    facts = prompt_facts(prompts, None)
    assert all(side.items == 40 and side.scored is None and side.characters > 0 for side in facts.sides)
    assert len(shown(load_prompts(prompts), None, rows=10)) == 10


def test_a_subset_in_tokens_and_blocks(tmp_path, encoder):
    texts = [*sentences("fishers", 100, 4), "twice", "twice"]
    source = Source(file=str(write_jsonl(tmp_path / "s.jsonl", [{"text": text} for text in texts])))
    data = load_subset(Subset(name="s", source=source))
    facts = subset_facts(data, encoder, block_size=32)
    packed = encoder.blocks(data.documents, 32, None)
    assert (facts.documents, facts.held, facts.exact) == (102, 102, True)
    assert facts.characters == sum(len(text) for text in texts)
    assert facts.duplicates == len(texts) - len(set(texts))
    assert facts.blocks == facts.used == packed.pool
    assert facts.tokens == sum(len(e.ids) for e in encoder.tokenizer.encode_batch(texts, add_special_tokens=False))
    assert facts.mean_tokens == facts.tokens / 102
    limited = replace(data, spec=data.spec.model_copy(update={"limit": 5}))
    assert subset_facts(limited, encoder, block_size=32).used == 5
    assert subset_facts(data, None).tokens is None


def test_a_large_subset_is_estimated_from_a_sample(tmp_path, encoder, monkeypatch):
    source = Source(file=str(write_jsonl(tmp_path / "s.jsonl", [{"text": t} for t in sentences("weavers", 2000, 4)])))
    data = load_subset(Subset(name="s", source=source))
    exact = subset_facts(data, encoder, block_size=32)
    monkeypatch.setattr(summaries, "COUNTED", 5_000)
    guessed = subset_facts(data, encoder, block_size=32)
    assert exact.exact
    assert not guessed.exact
    assert guessed.tokens == pytest.approx(exact.tokens, rel=0.03)
    assert guessed.blocks == pytest.approx(exact.blocks, rel=0.03)


def test_facts_and_probes_need_no_torch():
    modules = "balancing, overlap, probes, summaries"
    loaded = "'torch' in sys.modules or 'transformers' in sys.modules"
    code = f"import sys; from untrac_core.data import {modules}; sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
