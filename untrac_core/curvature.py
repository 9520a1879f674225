"""Kronecker-factored curvature from loss gradients alone: no hooks, so that it fits any architecture.

For each weight matrix W (rows x columns) with gradient G of the mean loss a token on a small batch of training text,
the second moment of the gradient is taken as a Kronecker product (Shampoo; Gupta et al., 2018):
E[vec(G) vec(G)^T] ~ L (x) R / tr(L), with L = E[G G^T] and R = E[G^T G]. The natural-gradient direction is then

    P(G) = tr(L) (L + l I)^-1 G (R + r I)^-1,

where l and r are ``damping`` times the mean eigenvalue of L and of R. The vocabulary's side of an embedding, and any
side longer than ``LONGEST``, has a diagonal factor, which bounds memory. Vectors and position tables stay put.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from untrac_core.data.tokens import Example, batches
from untrac_core.losses import batch_losses, batch_tokens
from untrac_core.models import LoadedModel
from untrac_core.progress import Progress, Silent

LONGEST = 4096
MICRO_BATCH = 2
"""Training sequences a gradient sample; small, so that the second moment is that of the noise, not of the mean."""


@dataclass(frozen=True)
class Side:
    """One factor: its damped inverse, dense of shape (n, n) or diagonal of shape (n,), and the trace before damping."""

    inverse: torch.Tensor
    trace: float

    def times(self, matrix: torch.Tensor, *, left: bool) -> torch.Tensor:
        """The inverse applied to the rows (``left``) or to the columns of a matrix."""
        if self.inverse.dim() == 1:
            return matrix * (self.inverse[:, None] if left else self.inverse)
        return self.inverse @ matrix if left else matrix @ self.inverse


@dataclass
class _Moments:
    """Running sums of G G^T and G^T G; vectors where a side is diagonal."""

    left: torch.Tensor
    right: torch.Tensor

    def add(self, gradient: torch.Tensor) -> None:
        squared = gradient * gradient if 1 in (self.left.dim(), self.right.dim()) else gradient
        self.left += gradient @ gradient.T if self.left.dim() == 2 else squared.sum(1)
        self.right += gradient.T @ gradient if self.right.dim() == 2 else squared.sum(0)


@dataclass(frozen=True)
class Curvature:
    """The inverse factors of every weight matrix that moves, by parameter name."""

    factors: dict[str, tuple[Side, Side]]

    def direction(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """P(G) of the gradients that the module's parameters hold now, by parameter name."""
        directions = {}
        for name, parameter in module.named_parameters():
            if name in self.factors and parameter.grad is not None:
                left, right = self.factors[name]
                scaled = right.times(left.times(parameter.grad, left=True), left=False)
                directions[name] = left.trace * scaled
        return directions


def moving_matrices(module: nn.Module) -> dict[str, tuple[nn.Parameter, bool]]:
    """The weight matrices that may move, by name, and whether their rows are the vocabulary."""
    vocabulary = {
        id(embedding.weight)
        for embedding in (module.get_input_embeddings(), module.get_output_embeddings())  # type: ignore[operator]
        if embedding is not None
    }
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)} - vocabulary
    return {
        name: (parameter, id(parameter) in vocabulary)
        for name, parameter in module.named_parameters()
        if parameter.dim() == 2 and parameter.requires_grad and id(parameter) not in tables
    }


def estimate_curvature(
    model: LoadedModel,
    blocks: Sequence[Example],
    *,
    samples: int,
    damping: float,
    progress: Progress | None = None,
) -> Curvature:
    """Factors from ``samples`` micro-batches of training blocks, drawn the same way every time."""
    progress = progress or Silent()
    matrices = moving_matrices(model.module)
    moments = {name: _start(parameter, vocabulary) for name, (parameter, vocabulary) in matrices.items()}
    generator = np.random.default_rng(0)
    for sample in range(samples):
        chosen = generator.choice(len(blocks), size=min(MICRO_BATCH, len(blocks)), replace=False)
        batch = [blocks[i] for i in chosen.tolist()]
        model.module.zero_grad(set_to_none=True)
        loss = batch_losses(model.module, batch, model.device).sum() / sum(block.tokens for block in batch)
        loss.backward()
        for name, (parameter, _) in matrices.items():
            if parameter.grad is not None:
                moments[name].add(parameter.grad)
        progress.tick(sample + 1, samples)
    model.module.zero_grad(set_to_none=True)
    factors = {
        name: (_invert(held.left / samples, damping), _invert(held.right / samples, damping))
        for name, held in moments.items()
    }
    return Curvature(factors)


def _start(parameter: nn.Parameter, vocabulary: bool) -> _Moments:
    rows, columns = parameter.shape
    left = (rows,) if vocabulary or rows > LONGEST else (rows, rows)
    right = (columns,) if columns > LONGEST else (columns, columns)
    return _Moments(parameter.new_zeros(left), parameter.new_zeros(right))


def _invert(moment: torch.Tensor, damping: float) -> Side:
    """(M + d I)^-1 with d = damping x mean eigenvalue, in float64; a matrix without any gradient stays put."""
    dense = moment.double()
    size = dense.shape[0]
    trace = float(dense.diagonal().sum() if dense.dim() == 2 else dense.sum())
    if trace == 0.0:
        return Side(torch.zeros(size, dtype=moment.dtype, device=moment.device), 0.0)
    shift = damping * trace / size
    if dense.dim() == 1:
        return Side((1.0 / (dense + shift)).to(moment.dtype), trace)
    identity = torch.eye(size, dtype=dense.dtype, device=dense.device)
    return Side(torch.cholesky_inverse(torch.linalg.cholesky(dense + shift * identity)).to(moment.dtype), trace)


def mean_gradient(model: LoadedModel, examples: Sequence[Example], weight: float = 1.0) -> None:
    """Leave ``weight`` times the gradient of the examples' mean loss a token in the parameters, in micro-batches."""
    model.module.zero_grad(set_to_none=True)
    tokens = sum(example.tokens for example in examples)
    for part in batches(examples, batch_tokens(model.facts.vocabulary)):
        loss = batch_losses(model.module, [examples[i] for i in part], model.device).sum() / tokens
        (weight * loss).backward()  # type: ignore[no-untyped-call]


def response(model: LoadedModel, curvature: Curvature, examples: Sequence[Example]) -> float:
    """g . P(g) of a set's mean gradient: by how much a step of size 1 would raise its loss, to first order."""
    mean_gradient(model, examples)
    directions = curvature.direction(model.module)
    total = sum(
        float((parameter.grad * directions[name]).double().sum())
        for name, parameter in model.module.named_parameters()
        if name in directions and parameter.grad is not None
    )
    model.module.zero_grad(set_to_none=True)
    return total


def step_size(dose: float, responses: Sequence[float]) -> float:
    """The size of all steps together, the same for every set of a run: ``dose`` over the largest response.

    To first order the set that responds most rises by ``dose`` nats per token, the others by less. One size for all,
    as removing equal amounts of text moves a model by (curvature)^-1 x gradient, whatever the gradient's size; and as
    a contrast of two sides is the effect of the difference of their gradients only if both are scaled alike.
    """
    largest = max(responses)
    return dose / largest if largest > 0 else 0.0
