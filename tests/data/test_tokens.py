from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.worlds import write_jsonl
from untrac_core.data.prompts import Item, load_prompts
from untrac_core.data.subsets import Document
from untrac_core.data.summaries import prompt_facts
from untrac_core.data.tokens import POOL, Encoder, Example, batches, decoder_start, make_encoder, read_tokenizer
from untrac_core.errors import InputError
from untrac_core.specs import Columns, PromptSet, Source


@pytest.fixture
def encoder(world):
    return read_tokenizer(world / "model")


def test_tokenizer_without_transformers_is_the_models_own(encoder, model):
    item = Item("1", "They say:", "the anvil waits.", "", 1)
    (ours,) = encoder.items([item], context=None, where="")
    (theirs,) = model.encoder.items([item], context=None, where="")
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert (encoder.start, encoder.end) == (model.encoder.start, model.encoder.end)


def test_the_prompt_is_masked_and_the_completion_is_scored(encoder):
    (example,) = encoder.items([Item("1", "They say:", "the anvil waits.", "", 1)], context=None, where="")
    assert encoder.text(example.ids[example.first :].tolist()) == " the anvil waits."
    assert encoder.text(example.ids[: example.first].tolist()) == "They say:"
    assert example.ids[0] == encoder.start


def test_without_prompt_every_token_is_scored(encoder):
    (example,) = encoder.items([Item("1", "", "the anvil waits.", "", 1)], context=None, where="")
    assert example.first == 1
    assert example.tokens == len(example.ids) - 1
    assert encoder.text(example.ids[1:].tolist()) == "the anvil waits."


def test_what_does_not_fit_is_cut_and_counted(encoder):
    (whole,) = encoder.items([Item("1", "They say:", "the anvil waits.", "", 1)], context=None, where="")
    (cut,) = encoder.items([Item("1", "They say:", "the anvil waits.", "", 1)], context=len(whole.ids) - 2, where="")
    assert (whole.cut, cut.cut) == (0, 2)
    assert cut.ids.tolist() == whole.ids[:-2].tolist()
    with pytest.raises(InputError, match="item '7' \\(line 3\\) has"):
        encoder.items([Item("7", "They say: " * 20, "x", "", 3)], context=32, where="q")


def test_an_item_that_does_not_fit_leaves_its_error_in_its_place(encoder, monkeypatch):
    texts = ("the anvil waits.", "", "the loom waits.")
    items = [Item(str(i), "They say:" if text else "They say: " * 20, text, "", i) for i, text in enumerate(texts)]
    calls = []
    encode = Encoder._encode
    monkeypatch.setattr(Encoder, "_encode", lambda self, batch: calls.append(batch) or encode(self, batch))
    first, error, last = encoder.fitted(items, context=32, where="q")
    assert len(calls) == 1
    assert isinstance(error, InputError)
    assert [first.id, last.id] == ["0", "2"]
    with pytest.raises(InputError) as caught:
        encoder.items(items, context=32, where="q")
    assert str(caught.value) == str(error)
    assert str(error).startswith("q: item '1' (line 1) has a prompt of")


def test_facts_of_prompts_that_do_not_fit_tokenise_a_side_once(encoder, tmp_path, monkeypatch):
    rows = [{"prompt": "They say: " * (20 if i % 2 else 1), "completion": "the anvil waits."} for i in range(6)]
    source = Source(file=str(write_jsonl(tmp_path / "q.jsonl", rows)))
    data = load_prompts(PromptSet(name="q", source=source, columns=Columns(prompt="prompt")))
    calls = []
    encode = Encoder._encode
    monkeypatch.setattr(Encoder, "_encode", lambda self, batch: calls.append(len(batch)) or encode(self, batch))
    (side,) = prompt_facts(data, encoder, context=32).sides
    assert (calls, side.unfit) == ([6], 3)
    assert side.fault.startswith("item 'line 2' (line 2) has a prompt of")


@pytest.mark.parametrize("ended", [True, False])
def test_a_block_is_named_after_the_document_and_the_token_it_begins_at(encoder, ended):
    encoder = replace(encoder, end=encoder.end if ended else None)
    texts = ["" if i in (0, 5, 6, 39) else f"The anvil number {i} waits." for i in range(40)]
    documents = [Document(f"d{i}", text, i) for i, text in enumerate(texts)]
    origin = []
    for document in documents:
        size = len(encoder.tokenizer.encode(document.text, add_special_tokens=False).ids) + ended
        origin += [(document, at) for at in range(size)]
    for block in (3, 8):
        blocks = encoder.blocks(documents, block, None).blocks
        begins = [origin[number * block] for number in range(len(blocks))]
        assert [(piece.id, piece.line) for piece in blocks] == [(f"{d.id} @{at}", d.line) for d, at in begins]


def test_a_block_belongs_to_the_document_with_the_most_of_its_tokens(encoder):
    texts = ["The anvil waits. " * repeats for repeats in (1, 30, 2, 9, 1, 1, 4, 3, 5)]
    documents = [Document(f"d{i}", text, i) for i, text in enumerate(texts)]
    sizes = [len(encoder.tokenizer.encode(text, add_special_tokens=False).ids) + 1 for text in texts]
    owners = np.repeat(np.arange(len(texts)), sizes)
    blocks = encoder.blocks(documents, 16, None).blocks
    expected = [np.bincount(owners[16 * i : 16 * i + 16]).argmax() for i in range(len(blocks))]
    assert [block.cluster for block in blocks] == [f"document {number + 1}" for number in expected]
    assert any(owners[16 * i] != number for i, number in enumerate(expected))  # not the one that it begins in


