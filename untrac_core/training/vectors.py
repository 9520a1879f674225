"""Vectors as long as the parameters that move: rows of a matrix, their products, and P of each."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from untrac_core.training.preconditioner import KroneckerPreconditioner

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
    """Vectors over the parameters that move, one per row of ``matrix``: of shape (rows, numbers that move).

    float32, and float64 where the parameters are.
    """

    def __init__(self, module: nn.Module, rows: int) -> None:
        self.parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        first = next(iter(self.parameters.values()))
        dtype = torch.promote_types(torch.float32, first.dtype)
        self.matrix = torch.zeros(rows, vector_length(module), dtype=dtype, device=first.device)
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


def flat(stack: Stack, *, gradients: bool = False) -> torch.Tensor:
    """A copy of the parameters that move, or of their gradients, as one vector."""
    parts = []
    for _, parameter, _ in stack.views(stack.matrix[0]):
        part = parameter.grad if gradients else parameter.detach()
        parts.append(torch.zeros_like(parameter).reshape(-1) if part is None else part.reshape(-1))
    return torch.cat(parts)


@torch.no_grad()
def put(stack: Stack, weights: torch.Tensor) -> None:
    """One vector into the parameters that move."""
    for _, parameter, part in stack.views(weights):
        parameter.copy_(part)


def precondition(module: nn.Module, preconditioner: KroneckerPreconditioner, stack: Stack) -> None:
    """P(g) in the place of every row g, one weight matrix after the other; whatever has no factors stays put."""
    for row in stack.matrix:
        for _, parameter, part in stack.views(row):
            parameter.grad = part.clone()
        row.zero_()
        parts = {name: part for name, _, part in stack.views(row)}
        for name, _, direction in preconditioner.preconditioned_gradients(module):
            parts[name].copy_(direction)
        module.zero_grad(set_to_none=True)
