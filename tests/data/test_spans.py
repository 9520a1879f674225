"""Pieces of text, one per token: joined they are the text, whatever the tokenizer does."""

import random

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from untrac_core.data.spans import spans_of
from untrac_core.data.subsets import Document
from untrac_core.data.tokens import Example, make_encoder

TEXTS = [
    "The nets dry by the harbour.",
    "Über dem Hafen krächzt eine Möwe – früh.",
    "網と舟と潮、港の鴎。",
    "A knot 🪢 and a boat ⛵, twice: 🪢🪢.",
    "cafe\u0301 na\u00efve \u0928\u092e\u0938\u094d\u0924\u0947 it's they 're\n\n\tdone .",
    "odd \ufffd sign \ufffd\ufffd and the end \ufffd",
]
CODED = [f"<0x{number:02X}>" for number in range(256)]


def byte_level():
    """As GPT-2's and OPT's, so small that most characters beyond ASCII are several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(TEXTS[:1] * 3, trainer)
    return tokenizer


def byte_fallback():
    """As Llama's: a mark for each space, single bytes for unknown characters, the first space taken away again."""
    letters = sorted(set("".join(TEXTS[:1])) - {" "})
    vocabulary = {"<unk>": 0, "</s>": 1} | {word: i for i, word in enumerate([*CODED, "▁", *letters], 2)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer


def word_pieces():
    """As BERT's: a decoder that joins words by spaces and takes some away before marks."""
    words = ["the", "nets", "dry", "by", "har", "##bour", ".", "it", "'", "s", "they", "re", "done"]
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "</s>": 1} | {w: i for i, w in enumerate(words, 2)}))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer


KINDS = [byte_level, byte_fallback, word_pieces]


def encoders(make):
    tokenizer = make()
    end = tokenizer.token_to_id("</s>")
    return [make_encoder(tokenizer, bos=end, eos=end), make_encoder(tokenizer, bos=end, eos=end, decoder=end)]


def whole(encoder, example):
    """The pieces, after a look at what holds for all."""
    spans = spans_of(encoder, example)
    starts = [start for start, _ in spans]
    assert starts[0] == 0
    assert all(np.diff(starts) > 0)
    assert starts[-1] < example.size
    assert "".join(text for _, text in spans) == encoder.example_text(example)
    return spans


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("block", [5, 7, 64])
def test_pieces_joined_are_the_text_of_every_block(make, block):
    """Also of blocks that begin and end within a character, and with documents' ends among their tokens."""
    documents = [Document(str(i), text, i) for i, text in enumerate([*TEXTS, *TEXTS[::-1]])]
    for encoder in encoders(make):
        for example in encoder.blocks(documents, block, None).blocks:
            whole(encoder, example)


def test_a_token_is_a_piece_and_tokens_that_share_a_character_are_one():
    encoder, _ = encoders(byte_level)
    ids = np.array(encoder.tokenizer.encode("a 🪢!").ids)
    spans = whole(encoder, Example("1", ids, 1))
    assert len(ids) > len(spans)
    assert [text for _, text in spans] == ["a", " ", "🪢", "!"]
    ids = np.array(encoder.tokenizer.encode(TEXTS[0]).ids)
    assert [start for start, _ in whole(encoder, Example("1", ids, 1))] == list(range(len(ids)))


@pytest.mark.parametrize("make", KINDS)
def test_a_special_token_is_a_piece_without_text(make):
    encoder, _ = encoders(make)
    net = encoder.tokenizer.encode("by the").ids
    ids = np.array([*net, encoder.end, *net])
    spans = whole(encoder, Example("1", ids, 1))
    assert (len(net), "") in spans
    assert len(spans) == len(ids)


@pytest.mark.parametrize("make", KINDS)
def test_any_tokens_at_all(make):
    draw = random.Random(3)
    for encoder in encoders(make):
        for _ in range(60):
            ids = [draw.randrange(encoder.tokenizer.get_vocab_size()) for _ in range(draw.randrange(2, 40))]
            source = np.array(ids[: len(ids) // 2]) if encoder.seq2seq else None
            whole(encoder, Example("1", np.array(ids), 1, source=source))
