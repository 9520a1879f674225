"""The demo's validation: a recipe small enough that eight subsets and two seeds take a few minutes on two cores."""

from __future__ import annotations

from untrac_core.demo.request import demo_prompts, demo_subsets
from untrac_core.specs import Training, ValidateSpec

TRAINING = Training(hidden=64, layers=2, heads=4, steps=120, batch=16)
"""About two thirds of a pass over the texts."""
BLOCKS = 32
ITEMS = 48
"""Blocks of a subset and items of a side that the methods look at."""


def demo_validation() -> ValidateSpec:
    """Retrain on the demo's texts without each subset, and ask the usual methods."""
    return ValidateSpec(
        name="Demo: can the estimate be trusted?",
        training=TRAINING,
        prompts=[prompts.model_copy(update={"limit": ITEMS}) for prompts in demo_prompts()],
        subsets=demo_subsets(limit=None),
        blocks=BLOCKS,
    )
