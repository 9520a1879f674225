"""The text of an example in the pieces that its tokens are, so that each piece can be shown with its token's number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from untrac_core.data.tokens import Encoder, Example

BROKEN = "\ufffd"
"""What a character comes out as, of which some bytes are missing."""
BEHIND = 6
"""Tokens before the one in question that are decoded with it: a decoder may look at its neighbours."""
Piece = tuple[int, str]
"""Where its first token stands among the example's (those that an encoder reads first), and its text."""


def spans_of(encoder: Encoder, example: Example) -> list[Piece]:
    """An example's text cut at its tokens; the pieces, joined, are exactly :meth:`Encoder.example_text`.

    A piece is one token, or several that share a character; a special token is a piece without text.
    """
    ids = [*(() if example.source is None else example.source.tolist()), *example.ids.tolist()]
    whole = encoder.text(ids)
    found = _near(ids, encoder.text)
    return found if "".join(text for _, text in found) == whole else _far(ids, encoder.text, whole)


def _near(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[Piece]:
    """Each token's text as what it adds to the few before it; right for nearly every tokenizer."""
    found: list[Piece] = []
    start, open_from = 0, 0
    known = ""  # the text of ids[start:open_from]
    for stop in range(1, len(ids) + 1):
        text = decode(ids[start:stop])
        whole = text.startswith(known) and not text[len(known) :].endswith(BROKEN)
        if not whole and stop < len(ids):
            continue
        found.append((open_from, text[len(known) :]))
        open_from = stop
        start = max(start, open_from - BEHIND)
        known = decode(ids[start:open_from])
    return found


def _far(ids: Sequence[int], decode: Callable[[Sequence[int]], str], whole: str) -> list[Piece]:
    """Each token's text as what it adds to all before it: slower by the length, and right for every tokenizer.

    A token after which the text so far does not begin the whole one is one piece with the next.
    """
    found: list[Piece] = []
    open_from, shown = 0, 0
    for stop in range(1, len(ids) + 1):
        text = decode(ids[:stop]) if stop < len(ids) else whole
        if len(text) < shown or not whole.startswith(text) or (text[shown:].endswith(BROKEN) and stop < len(ids)):
            continue
        found.append((open_from, text[shown:]))
        open_from, shown = stop, len(text)
    return found
