"""Products of the loss's Hessian with vectors, by differentiating twice (Pearlmutter, Neural Computation 1994)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrac_core.attribution.base import AttributionContext
from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.models.losses import batch_losses
from untrac_core.training.vectors import Stack, norm

LESS = 2
"""A graph that is differentiated twice takes that many times the memory, so its batches are smaller."""


def hessian_products(
    study: AttributionContext, examples: Sequence[Example], given: Stack, rows: slice, out: torch.Tensor
) -> None:
    """Write H v into ``out``, of shape (rows, length), for the chosen rows v of ``given``.

    H is the Hessian of the examples' mean loss per token over the parameters that move. Fused attention cannot be
    differentiated twice, so attention is computed plainly. Half precision has no range for this: bfloat16 has.
    """
    model = study.model
    dtype = torch.bfloat16 if model.dtype == torch.float16 else model.dtype
    parameters = list(given.parameters.values())
    tokens = sum(example.tokens for example in examples)
    out.zero_()
    for batch in batches(examples, max(1, batch_tokens(model.facts.vocab_size) // LESS)):
        with sdpa_kernel(SDPBackend.MATH):
            losses = batch_losses(model.module, [examples[i] for i in batch], model.device, dtype)
        slopes = torch.autograd.grad(losses.sum() / tokens, parameters, create_graph=True, allow_unused=True)
        curved = [number for number, slope in enumerate(slopes) if slope is not None and slope.requires_grad]
        vectors = given.matrix[rows]
        for row, vector in enumerate(vectors):
            parts = [part for _, _, part in given.views(vector)]
            products = torch.autograd.grad(
                [slopes[number] for number in curved],
                parameters,
                [parts[number] for number in curved],
                retain_graph=row + 1 < len(vectors),
                allow_unused=True,
            )
            for (_, _, held), product in zip(given.views(out[row]), products, strict=True):
                if product is not None:
                    held.add_(product)


def random_vector(length: int, device: torch.device) -> torch.Tensor:
    """A vector of length one in a direction that is random once and for all, the same on every device."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(length, generator=generator, dtype=torch.float32).to(device)
    return vector / norm(vector)


def draw_blocks(study: AttributionContext, count: int, generator: np.random.Generator) -> list[Example]:
    """``count`` training blocks, all different, or all that there are."""
    blocks = study.all_blocks
    return [blocks[i] for i in generator.choice(len(blocks), size=min(count, len(blocks)), replace=False).tolist()]
