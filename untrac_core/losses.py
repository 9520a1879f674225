"""Negative log-likelihood, an example at a time, in nats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from untrac_core.data.tokens import Example, batches
from untrac_core.progress import Progress, Silent

Losses = npt.NDArray[np.float64]
LOGIT_ELEMENTS = 2**24
"""At most this many logits at once: 64 MB in float32, whatever the vocabulary."""


def batch_tokens(vocabulary: int) -> int:
    """Padded tokens a forward batch may hold for its logits to stay within :data:`LOGIT_ELEMENTS`."""
    return max(64, min(2048, LOGIT_ELEMENTS // max(vocabulary, 1)))


def collate(examples: Sequence[Example], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask and score mask, each of shape (examples, longest), padded on the right.

    The score mask is true where a token's loss counts: not at the prompt, not at padding.
    """
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    attention = torch.zeros(len(examples), longest, dtype=torch.long)
    scored = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        length = len(example.ids)
        ids[row, :length] = torch.from_numpy(example.ids)
        attention[row, :length] = 1
        scored[row, example.first : length] = True
    return ids.to(device), attention.to(device), scored.to(device)


def batch_losses(module: nn.Module, examples: Sequence[Example], device: torch.device) -> torch.Tensor:
    """Summed negative log-likelihood of each example's scored tokens, shape (examples,), in nats; differentiable."""
    ids, attention, scored = collate(examples, device)
    logits = module(input_ids=ids, attention_mask=attention, use_cache=False).logits[:, :-1].float()
    target, counted = ids[:, 1:], scored[:, 1:]
    token = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    return (token.view_as(target) * counted).sum(1)


def example_losses(
    module: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    vocabulary: int,
    progress: Progress | None = None,
) -> Losses:
    """Summed loss of each example, float64 of shape (examples,), in nats; no gradient, the module's mode kept."""
    progress = progress or Silent()
    result = np.empty(len(examples), dtype=np.float64)
    plan = batches(examples, batch_tokens(vocabulary))
    with torch.no_grad():
        for done, batch in enumerate(plan, 1):
            losses = batch_losses(module, [examples[i] for i in batch], device)
            result[batch] = losses.double().cpu().numpy()
            progress.tick(done, len(plan))
    return result
