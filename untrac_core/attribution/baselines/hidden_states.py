"""Hidden-state similarity: how alike the model itself finds the training text and the prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.similarity import Query, Similarity
from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import collate, collate_sources
from untrac_core.stats.intervals import Array


class HiddenSimilarity(Similarity):
    """Mean cosine of a block's vector with those of the drawn items.

    A text's vector is the mean of the last layer's hidden states at its scored tokens; of an encoder-decoder, the
    decoder's last layer. The mean cosine is one product, of the block's unit vector with the mean of the items'.
    """

    name: ClassVar[str] = "hidden-state-similarity"
    unit: ClassVar[str] = "mean cosine of hidden states"

    def compare(self, study: AttributionContext, queries: Sequence[Query]) -> Iterator[Array]:
        """The mean cosine of a query's items with every block."""
        blocks = unit_vectors(study, study.all_blocks, "the training subsets")
        sides: dict[tuple[str, str], Array] = {}
        for query in queries:
            place = query.part.prompt_set, query.part.side
            if place not in sides:
                sides[place] = unit_vectors(study, query.part.examples, f"{place[0]}, {place[1]} side")
            yield blocks @ sides[place][list(query.drawn)].mean(0)


def unit_vectors(study: AttributionContext, examples: Sequence[Example], what: str) -> Array:
    """Each example's vector, of length 1; shape (examples, hidden)."""
    model = study.model
    study.progress.phase(f"hidden states of {what}")
    plan = batches(examples, batch_tokens(model.facts.vocab_size))
    found: dict[int, Array] = {}
    for done, batch in enumerate(plan, 1):
        for index, vector in zip(batch, _means(model, [examples[i] for i in batch]), strict=True):
            found[index] = vector
        study.progress.tick(done, len(plan))
    vectors = np.stack([found[index] for index in range(len(examples))])
    lengths: Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Array = vectors / np.where(lengths > 0, lengths, 1.0)
    return result


def _means(model: LoadedModel, examples: Sequence[Example]) -> Array:
    """The last hidden states' mean over each example's scored tokens, shape (examples, hidden)."""
    ids, attention, scored = collate(examples, model.device)
    shared = {"output_hidden_states": True, "use_cache": False}
    with torch.no_grad(), model.computing():
        if examples[0].source is None:
            states = model.module(input_ids=ids, attention_mask=attention, **shared).hidden_states[-1]
        else:
            given, seen = collate_sources(examples, model.device)
            states = model.module(
                input_ids=given,
                attention_mask=seen,
                decoder_input_ids=ids,
                decoder_attention_mask=attention,
                **shared,
            ).decoder_hidden_states[-1]
    # Padding may hold anything, numbers that are none too, so it is left out rather than multiplied by zero.
    sums = states.double().masked_fill(~scored[..., None], 0.0).sum(1)
    result: Array = (sums / scored.sum(1, keepdim=True)).cpu().numpy()
    return result
