"""Which tokens of a text are key: those of words that say what the text is about."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import numpy.typing as npt

from untrac_core.data.spans import spans_of
from untrac_core.data.tokens import Encoder, Example
from untrac_core.unlearning.metrics.answers import WORD


def key_tokens(encoder: Encoder, example: Example, words: Set[str]) -> npt.NDArray[np.bool_]:
    """Of an example's scored tokens, those that a key word has a character in; bool of shape (example.tokens,)."""
    given = 0 if example.source is None else len(example.source)
    pieces = spans_of(encoder, example)
    text = "".join(piece for _, piece in pieces)
    found = np.zeros(given + len(example.ids), dtype=bool)
    places, start = [], 0
    for number, (first, piece) in enumerate(pieces):
        stop = pieces[number + 1][0] if number + 1 < len(pieces) else len(found)
        places.append((start, start + len(piece), first, stop))
        start += len(piece)
    spans = [match.span() for match in WORD.finditer(text) if match.group().lower() in words]
    at = 0
    for begin, end in spans:
        while at < len(places) and places[at][1] <= begin:
            at += 1
        for low, high, first, stop in places[at:]:
            if low >= end:
                break
            if high > low:
                found[first:stop] = True
    return found[given + example.first :]
