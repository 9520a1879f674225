"""The rest flow itself: several subsets leave the mix side by side, step by step, while the rest holds the model.

:mod:`untrac_core.attribution.rest_flow` has the equations, and the method that reads influence off it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.progress import Progress, Silent
from untrac_core.training.batches import POWER_STEPS, draw_batch, weighted, without
from untrac_core.training.preconditioner import KroneckerPreconditioner, mean_gradient, own_loss
from untrac_core.training.states import States, Tensors
from untrac_core.training.vectors import Stack, dots, flat, norm, precondition, put

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
    """Subsets on their way, each from the same start; the caller restores the module's weights."""

    def __init__(
        self,
        model: LoadedModel,
        mix: Mix,
        names: Sequence[str],
        ascent: torch.Tensor,
        preconditioner: KroneckerPreconditioner,
        rate: float,
        steps: int,
        states: Callable[[int], States] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """``ascent``: each subset's frozen gradient, shape (subsets, numbers that move); ``states``: those kept up to a
        step, none without."""
        self.model, self.mix, self.names, self.ascent = model, mix, names, ascent
        self.preconditioner, self.rate, self._steps = preconditioner, rate, steps
        self._states = states or (lambda step: States(None, []))
        self._progress = progress or Silent()
        self.step = 0
        """Steps that were taken."""
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
        self.step = kept.load(self.put, beyond=self.step)
        while self.step < step:
            if self._take():
                kept.save(self.step, self.tensors, always=self.step == step)
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
            self.place(None)
            before = own_loss(self.model, own)
            self.place(self.moved.matrix[row])
            yield name, own_loss(self.model, own) - before
        self.place(None)

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
            self.place(ahead)
            loss = self._gradient(batch, without(shares, name))
            phi = loss - rest * (everything - shares[name] * losses[name])
            phi += float(dots((self.ascent[row] - before)[None], ahead)[0])
            pull = flat(self.moved, gradients=True) - before + self.ascent[row]
            # Anew, it may stand above zero, as batches differ, but not by more than it had been below.
            room = abs(lowest[row]) * (1.0 if self._anew else RISE)
            lowest[row] = phi if self._anew else min(lowest[row], phi)
            turned |= not phi <= (0.0 if self._anew else lowest[row]) + room + ROUNDING * loss
            speed[row] = MOMENTUM * speed[row] - rate * self._scaled(pull)
            self._progress.tick(self.step * len(self.names) + row + 1, self._steps * len(self.names))
        self.place(None)
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
        self.place(None)
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

    def place(self, moved: torch.Tensor | None) -> None:
        """Put the untouched weights into the module, or those that are ``moved`` away from them."""
        put(self.moved, self._start if moved is None else self._start + moved)

    def tensors(self) -> Tensors:
        """All that a flow goes on from."""
        return {
            "moved": self.moved.matrix.cpu(),
            "speed": self._speed.cpu(),
            "lowest": torch.from_numpy(self._lowest.copy()),
            "halvings": torch.tensor(self.halvings),
        }

    def put(self, found: Tensors) -> None:
        """Go on from there."""
        self.moved.matrix.copy_(found["moved"])
        self._speed.copy_(found["speed"])
        self._lowest, self.halvings = found["lowest"].numpy(), int(found["halvings"])


def largest_rate(model: LoadedModel, mix: Mix, preconditioner: KroneckerPreconditioner, progress: Progress) -> float:
    """2 / lambda, with lambda the largest eigenvalue of P H and H the Hessian of the mix's loss on its first batch.

    By power iteration; a product with H is a difference of gradients. The weights come back as they were.
    """
    progress.phase("step size")
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
        progress.tick(number + 1, POWER_STEPS)
        if largest == 0.0:
            break
    put(stack, start)
    return 2 / largest if largest > 0 else 0.0
