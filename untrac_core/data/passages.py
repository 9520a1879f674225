"""Passages: where a block of training text stands in the documents that it was cut from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from untrac_core.data.readers.sampling import Document

PLACE = re.compile(r"(?P<row>.*) @(?P<offset>\d+)( \(\d+\))?", re.DOTALL)
"""The id of a block: the row that it begins in, the token of it that it begins at, and a number where it repeats."""
BROKEN = "\ufffd"
"""What a character comes out as, of which a block has only some bytes."""


@dataclass(frozen=True)
class Passage:
    """A block in its documents: what stands before it in the first of them, and after it in the last."""

    before: str
    after: str
    documents: tuple[Document, ...]
    """Those that it runs over, in their order; their texts, joined, are ``before``, the block and ``after``."""


def row_of(block: str) -> str:
    """The id of the row that a block begins in, from the block's own id; of a record, the record's."""
    found = PLACE.fullmatch(block)
    return found["row"] if found else block


def passage(documents: Sequence[Document], block: str, text: str) -> Passage | None:
    """The place of a block, by its id and its text; ``None`` where the documents do not have it.

    ``documents``: of its subset, in the order in which they were packed. Blocks are found by their text, not by their
    tokens, so a tokenizer that writes a text otherwise than it reads it gives ``None``.
    """
    wanted, body = row_of(block), text.strip(BROKEN)
    if not body:
        return None
    for number, document in enumerate(documents):
        if document.id == wanted and (found := _within(document, block, body) or _across(documents, number, body)):
            return found
    return None


def _within(document: Document, block: str, body: str) -> Passage | None:
    """Of a block inside of one document; where its text stands there more than once, nearest to its share of it."""
    whole = document.text
    if document.prompt:  # a record: what is given and what is scored are joined as the encoder joins them
        whole = document.prompt + ("" if document.prompt[-1].isspace() or whole[:1].isspace() else " ") + whole
    starts = [found.start() for found in re.finditer(f"(?={re.escape(body)})", whole)]
    if not starts:
        return None
    offset = int(found["offset"]) if (found := PLACE.fullmatch(block)) else 0
    letters = len(body) / max(1, len(body.split()))  # of a word, which has about as many tokens
    start = min(starts, key=lambda place: abs(place - offset * letters))
    return Passage(whole[:start], whole[start + len(body) :], (document,))


def _across(documents: Sequence[Document], first: int, body: str) -> Passage | None:
    """Of a block that goes on in the documents after its first: the longest end of the first that it begins with.

    That end may be empty: what ends a document is a token, too.
    """
    for size in range(min(len(body), len(documents[first].text)), -1, -1):
        begun = documents[first].text if size else ""
        if not begun.endswith(body[:size]):
            continue
        own = first if size else first + 1
        rest, number = body[size:], first + 1
        while number < len(documents) and rest.startswith(documents[number].text):
            rest, number = rest[len(documents[number].text) :], number + 1
        if not rest:
            return Passage(begun[: len(begun) - size], "", tuple(documents[own:number]))
        if number < len(documents) and documents[number].text.startswith(rest):
            after = documents[number].text[len(rest) :]
            return Passage(begun[: len(begun) - size], after, tuple(documents[own : number + 1]))
    return None
