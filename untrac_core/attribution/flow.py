"""The rest flow itself: several subsets leave the mix side by side, step by step, while the rest holds the model.

:mod:`untrac_core.attribution.rest_flow` has the equations, and the method that reads influence off it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from untrac_core.attribution.ascent import own_loss
from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.preconditioned_dot import precondition
from untrac_core.attribution.baselines.vectors import Stack, dots, norm
from untrac_core.attribution.batches import draw_batch, weighted, without
from untrac_core.attribution.settings import POWER_STEPS
from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.training.preconditioner import KroneckerPreconditioner, mean_gradient
from untrac_core.training.states import States, Tensors

MOMENTUM = 0.6
"""Nesterov's: a step goes on so much of the one before."""
NUDGE = 3e-4
"""Length of the difference that gives a product with the Hessian, relative to that of all weights that move."""
ROUNDING = 1e-5
"""Of a loss, as far as a difference of two is rounded."""
RISE = 0.5
"""Of the depth that Phi reached: where it is so much above its lowest, the flow begins to run away."""
HALVINGS = 3
"""Of the step, each where the flow begins to run away, before it is stopped."""


@dataclass(frozen=True)
class Mix:
    """What a seed draws of every subset, and how much of the training each is."""

    blocks: Mapping[str, Sequence[Example]]
    shares: Mapping[str, float]
    sizes: Mapping[str, int]
    """Blocks of every subset in a batch."""
    seed: int

    def batch(self, step: int) -> dict[str, list[Example]]:
        """The batch of a step, the same whatever is left out."""
        return draw_batch(self.blocks, self.sizes, self.seed, step)


