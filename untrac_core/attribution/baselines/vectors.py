"""Gradients of the training subsets, read a micro-batch at a time, and which parameters move meanwhile.

A gradient lives in the parameters' own ``grad``; there is never more than one of a text besides the rows of a
:class:`untrac_core.training.vectors.Stack`, so memory is that of the rows, whatever the number of texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from untrac_core.attribution.base import AttributionContext
from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.specs import Trainable
from untrac_core.training.preconditioner import mean_gradient


def gradient_parts(study: AttributionContext, examples: Sequence[Example]) -> Iterator[int]:
    """Leave the gradient of the examples' mean loss per token in the parameters: in parts, whose sum it is.

    Yields after each part how many examples it covered. What is linear in a gradient is so read off as it comes, and
    whoever waits hears of each part.
    """
    model = study.model
    tokens = sum(example.tokens for example in examples)
    for batch in batches(examples, batch_tokens(model.facts.vocab_size)):
        chosen = [examples[i] for i in batch]
        mean_gradient(model, chosen, sum(example.tokens for example in chosen) / tokens)
        yield len(chosen)


@contextmanager
def trainable_only(study: AttributionContext, trainable: Trainable) -> Iterator[None]:
    """Inside it, exactly the parameters of ``trainable`` have gradients; afterwards those that had them before."""
    module = study.model.module
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        study.set_trainable(trainable)
        yield
    finally:
        module.zero_grad(set_to_none=True)
        for parameter, moved in before:
            parameter.requires_grad_(moved)