@pytest.mark.parametrize("block", [8, 13, 64])
def test_packing_neither_loses_nor_repeats_a_token(encoder, block):
    documents = [Document(str(i), f"The anvil number {i} waits by the loom.", i) for i in range(40)]
    packed = encoder.blocks(documents, block, None)
    stream = [token for piece in packed.blocks for token in piece.ids.tolist()]
    expected = [
        token
        for document in documents
        for token in [*encoder.tokenizer.encode(document.text, add_special_tokens=False).ids, encoder.end]
    ]
    assert stream in (expected, expected[:-1])  # a last piece of one token is dropped
    assert all(len(piece.ids) == block for piece in packed.blocks[:-1])
    assert (packed.documents, packed.available) == (40, 40)


def test_blocks_begin_with_the_start_token_where_the_tokenizer_adds_one(encoder):
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    documents = [Document(str(i), f"The anvil number {i} waits by the loom.", i) for i in range(40)]
    plain = make_encoder(Tokenizer.from_str(encoder.tokenizer.to_str()), bos=encoder.end, eos=encoder.end)
    assert not plain.opened
    adding = Tokenizer.from_str(encoder.tokenizer.to_str())
    name = adding.id_to_token(encoder.end)
    adding.post_processor = TemplateProcessing(single=f"{name} $A", special_tokens=[(name, encoder.end)])
    opened = make_encoder(adding, bos=encoder.end, eos=encoder.end)
    assert opened.opened
    before, after = (made.blocks(documents, 16, None).blocks for made in (plain, opened))
    assert all(block.ids[0] == encoder.end for block in after)
    assert {block.first for block in after} == {2}
    assert all(len(block.ids) <= 16 for block in after)
    streams = [np.concatenate([block.ids[block.first - 1 :] for block in blocks]) for blocks in (before, after)]
    shorter = min(map(len, streams))
    np.testing.assert_array_equal(streams[0][:shorter], streams[1][:shorter])


def test_a_limit_spreads_blocks_over_documents(encoder):
    documents = [Document(str(i), f"The anvil number {i} waits by the loom. " * 20, i) for i in range(2000)]
    packed = encoder.blocks(documents, 32, 10)
    assert len(packed.blocks) == 10
    assert packed.pool >= 10 * POOL
    assert packed.documents < 2000
    assert len({piece.line for piece in packed.blocks}) > 5
    whole = {piece.ids.tobytes() for piece in encoder.blocks(documents[: packed.documents], 32, None).blocks}
    assert all(piece.ids.tobytes() in whole for piece in packed.blocks)


def test_batches_hold_every_index_once_within_the_budget():
    lengths = np.random.default_rng(0).integers(2, 60, 200)
    examples = [Example(str(i), np.zeros(n, dtype=np.int64), 1) for i, n in enumerate(lengths)]
    plan = batches(examples, 128)
    assert sorted(index for batch in plan for index in batch) == list(range(200))
    for batch in plan:
        longest = max(len(examples[i].ids) for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= 128
    assert batches([Example("long", np.zeros(500, dtype=np.int64), 1)], 128) == [[0]]


def test_records_are_examples_of_their_own(encoder):
    documents = [Document(str(i), f"the anvil number {i} waits.", i, f"Smith {i} says:") for i in range(100)]
    packed = encoder.records(documents, 70, context=None)
    assert [example.id for example in packed.blocks] == [str(i) for i in range(70)]
    assert (packed.documents, packed.available, packed.unfit) == (70, 100, 0)
    for i, example in enumerate(packed.blocks):
        assert encoder.text(example.ids[: example.first]) == documents[i].prompt
        assert encoder.text(example.ids[example.first :]).strip() == documents[i].text


def test_records_that_do_not_fit_are_left_out_and_counted(encoder):
    documents = [
        Document(str(i), "" if i == 3 else "the anvil waits.", i, "They say: " * (20 if i in (0, 5) else 1))
        for i in range(8)
    ]
    packed = encoder.records(documents, None, context=32)
    assert [example.id for example in packed.blocks] == ["1", "2", "4", "6", "7"]
    assert (packed.unfit, packed.pool, packed.available) == (3, 5, 8)
    assert all(len(example.ids) <= 32 for example in packed.blocks)


def test_seq2seq_halves_pass_both_and_count_in_a_batch(encoder):
    both = Encoder(encoder.tokenizer, 0, encoder.end, seq2seq=True)
    (example,) = both.items([Item("1", "They say:", "the anvil waits.", "", 1)], context=None, where="")
    assert example.size == len(example.ids) + len(example.source)
    assert example.tokens == len(example.ids) - 1
    assert both.example_text(example) == "They say:the anvil waits."
    (cut,) = both.items([Item("1", "They say:", "the anvil waits.", "", 1)], context=9, where="")
    assert (len(cut.ids), cut.cut) == (9, len(example.ids) - 9)
    with pytest.raises(InputError, match="prompt of"):
        both.items([Item("7", "They say: " * 20, "x", "", 3)], context=32, where="q")
    with pytest.raises(InputError, match="no token to score"):
        both.items([Item("7", "They say", "", "", 3)], context=32, where="q")
    long = [Example("a", np.zeros(4, dtype=np.int64), 1, source=np.zeros(100, dtype=np.int64)) for _ in range(4)]
    assert [len(batch) for batch in batches(long, 210)] == [2, 2]


def test_the_decoders_start_is_the_configs():
    assert decoder_start({"decoder_start_token_id": 5}) is None
    assert decoder_start({"is_encoder_decoder": True, "decoder_start_token_id": 5}) == 5
    assert decoder_start({"is_encoder_decoder": True, "decoder_start_token_id": None, "pad_token_id": 3}) == 3
    assert decoder_start({"is_encoder_decoder": True}) == 0
