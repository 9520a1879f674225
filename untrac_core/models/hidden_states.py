"""Vectors of texts: a model's hidden states on each, so that texts can be compared as the model finds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import collate, collate_sources
from untrac_core.progress import Progress, Silent

Vectors = npt.NDArray[np.float64]


def unit_vectors(model: LoadedModel, examples: Sequence[Example], progress: Progress | None = None) -> Vectors:
    """Each example's vector, of length 1, so that a product of two is their cosine; shape (examples, hidden).

    A text's vector is the mean of the last layer's hidden states at its scored tokens; of an encoder-decoder, the
    decoder's last layer.
    """
    progress = progress or Silent()
    plan = batches(examples, batch_tokens(model.facts.vocab_size))
    found: dict[int, Vectors] = {}
    for done, batch in enumerate(plan, 1):
        for index, vector in zip(batch, _means(model, [examples[i] for i in batch]), strict=True):
            found[index] = vector
        progress.tick(done, len(plan))
    vectors = np.stack([found[index] for index in range(len(examples))])
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Vectors = vectors / np.where(lengths > 0, lengths, 1.0)
    return result


def _means(model: LoadedModel, examples: Sequence[Example]) -> Vectors:
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
    result: Vectors = (sums / scored.sum(1, keepdim=True)).cpu().numpy()
    return result
