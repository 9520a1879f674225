"""BM25: how many of their rarer words the training text and the prompts share; knows nothing of the model."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import ClassVar

import bm25s
import numpy as np

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.similarity import Query, Similarity
from untrac_core.data.tokens import Encoder, Example
from untrac_core.stats.intervals import Array

WORD = re.compile(r"[^\W_]+")
SATURATION, LENGTH = 1.2, 0.75
"""The usual k1 and b."""


class Bm25(Similarity):
    """Okapi BM25 of each block (the document) for each item, prompt and completion (the query); the mean over items.

    score(q, d) = sum over the words w of q, repeats counted, of
    log(1 + (N - n_w + 1/2) / (n_w + 1/2)) x f / (f + k1 (1 - b + b |d| / mean |d|)),
    where f counts w in d, and n_w of the N blocks have w (Robertson and Zaragoza, 2009, with the non-negative weight
    of Lucene). The score is a sum over a query's words, so the mean over items is the score of all their words
    together, over the number of items.

    Words, lower-cased, not tokens: a small vocabulary cuts words to pieces that any two texts share, and the same two
    texts should be as alike under every model. In scripts that put no space between words a word is a whole phrase.
    """

    name: ClassVar[str] = "bm25"
    unit: ClassVar[str] = "BM25 score"

    def compare(self, study: AttributionContext, queries: Sequence[Query]) -> Iterator[Array]:
        """The mean score of a query's items in every block; of blocks or items without words, 0."""
        encoder, blocks = study.model.encoder, study.all_blocks
        study.progress.phase("bm25: words of the training subsets")
        documents = []
        for block in blocks:
            documents.append(words(encoder, block))
            study.progress.tick(len(documents), len(blocks))
        index = bm25s.BM25(k1=SATURATION, b=LENGTH, method="lucene", dtype="float64", backend="numpy")
        if any(documents):
            index.index(documents, show_progress=False)
        known = {word for document in documents for word in document}
        study.progress.phase("bm25: scores of the prompt sets")
        for done, query in enumerate(queries, 1):
            asked = [word for i in query.drawn for word in words(encoder, query.part.examples[i]) if word in known]
            # The library takes no empty query.
            scores = index.get_scores(asked) if asked else np.zeros(len(blocks))
            yield scores / len(query.drawn)
            study.progress.tick(done, len(queries))


def words(encoder: Encoder, example: Example) -> list[str]:
    """The words of what an example gives and of what it scores, in lower case."""
    # Decoded apart: nothing stands between a prompt that an encoder reads and the completion. Running text that is
    # halved for an encoder may so lose the word in its middle.
    texts = [encoder.text(ids) for ids in (example.source, example.ids) if ids is not None]
    return [sys.intern(word) for text in texts for word in WORD.findall(text.lower())]
