"""Which weights an unlearning may move: by the ratio of gradients (GRIN), by the gradient alone, or at random.

The last two are controls. On a small model the ratio can choose no better than chance: rows of rare words have next to
no gradient from the retain set, so that they win every ratio.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

EPSILON_AT = 0.05
"""The quantile of all |gradients| from the retain set that is added below the ratio."""
SAMPLED = 1_000_000
"""Of more values than this, a quantile is that of so many drawn at random."""
APART = 0x6D61736B
"""Keeps the random mask's draws from being those of the noise, which then would be larger where the mask is."""
TINY = torch.finfo(torch.float32).tiny
Gradients = Mapping[str, torch.Tensor]


def gradient_ratios(forget: Gradients, retain: Gradients) -> dict[str, torch.Tensor]:
    """GRIN's score: |g_f| / (|g_r| + e), e the 5th percentile of all |g_r| (Anjarlekar and Pombra, 2025)."""
    epsilon = quantile({name: gradient.abs() for name, gradient in retain.items()}, EPSILON_AT)
    seed_noise = max(epsilon, TINY)  # where most of the retain set has no gradient at all
    return {name: forget[name].abs() / (retain[name].abs() + seed_noise) for name in forget}


def masks(kind: str, forget: Gradients, retain: Gradients, share: float, seed: int) -> dict[str, torch.Tensor]:
    """For every parameter which of its weights may move: the ``share`` of all weights with the highest scores.

    One threshold for the whole model, not one per layer. ``kind``: ``gradient-ratio``, ``gradient`` or ``random``. A
    weight that the forget set has no gradient at holds nothing of it: where more than the rest are such, fewer move.
    """
    if kind == "random":
        generator = torch.Generator().manual_seed(seed ^ APART)
        scores = {name: torch.rand(g.shape, generator=generator).to(g.device) for name, g in forget.items()}
    elif kind == "gradient":
        scores = {name: gradient.abs() for name, gradient in forget.items()}
    else:
        scores = gradient_ratios(forget, retain)
    threshold = quantile(scores, 1.0 - share)
    lowest = max(threshold, -1.0 if kind == "random" else TINY)
    return {name: score >= lowest for name, score in scores.items()}


def quantile(values: Gradients, at: float) -> float:
    """A quantile of all values together; of more than :data:`SAMPLED`, of so many drawn at random, always the same."""
    total = sum(value.numel() for value in values.values())
    if total <= SAMPLED:
        every = torch.cat([value.flatten().float().cpu() for value in values.values()])
    else:
        draw = np.random.default_rng(0)
        parts = []
        for value in values.values():
            count = max(1, round(SAMPLED * value.numel() / total))
            chosen = torch.from_numpy(draw.integers(0, value.numel(), count)).to(value.device)
            parts.append(value.flatten()[chosen].float().cpu())
        every = torch.cat(parts)
    place = min(len(every), max(1, round(at * len(every)) + 1))
    return float(every.kthvalue(place).values)
