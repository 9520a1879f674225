"""The one unlearning loop: climb a set's loss, watch other losses on the way, stop in time.

Equation (2) of Isonuma and Titov (ACL 2024): theta_i = theta_(i-1) + eta * grad L(z_i, theta_(i-1)), by any optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from untrac_core.attribution.settings import AscentSettings, evaluation_steps, plan_steps
from untrac_core.data.tokens import Example
from untrac_core.models.dropout import dropout_by_seed
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import collapse_loss
from untrac_core.progress import Progress, Silent
from untrac_core.training.preconditioner import KroneckerPreconditioner, mean_gradient, own_loss


@dataclass(frozen=True)
class PreconditionedStep:
    """The curvature, and how far all steps of an ascent go together
    (:func:`untrac_core.training.preconditioner.step_size`)."""

    preconditioner: KroneckerPreconditioner
    size: float


@dataclass(frozen=True)
class Point:
    """One evaluation on the way: ``losses`` are whatever the watcher returned; ``own`` is the set's loss per token."""

    step: int
    own: float
    losses: np.ndarray


@dataclass(frozen=True)
class Trajectory:
    """The kept points, first the one before any step, and why the ascent ended."""

    points: list[Point]
    ended: str
    collapsed: bool


def ascend(
    model: LoadedModel,
    examples: Sequence[Example],
    settings: AscentSettings,
    watch: Callable[[], np.ndarray],
    *,
    before: Point,
    scaled: PreconditionedStep | None = None,
    direction: float = 1.0,
    order_seed: int = 0,
    progress: Progress | None = None,
    until: int | None = None,
) -> Trajectory:
    """Climb (``direction`` 1) or descend (-1) the loss of ``examples``, in place; the caller restores the weights.

    ``examples`` are the drawn ones; ``before`` holds their loss and the watched losses at the start. Ends after the
    planned steps, or at the first evaluation at which the loss increase exceeds ``max_loss_increase`` or the model has
    collapsed; a point beyond ``max_loss_increase`` is not kept unless it is the first. With ``past_collapse`` it goes
    on as long as losses are numbers. Dropout, where the settings have it, has masks by ``order_seed`` and step.

    ``until``: take the steps up to this one alone and evaluate after it, for an ascent that has been there before.
    """
    progress = progress or Silent()
    steps = plan_steps(len(examples), settings)
    wanted = set(evaluation_steps(steps, settings.eval_points)) if until is None else {until}
    stepper = _stepper(model.module, settings, scaled, steps)
    stream = _batches(len(examples), settings.batch_size, order_seed)
    ceiling = collapse_loss(before.own, model.facts.vocab_size)
    points, collapse = [before], ""
    for step in range(1, (until or steps) + 1):
        # Optimisers descend: minus the loss climbs it.
        batch = [examples[i] for i in next(stream)]
        with dropout_by_seed(model.module, model.device, (order_seed, step)) if settings.dropout else nullcontext():
            mean_gradient(model, batch, weight=-direction)
        stepper.step()
        progress.tick(step, steps)
        if step not in wanted:
            continue
        own, eval_sets = own_loss(model, examples), watch()
        finite = math.isfinite(own) and bool(np.isfinite(eval_sets).all())
        if not finite or (own >= ceiling and not collapse):
            collapse = f"collapsed at step {step}: own loss {own:.2f} nats per token"
        if not finite or (collapse and not settings.past_collapse):
            points.append(Point(step, own, eval_sets))
            return Trajectory(points, collapse, True)
        if settings.max_loss_increase is not None and own - before.own > settings.max_loss_increase and len(points) > 1:
            ended = f"stopped before step {step}: loss increase over {settings.max_loss_increase:g}"
            return Trajectory(points, collapse or ended, bool(collapse))
        points.append(Point(step, own, eval_sets))
    ended = f"{collapse}; it went on to the end" if collapse else f"all {steps} steps"
    return Trajectory(points, ended, bool(collapse))


class PreconditionedSGD:
    """Moves the weight matrices against their curvature-scaled gradient; the rest stays put."""

    def __init__(self, module: nn.Module, preconditioner: KroneckerPreconditioner, rate: float) -> None:
        self.module, self.preconditioner, self.rate = module, preconditioner, rate

    @torch.no_grad()
    def step(self) -> None:
        """One step of size ``rate``."""
        for _, parameter, direction in self.preconditioner.preconditioned_gradients(self.module):
            parameter.add_(direction, alpha=-self.rate)


def _stepper(
    module: nn.Module, settings: AscentSettings, scaled: PreconditionedStep | None, steps: int
) -> torch.optim.Optimizer | PreconditionedSGD:
    if settings.optimizer == "kronecker":
        if scaled is None:
            raise ValueError("a kronecker ascent needs its curvature and step size")
        return PreconditionedSGD(module, scaled.preconditioner, scaled.size / steps)
    if settings.learning_rate is None:
        raise ValueError("adam and sgd need a learning rate")
    trainable_parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(trainable_parameters, lr=settings.learning_rate)
    # As in the paper: constant rate, betas .9 and .999, no weight decay, no clipping.
    return torch.optim.Adam(trainable_parameters, lr=settings.learning_rate)


def _batches(count: int, batch: int | None, seed: int) -> Iterator[list[int]]:
    """Batches without end: the drawn order first, then a new order each epoch."""
    if batch is None or batch >= count:
        while True:
            yield list(range(count))
    shuffle = np.random.default_rng(seed)
    order = list(range(count))
    while True:
        for start in range(0, count, batch):
            yield order[start : start + batch]
        order = shuffle.permutation(count).tolist()
