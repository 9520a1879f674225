"""Tokens: items with the prompt masked, training text packed into blocks, batches of similar length."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from untrac_core.data.prompts import Item, sample
from untrac_core.data.subsets import Document
from untrac_core.errors import InputError

POOL = 16
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """A sequence of token ids, and from which position on tokens are scored.

    ``ids``: int64, shape (length,). Tokens at positions ``first`` .. length-1 are scored, each predicted from those
    before it; ``first`` is at least 1, as nothing predicts the first token.
    """

    id: str
    ids: Ids
    first: int
    group: str = ""
    line: int = 0
    cut: int = 0
    """Tokens at its end that did not fit the context."""

    @property
    def tokens(self) -> int:
        """How many tokens are scored."""
        return len(self.ids) - self.first


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with the two special tokens that are needed: what starts a text and what ends a document."""

    tokenizer: Tokenizer
    start: int | None
    end: int | None

    def items(self, items: Sequence[Item], *, context: int | None, where: str) -> list[Example]:
        """One example an item: start token, prompt, completion; the completion's tokens are scored.

        The whole text is tokenised at once and split by character offsets, so that the completion gets the tokens
        that the model would see in running text. A completion that does not fit the context is cut at its end
        (``Example.cut``); a prompt that leaves no room for it is an :class:`InputError`.
        """
        texts = [_join(item.prompt, item.completion) for item in items]
        begin = [] if self.start is None else [self.start]
        examples = []
        for item, encoding in zip(items, self._encode(texts), strict=True):
            given = len(item.prompt) if item.prompt else 0
            ids = np.array(begin + encoding.ids, dtype=np.int64)
            first = next((i for i, (_, stop) in enumerate(encoding.offsets) if stop > given), len(encoding.ids))
            first = max(first + len(begin), 1)
            if context is not None and first >= context:
                raise InputError(
                    f"the prompt of item {item.id!r} (line {item.line}) has {first} tokens, "
                    f"the model's context is {context}",
                    where=where,
                    mend="shorten or remove it",
                )
            if first >= len(ids):
                raise InputError(
                    f"item {item.id!r} (line {item.line}) has no token to score",
                    where=where,
                    mend="the completion needs more text, or a tokenizer with a start token",
                )
            kept = ids[:context]
            examples.append(Example(item.id, kept, first, item.group, item.line, len(ids) - len(kept)))
        return examples

    def blocks(self, documents: Sequence[Document], block: int, limit: int | None) -> Packed:
        """Pack documents, joined by the end token, into blocks of ``block`` tokens; the last may be shorter.

        With ``limit``, documents are packed until there are :data:`POOL` times as many blocks, and a fixed random
        ``limit`` of these is taken: spread over many documents, at a cost that does not grow with the file. A block's
        id is that of the document it begins in and the token of it that it begins at. A last piece of one token is
        dropped, as nothing in it is predicted.
        """
        stream: list[int] = []
        origin: list[tuple[int, int]] = []  # (document, token in it) of every token in the stream
        wanted = math.inf if limit is None else limit * POOL * block
        tail = [] if self.end is None else [self.end]
        used = 0
        while used < len(documents) and len(stream) < wanted:
            part = documents[used : used + 64]
            for offset, encoding in enumerate(self._encode([document.text for document in part]), used):
                ids = encoding.ids + tail
                stream += ids
                origin += [(offset, at) for at in range(len(ids))]
            used += len(part)
        starts = [start for start in range(0, len(stream), block) if len(stream) - start > 1]
        blocks = []
        for start in sample(starts, limit):
            document, at = origin[start]
            name = f"{documents[document].id} @{at}"
            piece = np.array(stream[start : start + block], dtype=np.int64)
            blocks.append(Example(name, piece, 1, "", documents[document].line))
        return Packed(blocks, len(starts), used, len(documents))

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

    @property
    def tokens(self) -> int:
        """Scored tokens in all blocks."""
        return sum(block.tokens for block in self.blocks)


def _join(prompt: str, completion: str) -> str:
    """Prompt and completion as running text: one space between them unless one of them brings it."""
    if not prompt or prompt[-1].isspace() or completion[:1].isspace():
        return prompt + completion
    return f"{prompt} {completion}"


def batches(examples: Sequence[Example], tokens: int) -> list[list[int]]:
    """Indices of examples in batches of similar length: at most ``tokens`` padded tokens a batch, or one example.

    Every index stands in exactly one batch. The order is fixed, so that sums come out the same to the last bit.
    """
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i].ids), i))
    result: list[list[int]] = []
    for index in order:
        length = len(examples[index].ids)
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
        raise InputError("tokenizer.json is malformed", where=f"model {folder.name!r}", mend="save it again") from None
    settings: dict[str, object] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        try:
            settings |= dict(json.loads((folder / name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue

    def special(key: str) -> int | None:
        value = settings.get(key)
        content = value.get("content") if isinstance(value, dict) else value
        return tokenizer.token_to_id(content) if isinstance(content, str) else None

    return make_encoder(tokenizer, bos=special("bos_token"), eos=special("eos_token"))


def make_encoder(tokenizer: Tokenizer, *, bos: int | None, eos: int | None) -> Encoder:
    """An encoder without truncation or padding; a model without a start token starts texts with its end token."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Encoder(tokenizer, bos if bos is not None else eos, eos)
