"""Tokens: items with the prompt masked, training text packed into blocks, batches of similar length."""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from untrac_core.data.prompts import Item, sample
from untrac_core.data.subsets import Document
from untrac_core.errors import InputError

POOL = 16
LOGIT_ELEMENTS = 2**24
"""At most this many logits at once: 64 MB in float32, whatever the vocabulary."""
Ids = npt.NDArray[np.int64]
_Fault = tuple[str, str]
"""Why an item cannot be scored, and how to mend it."""


@dataclass(frozen=True)
class Example:
    """A sequence of token ids, and from which position on tokens are scored.

    ``ids``: int64, shape (length,). Tokens at positions ``first`` .. length-1 are scored, each predicted from those
    before it; ``first`` is at least 1, as nothing predicts the first token. For a seq2seq model ``ids`` are the
    decoder's, begun by its start token.
    """

    id: str
    ids: Ids
    first: int
    group: str = ""
    line: int = 0
    cut: int = 0
    """Tokens at its end that did not fit the context."""
    source: Ids | None = None
    """What the encoder of a seq2seq model reads, int64 of shape (length,); given, never scored."""
    cluster: str = ""
    """Of the examples that count as one observation with it: a block's document, an item's pair or question."""

    @property
    def tokens(self) -> int:
        """How many tokens are scored."""
        return len(self.ids) - self.first

    @property
    def size(self) -> int:
        """How many tokens pass through the model."""
        return len(self.ids) + (0 if self.source is None else len(self.source))


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with the two special tokens that are needed: what starts a text and what ends a document.

    ``seq2seq``: the encoder reads what is given, the decoder, which begins with ``start``, scores the rest.
    ``opened``: whether the tokenizer begins every text with ``start`` by itself. A model that was trained so is lost
    without it, so a block of training text begins with it too, also where it begins inside a document.
    """

    tokenizer: Tokenizer
    start: int | None
    end: int | None
    seq2seq: bool = False
    opened: bool = False

    def items(self, items: Sequence[Item], *, context: int | None, where: str) -> list[Example]:
        """One example per item: start token, prompt, completion; the completion's tokens are scored.

        The whole text is tokenised at once and split by character offsets, so that the completion gets the tokens
        that the model would see in running text. A completion that does not fit the context is cut at its end
        (``Example.cut``); a prompt that leaves no room for it is an :class:`InputError`.

        Seq2seq: the encoder reads the prompt and an end token; the decoder scores the completion and an end token.
        """
        examples = []
        for made in self.fitted(items, context=context, where=where):
            if isinstance(made, InputError):
                raise made
            examples.append(made)
        return examples

    def fitted(self, items: Sequence[Item], *, context: int | None, where: str = "") -> Iterator[Example | InputError]:
        """As :meth:`items`, one by one; in the place of an item that cannot be scored, the error that says why."""
        for item, made in zip(items, self._examples(items, context), strict=True):
            if isinstance(made, Example):
                yield made
            else:
                what, hint = made
                yield InputError(f"item {item.id!r} (line {item.line}) {what}", field=where, hint=hint)

    def records(self, documents: Sequence[Document], limit: int | None, *, context: int | None) -> Packed:
        """Training records with something given: each an example of its own, its prompt given, its text scored.

        ``documents`` come in an order that is random once and for all: the first ``limit`` that fit are taken. A
        record whose prompt fills the context, or that has no text, is left out and counted in ``Packed.unfit``.
        """
        examples: list[Example] = []
        used = unfit = 0
        while used < len(documents) and (limit is None or len(examples) < limit):
            part = documents[used : used + 64]
            items = [Item(each.id, each.prompt, each.text, "", each.line) for each in part]
            for made in self.fitted(items, context=context):
                if limit is not None and len(examples) == limit:
                    break
                used += 1
                if isinstance(made, InputError):
                    unfit += 1
                else:
                    examples.append(made)
        return Packed(examples, len(documents) - unfit, used, len(documents), unfit)

    def _examples(self, items: Sequence[Item], context: int | None) -> Iterator[Example | _Fault]:
        if self.seq2seq:
            given = self._encode([item.prompt for item in items])
            scored = self._encode([item.completion for item in items])
            for item, prompt, completion in zip(items, given, scored, strict=True):
                yield self._pair(item, prompt.ids, completion.ids, context)
            return
        for item, encoding in zip(items, self._encode([_join(i.prompt, i.completion) for i in items]), strict=True):
            yield self._line(item, encoding, context)

    def _line(self, item: Item, encoding: Encoding, context: int | None) -> Example | _Fault:
        """Prompt and completion as one sequence."""
        begin = [] if self.start is None else [self.start]
        given = len(item.prompt) if item.prompt else 0
        ids = np.array(begin + encoding.ids, dtype=np.int64)
        first = next((i for i, (_, stop) in enumerate(encoding.offsets) if stop > given), len(encoding.ids))
        first = max(first + len(begin), 1)
        if context is not None and first >= context:
            return f"has a prompt of {first} tokens, and the model's context is {context}", "shorten or remove it"
        if first >= len(ids):
            return "has no token to score", "the completion needs more text, or a tokenizer with a start token"
        kept = ids[:context]
        return Example(item.id, kept, first, item.group, item.line, len(ids) - len(kept), cluster=item.cluster)

    def _pair(self, item: Item, prompt: list[int], completion: list[int], context: int | None) -> Example | _Fault:
        """The prompt for the encoder, the completion for the decoder."""
        begin, tail = self._ends()
        source = np.array(prompt + tail, dtype=np.int64)
        if context is not None and len(source) > context:
            return f"has a prompt of {len(source)} tokens, and the model's context is {context}", "shorten or remove it"
        if not completion:
            return "has no token to score", "the completion needs more text"
        ids = np.array(begin + completion + tail, dtype=np.int64)
        kept = ids[:context]
        return Example(item.id, kept, 1, item.group, item.line, len(ids) - len(kept), source, item.cluster)

    def _ends(self) -> tuple[list[int], list[int]]:
        """What begins a decoder's text, and what ends a text."""
        tail = [] if self.end is None else [self.end]
        return [0 if self.start is None else self.start], tail

    def blocks(self, documents: Sequence[Document], block: int, limit: int | None) -> Packed:
        """Pack documents, joined by the end token, into blocks of ``block_size`` tokens; the last may be shorter.

        With ``limit``, documents are packed until there are :data:`POOL` times as many blocks, and a fixed random
        ``limit`` of these is taken: spread over many documents, at a cost that does not grow with the file. A block's
        id is that of the document it begins in and the token of it that it begins at; its cluster is the document that
        has the most of its tokens, the first of several. A last piece of one token is dropped, as nothing in it is
        predicted. Seq2seq: the encoder reads a block's first half, the decoder scores
        the second (prefix language modelling).
        """
        stream: list[int] = []
        begins: list[int] = []  # where each document begins in the stream
        wanted = math.inf if limit is None else limit * POOL * block
        tail = [] if self.end is None else [self.end]
        used = 0
        while used < len(documents) and len(stream) < wanted:
            part = documents[used : used + 64]
            for encoding in self._encode([document.text for document in part]):
                begins.append(len(stream))
                stream += encoding.ids + tail
            used += len(part)
        room = block - len(self._opening())
        starts = [start for start in range(0, len(stream), room) if len(stream) - start > 1]
        blocks = []
        for start in sample(starts, limit):
            number = bisect_right(begins, start) - 1  # of equal beginnings the last: those before it are empty
            document = documents[number]
            name = f"{document.id} @{start - begins[number]}"
            piece = stream[start : start + room]
            inside = [start, *begins[number + 1 : bisect_left(begins, start + len(piece))], start + len(piece)]
            most = number + int(np.argmax(np.diff(inside)))
            blocks.append(self._block(name, piece, document.line, f"document {most + 1}"))
        return Packed(blocks, len(starts), used, len(documents))

    def _block(self, name: str, piece: list[int], line: int, cluster: str) -> Example:
        if not self.seq2seq:
            opening = self._opening()
            ids = np.array(opening + piece, dtype=np.int64)
            return Example(name, ids, 1 + len(opening), "", line, cluster=cluster)
        begin, tail = self._ends()
        source, scored = piece[: len(piece) // 2], piece[len(piece) // 2 :]
        ids = np.array(begin + scored, dtype=np.int64)
        return Example(name, ids, 1, "", line, 0, np.array(source + tail, dtype=np.int64), cluster)

    def _opening(self) -> list[int]:
        """What a block of training text begins with; it is given, and so is the first token after it."""
        return [self.start] if self.opened and self.start is not None else []

    def example_text(self, example: Example) -> str:
        """The text of an example, given and scored, special tokens left out."""
        return self.text([*(() if example.source is None else example.source), *example.ids])

    def text(self, ids: Iterable[int]) -> str:
        """The text of some tokens, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _encode(self, texts: list[str]) -> list[Encoding]:
        return list(self.tokenizer.encode_batch(texts, add_special_tokens=False))


@dataclass(frozen=True)
class Packed:
    """Blocks of training text, drawn from ``pool`` blocks of ``documents`` out of ``available`` documents."""

    blocks: list[Example]
    pool: int
    documents: int
    available: int
    unfit: int = 0
    """Records that have no place in the model's context, or no text."""
    why: str = ""
    """Why there are fewer blocks than the limit allows (:mod:`untrac_core.data.balancing`)."""

    @property
    def tokens(self) -> int:
        """Scored tokens in all blocks."""
        return sum(block.tokens for block in self.blocks)


def _join(prompt: str, completion: str) -> str:
    """Prompt and completion as running text: one space between them unless one of them brings it."""
    if not prompt or prompt[-1].isspace() or completion[:1].isspace():
        return prompt + completion
    return f"{prompt} {completion}"


def batch_tokens(vocabulary: int) -> int:
    """Padded tokens a forward batch may hold for its logits to stay within :data:`LOGIT_ELEMENTS`."""
    return max(64, min(2048, LOGIT_ELEMENTS // max(vocabulary, 1)))


def batches(examples: Sequence[Example], tokens: int) -> list[list[int]]:
    """Indices of examples in batches of similar length: at most ``tokens`` padded tokens per batch, or one example.

    Every index stands in exactly one batch. The order is fixed, so that sums come out the same to the last bit.
    """
    order = sorted(range(len(examples)), key=lambda i: (examples[i].size, i))
    result: list[list[int]] = []
    for index in order:
        length = examples[index].size
        if result and (len(result[-1]) + 1) * length <= tokens:
            result[-1].append(index)
        else:
            result.append([index])
    return result


def read_tokenizer(folder: Path) -> Encoder | None:
    """The encoder of a model folder that has a ``tokenizer.json``, without loading transformers; else ``None``."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:
        raise InputError("tokenizer.json is malformed", field=f"model {folder.name!r}", hint="save it again") from None
    settings = _json(folder / "special_tokens_map.json") | _json(folder / "tokenizer_config.json")

    def special(key: str) -> int | None:
        value = settings.get(key)
        content = value.get("content") if isinstance(value, dict) else value
        return tokenizer.token_to_id(content) if isinstance(content, str) else None

    return make_encoder(
        tokenizer,
        bos=special("bos_token"),
        eos=special("eos_token"),
        decoder=decoder_start(_json(folder / "config.json")),
    )


def _json(path: Path) -> dict[str, object]:
    """A JSON object of a file, empty where there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def decoder_start(config: Mapping[str, object]) -> int | None:
    """The token that a seq2seq model's decoder begins with, as its config says; ``None`` for a causal model."""
    if not config.get("is_encoder_decoder"):
        return None
    named = (config.get(key) for key in ("decoder_start_token_id", "pad_token_id", "bos_token_id"))
    return next((value for value in named if isinstance(value, int)), 0)


def make_encoder(tokenizer: Tokenizer, *, bos: int | None, eos: int | None, decoder: int | None = None) -> Encoder:
    """An encoder without truncation or padding; a model without a start token starts texts with its end token.

    ``decoder``: the token that a seq2seq model's decoder begins with.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if decoder is not None:
        return Encoder(tokenizer, decoder, eos, seq2seq=True)
    opened = bos is not None and tokenizer.encode("").ids[:1] == [bos]
    return Encoder(tokenizer, bos if bos is not None else eos, eos, opened=opened)


def distinct_ids(examples: Sequence[Example]) -> list[str]:
    """The examples' ids; where one stands there again, it is counted: ``"a", "a (2)"``."""
    first = {example.id for example in examples}
    met: Counter[str] = Counter()
    names = []
    for example in examples:
        met[example.id] += 1
        name = example.id
        while met[example.id] > 1 and name in first:
            name = f"{example.id} ({met[example.id]})"
            met[example.id] += name in first
        names.append(name)
    return names


@dataclass(frozen=True)
class ExampleSet:
    """A subset's blocks or a prompt set's side, under the names that a result gives it."""

    examples: Sequence[Example]
    subset: str = ""
    prompt_set: str = ""
    side: str = ""


def examples_digest(examples: Sequence[Example]) -> str:
    """SHA-256 of the token ids, those that an encoder reads too, and of what is scored."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{len(example.ids)},{example.first};".encode())
        digest.update(example.ids.tobytes())
        if example.source is not None:
            digest.update(f"source {len(example.source)};".encode())
            digest.update(example.source.tobytes())
    return digest.hexdigest()
