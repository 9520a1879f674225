"""Kronecker-factored curvature from loss gradients alone: no hooks, so that it fits any architecture.

For each weight matrix W (rows x columns) with gradient G of the mean loss per token on a small batch of training text,
the second moment of the gradient is taken as a Kronecker product (Shampoo; Gupta et al., 2018):
E[vec(G) vec(G)^T] ~ L (x) R / tr(L), with L = E[G G^T] and R = E[G^T G]. The natural-gradient direction is then

    P(G) = tr(L) (L + l I)^-1 G (R + r I)^-1,

where l and r are ``damping`` times the mean eigenvalue of L and of R. The vocabulary's side of an embedding, and any
side longer than ``LONGEST``, has a diagonal factor, which bounds memory. Vectors and position tables stay put.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import batch_losses, example_losses
from untrac_core.models.trainable import moving_matrices
from untrac_core.progress import Progress, Silent
from untrac_core.specs.catalogue import LONGEST
from untrac_core.training.batches import MICRO_BATCH
from untrac_core.training.factors import FactorCache, FactorSums

START_SCALE = 2.0**16
"""Of a float16 loss, first tried; a mean loss per token over many tokens has tiny gradients at each."""


@dataclass(frozen=True)
class KroneckerFactor:
    """One factor: its damped inverse, dense of shape (n, n) or diagonal of shape (n,), and the trace before damping."""

    inverse: torch.Tensor
    trace: float

    def times(self, matrix: torch.Tensor, *, left: bool) -> torch.Tensor:
        """The inverse applied to the rows (``left``) or to the columns of a matrix."""
        if self.inverse.dim() == 1:
            return matrix * (self.inverse[:, None] if left else self.inverse)
        return self.inverse @ matrix if left else matrix @ self.inverse


@dataclass(frozen=True)
class KroneckerPreconditioner:
    """The inverse factors of every weight matrix that moves, by parameter name."""

    factors: dict[str, tuple[KroneckerFactor, KroneckerFactor]]

    def preconditioned_gradients(self, module: nn.Module) -> Iterator[tuple[str, nn.Parameter, torch.Tensor]]:
        """P(G) of the gradients that the module's parameters hold now, one parameter after the other."""
        for name, parameter in module.named_parameters():
            if name in self.factors and parameter.grad is not None:
                left, right = self.factors[name]
                scaled = right.times(left.times(parameter.grad, left=True), left=False)
                yield name, parameter, left.trace * scaled


def estimate_curvature(
    model: LoadedModel,
    blocks: Sequence[Example],
    *,
    samples: int,
    damping: float,
    progress: Progress | None = None,
    kept: FactorCache | None = None,
) -> KroneckerPreconditioner:
    """Factors from ``samples`` micro-batches of training blocks, drawn the same way every time.

    ``kept``: where the sums lie between runs. A pass that was stopped goes on there and ends with the same bits.
    """
    progress, kept = progress or Silent(), kept or FactorCache(None, "")
    matrices = moving_matrices(model.module)
    sums = {name: _start(parameter, vocabulary) for name, (parameter, vocabulary) in matrices.items()}
    done = kept.load(sums)
    for sample, chosen in enumerate(micro_batches(blocks, samples)):
        if sample < done:
            continue
        mean_gradient(model, chosen, together=True)
        for name, (parameter, _) in matrices.items():
            if parameter.grad is not None:
                sums[name].add(parameter.grad)
        kept.save(sums, sample + 1, last=sample + 1 == samples)
        progress.tick(sample + 1, samples)
    model.module.zero_grad(set_to_none=True)
    factors = {
        name: (_invert(held.left / samples, damping), _invert(held.right / samples, damping))
        for name, held in sums.items()
    }
    return KroneckerPreconditioner(factors)


def micro_batches(blocks: Sequence[Example], samples: int) -> Iterator[list[Example]]:
    """Small random batches of training blocks, the same ones every time."""
    generator = np.random.default_rng(0)
    for _ in range(samples):
        chosen = generator.choice(len(blocks), size=min(MICRO_BATCH, len(blocks)), replace=False)
        yield [blocks[i] for i in chosen.tolist()]


def _start(parameter: nn.Parameter, vocabulary: bool) -> FactorSums:
    rows, columns = parameter.shape
    left = (rows,) if vocabulary or rows > LONGEST else (rows, rows)
    right = (columns,) if columns > LONGEST else (columns, columns)
    return FactorSums(parameter.new_zeros(left), parameter.new_zeros(right))


