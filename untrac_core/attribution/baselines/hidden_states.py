"""Hidden-state similarity: how alike the model itself finds the training text and the prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.similarity import Query, Similarity
from untrac_core.data.tokens import Example
from untrac_core.models.hidden_states import unit_vectors
from untrac_core.stats.intervals import Array


class HiddenSimilarity(Similarity):
    """Mean cosine of a block's vector (:mod:`untrac_core.models.hidden_states`) with those of the drawn items.

    It is one product, of the block's unit vector with the mean of the items'.
    """

    name: ClassVar[str] = "hidden-state-similarity"
    unit: ClassVar[str] = "mean cosine of hidden states"

    def compare(self, study: AttributionContext, queries: Sequence[Query]) -> Iterator[Array]:
        """The mean cosine of a query's items with every block."""
        blocks = _vectors(study, study.all_blocks, "the training subsets")
        sides: dict[tuple[str, str], Array] = {}
        for query in queries:
            place = query.part.prompt_set, query.part.side
            if place not in sides:
                sides[place] = _vectors(study, query.part.examples, f"{place[0]}, {place[1]} side")
            yield blocks @ sides[place][list(query.drawn)].mean(0)


def _vectors(study: AttributionContext, examples: Sequence[Example], what: str) -> Array:
    study.progress.phase(f"hidden states of {what}")
    return unit_vectors(study.model, examples, study.progress)
