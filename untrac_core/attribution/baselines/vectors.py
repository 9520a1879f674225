"""Vectors as long as the parameters that move, and gradients read a micro-batch at a time into or against them.

A gradient lives in the parameters' own ``grad``; there is never more than one of a text besides the rows of a
:class:`Stack`, so memory is that of the rows, whatever the number of texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from untrac_core.attribution.base import AttributionContext
from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.specs import Trainable
from untrac_core.training.preconditioner import mean_gradient

PIECE = 2**16
"""Numbers that are summed in float32 before the sum goes on in float64."""
FLOAT_BYTES = 4
Numbers = npt.NDArray[np.float64]


def vector_length(module: nn.Module) -> int:
    """How many numbers move."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def rows_that_fit(module: nn.Module, budget_mb: float, *, held: int, each: int = 1) -> int:
    """How many rows of a stack a budget (2^20 bytes) has room for, and at least one.

    ``held``: vectors that are in memory besides, the gradient of the text at hand among them; ``each``: vectors that
    a row needs, itself among them.
    """
    vectors = int(budget_mb * 2**20) // (FLOAT_BYTES * vector_length(module))
    return max(1, (vectors - held) // each)


class Stack:
    """Vectors over the parameters that move, one per row of ``matrix``: float32 of shape (rows, numbers that move)."""

    def __init__(self, module: nn.Module, rows: int) -> None:
        self.parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        length, device = vector_length(module), next(iter(self.parameters.values())).device
        self.matrix = torch.zeros(rows, length, dtype=torch.float32, device=device)
        self.rows = rows

    def views(self, vector: torch.Tensor) -> Iterator[tuple[str, nn.Parameter, torch.Tensor]]:
        """Each parameter with its name and its own part of a vector, in its shape."""
        start = 0
        for name, parameter in self.parameters.items():
            stop = start + parameter.numel()
            yield name, parameter, vector[start:stop].view_as(parameter)
            start = stop

    def add(self, row: int, weight: float = 1.0) -> None:
        """Add ``weight`` times the gradient that the parameters hold now to a row."""
        for _, parameter, part in self.views(self.matrix[row]):
            if parameter.grad is not None:
                part.add_(parameter.grad, alpha=weight)

    def products(self) -> Numbers:
        """Dot products of every row with the gradient that the parameters hold now, of shape (rows,)."""
        total, start = np.zeros(self.rows), 0
        for parameter in self.parameters.values():
            stop = start + parameter.numel()
            if parameter.grad is not None:
                total += dots(self.matrix[:, start:stop], parameter.grad.reshape(-1))
            start = stop
        return total


def dots(rows: torch.Tensor, vector: torch.Tensor) -> Numbers:
    """Dot products of rows with a vector, of shape (rows,): float32 within a :data:`PIECE`, float64 beyond."""
    total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    for start in range(0, len(vector), PIECE):
        piece = slice(start, start + PIECE)
        total += (rows[:, piece] @ vector[piece]).double()
    return total.cpu().numpy()


def norm(vector: torch.Tensor) -> float:
    """Euclidean length."""
    return math.sqrt(dots(vector[None], vector)[0])


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