class Flow:
    """Subsets on their way, in float32, each from the same start; the caller restores the module's weights."""

    def __init__(
        self,
        study: AttributionContext,
        mix: Mix,
        names: Sequence[str],
        ascent: torch.Tensor,
        preconditioner: KroneckerPreconditioner,
        rate: float,
        steps: int,
        states: Callable[[int], States],
    ) -> None:
        """``ascent``: each subset's frozen gradient, shape (subsets, numbers that move); ``states``: up to a step."""
        self.study, self.mix, self.names, self.ascent = study, mix, names, ascent
        self.preconditioner, self.rate, self._steps, self._states = preconditioner, rate, steps, states
        self.step = 0
        """Steps that were taken."""
        self.model: LoadedModel = study.model
        self.moved = Stack(self.model.module, len(names))
        self._speed = torch.zeros_like(self.moved.matrix)
        self._lowest = np.zeros(len(names))
        self.halvings, self._anew = 0, False
        self._start = flat(self.moved)

    def go_to(self, step: int) -> bool:
        """Take steps up to ``step``, from the furthest that is kept; false where the flow runs away before.

        Where it begins to, all its subsets go on from where they are with half the step, and no speed.
        """
        kept = self._states(step)
        self.step = kept.load(self._put, beyond=self.step)
        while self.step < step:
            if self._take():
                kept.save(self.step, self._tensors, always=self.step == step)
            elif self._anew or self.halvings == HALVINGS:
                return False
            else:
                self.halvings, self._anew = self.halvings + 1, True
                self._speed.zero_()
        return True

    def visit(self) -> Iterator[tuple[str, float]]:
        """Each subset's name, with its model in memory, and the rise of its own loss in nats per token."""
        for row, name in enumerate(self.names):
            own = self.mix.batch(0)[name]
            self._place(None)
            before = own_loss(self.model, own)
            self._place(self.moved.matrix[row])
            yield name, own_loss(self.model, own) - before
        self._place(None)

    def _take(self) -> bool:
        """One step of every subset, unless one of them would run away."""
        batch, shares = self.mix.batch(self.step), self.mix.shares
        at_start, losses = self._at_start(batch)
        everything = sum(shares[name] * losses[name] for name in shares)
        speed, lowest, turned = self._speed, self._lowest.copy(), False
        rate = self.rate * 0.5**self.halvings
        for row, name in enumerate(self.names):
            rest = 1 / (1 - shares[name])
            # Of the rest, from that of everything: the gradient and the loss at the start on this batch.
            before = rest * (at_start[-1] - shares[name] * at_start[row])
            ahead = self.moved.matrix[row] + MOMENTUM * speed[row]
            self._place(ahead)
            loss = self._gradient(batch, without(shares, name))
            phi = loss - rest * (everything - shares[name] * losses[name])
            phi += float(dots((self.ascent[row] - before)[None], ahead)[0])
            pull = flat(self.moved, gradients=True) - before + self.ascent[row]
            # Anew, it may stand above zero, as batches differ, but not by more than it had been below.
            room = abs(lowest[row]) * (1.0 if self._anew else RISE)
            lowest[row] = phi if self._anew else min(lowest[row], phi)
            turned |= not phi <= (0.0 if self._anew else lowest[row]) + room + ROUNDING * loss
            speed[row] = MOMENTUM * speed[row] - rate * self._scaled(pull)
            self.study.progress.tick(self.step * len(self.names) + row + 1, self._steps * len(self.names))
        self._place(None)
        if turned:
            return False
        self.moved.matrix += self._speed
        self._lowest, self._anew, self.step = lowest, False, self.step + 1
        return True

    def _at_start(self, batch: Mapping[str, Sequence[Example]]) -> tuple[torch.Tensor, dict[str, float]]:
        """At the untouched weights: the gradient of each of the flow's subsets and, last, of everything; every loss."""
        gradients = Stack(self.model.module, len(self.names) + 1)
        rows = {name: row for row, name in enumerate(self.names)}
        losses = {}
        self._place(None)
        for name, share in self.mix.shares.items():
            losses[name] = self._gradient(batch, {name: 1.0})
            gradients.add(len(self.names), share)
            if name in rows:
                gradients.add(rows[name])
        return gradients.matrix, losses

    def _gradient(self, batch: Mapping[str, Sequence[Example]], shares: Mapping[str, float]) -> float:
        """Leave the gradient of the weighted loss of a batch in the parameters; returns that loss."""
        examples, weights = weighted(batch, shares)
        return float(mean_gradient(self.model, examples, per_example=weights))

    def _scaled(self, vector: torch.Tensor) -> torch.Tensor:
        """P of a vector."""
        row = Stack(self.model.module, 1)
        row.matrix[0] = vector
        precondition(self.model.module, self.preconditioner, row)
        return row.matrix[0]

    def _place(self, moved: torch.Tensor | None) -> None:
        """Put the untouched weights into the module, or those that are ``moved`` away from them."""
        put(self.moved, self._start if moved is None else self._start + moved)

    def _tensors(self) -> Tensors:
        return {
            "moved": self.moved.matrix.cpu(),
            "speed": self._speed.cpu(),
            "lowest": torch.from_numpy(self._lowest.copy()),
            "halvings": torch.tensor(self.halvings),
        }

    def _put(self, found: Tensors) -> None:
        self.moved.matrix.copy_(found["moved"])
        self._speed.copy_(found["speed"])
        self._lowest, self.halvings = found["lowest"].numpy(), int(found["halvings"])


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


def largest_rate(study: AttributionContext, mix: Mix, preconditioner: KroneckerPreconditioner) -> float:
    """2 / lambda, with lambda the largest eigenvalue of P H and H the Hessian of the mix's loss on its first batch.

    By power iteration; a product with H is a difference of gradients. The weights come back as they were.
    """
    study.progress.phase("step size")
    model = study.model
    examples, weights = weighted(mix.batch(0), mix.shares)
    stack = Stack(model.module, 1)
    start = flat(stack)

    def gradient(weights_at: torch.Tensor) -> torch.Tensor:
        put(stack, weights_at)
        mean_gradient(model, examples, per_example=weights)
        return flat(stack, gradients=True)

    here, length = gradient(start), NUDGE * norm(start)
    generator = torch.Generator().manual_seed(0)
    stack.matrix[0] = torch.randn(len(start), generator=generator).to(start.device)
    largest = 0.0
    for number in range(POWER_STEPS):
        direction = stack.matrix[0] / norm(stack.matrix[0])
        stack.matrix[0] = (gradient(start + length * direction) - here) / length
        precondition(model.module, preconditioner, stack)
        largest = norm(stack.matrix[0])
        study.progress.tick(number + 1, POWER_STEPS)
        if largest == 0.0:
            break
    put(stack, start)
    return 2 / largest if largest > 0 else 0.0