def _invert(moment: torch.Tensor, damping: float) -> KroneckerFactor:
    """(M + d I)^-1 with d = damping x mean eigenvalue, in float64; a matrix without any gradient stays put."""
    dense = moment.double()
    size = dense.shape[0]
    trace = float(dense.diagonal().sum() if dense.dim() == 2 else dense.sum())
    if trace == 0.0:
        return KroneckerFactor(torch.zeros(size, dtype=moment.dtype, device=moment.device), 0.0)
    shift = damping * trace / size
    if dense.dim() == 1:
        return KroneckerFactor((1.0 / (dense + shift)).to(moment.dtype), trace)
    identity = torch.eye(size, dtype=dense.dtype, device=dense.device)
    return KroneckerFactor(
        torch.cholesky_inverse(torch.linalg.cholesky(dense + shift * identity)).to(moment.dtype), trace
    )


def mean_gradient(
    model: LoadedModel,
    examples: Sequence[Example],
    weight: float = 1.0,
    *,
    together: bool = False,
    per_example: Sequence[float] | None = None,
) -> torch.Tensor:
    """Leave ``weight`` times the gradient of the examples' mean loss per token in the parameters, in micro-batches.

    Returns that mean loss, a scalar on the model's device.

    ``together``: as one batch in the order given, where that fits. ``per_example``: what the summed loss of each
    example counts, where that is not the same for all. float16 has little range below 1: the loss is
    scaled up for the way back, by less where that overflows, and the gradients, which are float32, down again.
    """
    most = batch_tokens(model.facts.vocab_size)
    plan = batches(examples, most)
    if together and len(examples) * max(example.size for example in examples) <= most:
        plan = [list(range(len(examples)))]
    if model.dtype != torch.float16:
        return _accumulate(model, examples, plan, weight, per_example)
    scale = START_SCALE
    while True:
        loss = _accumulate(model, examples, plan, scale, per_example)
        gradients = [parameter.grad for parameter in model.module.parameters() if parameter.grad is not None]
        if scale <= 1.0 or all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
            break
        scale /= 16.0
    for gradient in gradients:
        gradient.mul_(weight / scale)
    return loss


def _accumulate(
    model: LoadedModel,
    examples: Sequence[Example],
    plan: list[list[int]],
    weight: float,
    per_example: Sequence[float] | None,
) -> torch.Tensor:
    model.module.zero_grad(set_to_none=True)
    total = torch.zeros((), device=model.device)
    tokens = sum(example.tokens for example in examples)
    for part in plan:
        losses = batch_losses(model.module, [examples[i] for i in part], model.device, model.dtype)
        if per_example is None:
            mean = losses.sum() / tokens
        else:
            mean = losses @ losses.new_tensor([per_example[i] for i in part])
        (weight * mean).backward()  # type: ignore[no-untyped-call]
        total += mean.detach()
    return total


def own_loss(model: LoadedModel, examples: Sequence[Example]) -> float:
    """Loss of a set in nats per token."""
    losses = example_losses(model.module, examples, model.device, model.facts.vocab_size, dtype=model.dtype)
    return float(losses.sum() / sum(example.tokens for example in examples))


def quadratic_form(model: LoadedModel, preconditioner: KroneckerPreconditioner, examples: Sequence[Example]) -> float:
    """g . P(g) of a set's mean gradient: by how much a step of size 1 would raise its loss, to first order."""
    mean_gradient(model, examples)
    total = 0.0
    for _, parameter, direction in preconditioner.preconditioned_gradients(model.module):
        if parameter.grad is not None:
            total += float((parameter.grad * direction).double().sum())
    model.module.zero_grad(set_to_none=True)
    return total


def step_size(loss_increase: float, quadratic_forms: Sequence[float]) -> float:
    """The size of all steps together, the same for every set of a run: ``loss_increase`` over the largest response.

    To first order the set that responds most rises by ``loss_increase`` nats per token, the others by less. One size
    for all, as removing equal amounts of text moves a model by (curvature)^-1 x gradient, whatever the gradient's
    size; and as a contrast of two sides is the effect of the difference of their gradients only if both are scaled
    alike."""
    largest = max(quadratic_forms)
    return loss_increase / largest if largest > 0 else 0.0
