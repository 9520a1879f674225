"""Negative log-likelihood, an example at a time, in nats."""

from __future__ import annotations

from collections.abc import Sequence
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


def computing_in(precision: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Matrix products in ``precision``, weights as they are held; nothing at all for float32."""
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=precision)


def batch_losses(
    module: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Summed negative log-likelihood of each example's scored tokens, shape (examples,), in nats; differentiable.

    The model computes in ``precision`` (:func:`computing_in`); the losses themselves are always float32.
    """
    ids, attention, scored = collate(examples, device)
    with computing_in(precision, device):
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
    logits = out.logits[:, :-1].float()
    target, counted = ids[:, 1:], scored[:, 1:]
    token = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    return (token.view_as(target) * counted).sum(1)


def example_losses(
    module: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    vocabulary: int,
    progress: Progress | None = None,
    precision: torch.dtype = torch.float32,
) -> Losses:
    """Summed loss of each example, float64 of shape (examples,), in nats; no gradient, the module's mode kept."""
    progress = progress or Silent()
    result = np.empty(len(examples), dtype=np.float64)
    plan = batches(examples, batch_tokens(vocabulary))
    with torch.no_grad():
        for done, batch in enumerate(plan, 1):
            losses = batch_losses(module, [examples[i] for i in batch], device, precision)
            result[batch] = losses.double().cpu().numpy()
            progress.tick(done, len(plan))
    return result
