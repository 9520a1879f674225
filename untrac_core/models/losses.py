"""Negative log-likelihood, an example at a time, in nats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.progress import Progress, Silent

Losses = npt.NDArray[np.float64]


def collate(examples: Sequence[Example], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask and score mask, each of shape (examples, longest), padded on the right.

    The score mask is true where a token's loss counts: not at the prompt, not at padding.
    """
    ids, attention = _padded([example.ids for example in examples])
    scored = torch.zeros_like(ids, dtype=torch.bool)
    for row, example in enumerate(examples):
        scored[row, example.first : len(example.ids)] = True
    return ids.to(device), attention.to(device), scored.to(device)


def collate_sources(examples: Sequence[Example], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """What the encoder reads: ids and attention mask, each of shape (examples, longest), padded on the right."""
    sources = [example.source for example in examples if example.source is not None]
    ids, attention = _padded(sources)
    return ids.to(device), attention.to(device)


def _padded(rows: Sequence[npt.NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, zero where a row has ended."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    attention = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.from_numpy(row)
        attention[number, : len(row)] = 1
    return ids, attention


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Matrix products in ``dtype``, weights as they are held; nothing at all for float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def exact_enough(logits: torch.Tensor) -> torch.Tensor:
    """Logits in float32 at least; those of a model in float64 as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def batch_losses(
    module: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Summed negative log-likelihood of each example's scored tokens, shape (examples,), in nats; differentiable."""
    return batch_token_losses(module, examples, device, dtype)[0].sum(1)


def batch_token_losses(
    module: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each token's negative log-likelihood in nats, 0 where it is not scored, and which are; differentiable.

    Both of shape (examples, longest - 1): nothing predicts the first token. The model computes in ``dtype``
    (:func:`computing_in`); the losses themselves are :func:`exact_enough`.
    """
    ids, attention, scored = collate(examples, device)
    with computing_in(dtype, device):
        if examples[0].source is None:
            out = module(input_ids=ids, attention_mask=attention, use_cache=False)
        else:
            # The decoder is given its ids as they are, start token first; position i predicts token i + 1, as ever.
            given, seen = collate_sources(examples, device)
            out = module(
                input_ids=given,
                attention_mask=seen,
                decoder_input_ids=ids,
                decoder_attention_mask=attention,
                use_cache=False,
            )
    logits = exact_enough(out.logits[:, :-1])
    target, counted = ids[:, 1:], scored[:, 1:]
    token = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    return token.view_as(target) * counted, counted


@torch.no_grad()
def example_losses(
    module: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    vocabulary: int,
    progress: Progress | None = None,
    dtype: torch.dtype = torch.float32,
) -> Losses:
    """Summed loss of each example, float64 of shape (examples,), in nats; no gradient, the module's mode kept."""
    result = np.empty(len(examples), dtype=np.float64)
    for batch in _ticked(examples, vocabulary, progress):
        losses = batch_losses(module, [examples[i] for i in batch], device, dtype)
        result[batch] = losses.double().cpu().numpy()
    return result


@torch.no_grad()
def token_losses(
    module: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    vocabulary: int,
    progress: Progress | None = None,
    dtype: torch.dtype = torch.float32,
) -> Losses:
    """Loss of each scored token, in nats: float64 of shape (all scored tokens,), one example after the other.

    No gradient; the module's mode is kept.
    """
    ends = np.cumsum([example.tokens for example in examples], dtype=np.int64)
    result = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.float64)
    for batch in _ticked(examples, vocabulary, progress):
        losses, counted = batch_token_losses(module, [examples[i] for i in batch], device, dtype)
        values = losses[counted].double().cpu().numpy()  # row by row
        start = 0
        for i in batch:
            count = examples[i].tokens
            result[ends[i] - count : ends[i]] = values[start : start + count]
            start += count
    return result


def _ticked(examples: Sequence[Example], vocabulary: int, progress: Progress | None) -> Iterator[list[int]]:
    """The batches of an evaluation, with a tick of the progress after each."""
    plan = batches(examples, batch_tokens(vocabulary))
    for done, batch in enumerate(plan, 1):
        yield batch
        (progress or Silent()).tick(done, len(plan))


COLLAPSE = 0.95
"""A model whose loss reaches this share of ln(vocabulary), the loss of a uniform guess, knows nothing any more ..."""
LOST = 0.9
"""... where it has also lost this share of what it knew, so that a model that knew little is not taken for one."""


def collapse_loss(before: float, vocabulary: int) -> float:
    """The loss, in nats per token, from which a model counts as collapsed whose loss was ``before``.

    Infinite for one that knew nothing to begin with, as an untrained one: it has nothing to lose.
    """
    uniform = math.log(vocabulary)
    if before >= COLLAPSE * uniform:
        return math.inf
    return max(COLLAPSE * uniform, before + LOST * (uniform - before))
