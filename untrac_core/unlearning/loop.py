"""The unlearning loop: steps on the forget set and the retain set, evaluations on the way, and the stop.

total = forget_weight x L_forget + retain_weight x L_retain; constant rate, no weight decay, gradients clipped at 1.
A :class:`untrac_core.unlearning.methods.base.SteppingMethod` takes its own steps in the place of these of Adam.
What a step draws depends on the seed and its number alone, so that an unlearning that was killed goes on from its
checkpoint and ends with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import batch_losses, example_losses
from untrac_core.models.trainable import moving_parameters
from untrac_core.progress import Progress, Silent
from untrac_core.unlearning.checkpoint import Checkpoint
from untrac_core.unlearning.evaluate import next_log_probabilities
from untrac_core.unlearning.methods.base import ForgetBatch, SteppingMethod, UnlearningData, UnlearningMethod
from untrac_core.unlearning.neighbours import reverse_neighbours
from untrac_core.unlearning.settings import FEWEST
from untrac_core.unlearning.stopping import EvalPoint, Stop

CLIP = 1.0


@dataclass(frozen=True)
class History:
    """How an unlearning went: its evaluations from step 0 on, the step whose weights are kept, and why it ended."""

    eval_points: list[EvalPoint]
    kept: int
    ended: str
    collapsed: bool


def unlearn_model(
    model: LoadedModel,
    texts: UnlearningData,
    method: UnlearningMethod,
    stop: Stop,
    look: Callable[[int], EvalPoint],
    *,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> History:
    """Unlearn in place; the caller restores the weights.

    ``method``: with settings that are settled (:func:`untrac_core.unlearning.settings.settled`). ``look``: measures the
    model after so many steps; it is asked at step 0, at every ``stop.rule.every`` steps and at the last.
    ``checkpoint``: a file that an interrupted unlearning goes on from, removed at the end.
    """
    progress, rule = progress or Silent(), stop.rule
    batch = method.settings.batch_size or FEWEST
    kept = Checkpoint(checkpoint, model) if checkpoint else None
    reference = _reference(model, texts.forget) if method.settings.forget_weight else np.zeros(len(texts.forget))
    before = look(0)
    as_it_was = _frozen(model) if method.settings.retain == "kl" and texts.retain else None
    # Also after an interruption: masks and neighbours are chosen at the weights as they were.
    often = _how_often(model, texts, method.settings.compensate, progress)
    method.prepare(model, texts, seed, lambda done, total: progress.tick(0, rule.steps))
    optimizer = torch.optim.Adam(list(moving_parameters(model.module).values()), lr=method.settings.learning_rate)
    own = method if isinstance(method, SteppingMethod) else None
    begun, eval_points = kept.restore(optimizer, own.resume if own else lambda state: None) if kept else (0, [])
    eval_points = eval_points or [before]
    budgeted = rule.rule == "retain_budget"
    last_good = _copy(model) if budgeted else None
    order = zip(
        _batches(len(texts.forget), batch, seed),
        _batches(len(texts.retain), batch, seed + 1, often),
        strict=True,
    )
    for step, (forget, retain) in enumerate(order, 1):
        if step > rule.steps:
            break
        if step <= begun:
            continue
        over = _step(model, texts, method, optimizer, reference, as_it_was, forget, retain)
        progress.tick(step, rule.steps)
        if not over and step % rule.eval_every and step != rule.steps:
            continue
        taken = step - 1 if over else step
        if eval_points[-1].step != taken:
            eval_points.append(look(taken))
        verdict = stop.verdict(eval_points[0], eval_points[-1]) or over
        if verdict:
            if (
                stop.over_budget(eval_points[0], eval_points[-1])
                and last_good is not None
                and not stop.collapsed(verdict)
            ):
                _put_back(model, last_good)
                eval_points.pop()
            if kept:
                kept.remove()
            return History(eval_points, eval_points[-1].step, verdict, stop.collapsed(verdict))
        if budgeted:
            last_good = _copy(model)
        if kept:
            kept.keep(optimizer, step, eval_points, own.state() if own else {})
    if kept:
        kept.remove()
    return History(eval_points, eval_points[-1].step, f"all {rule.steps} steps", False)


def _step(
    model: LoadedModel,
    texts: UnlearningData,
    method: UnlearningMethod,
    optimizer: torch.optim.Optimizer,
    reference: np.ndarray,
    as_it_was: LoadedModel | None,
    forget: Sequence[int],
    retain: Sequence[int],
) -> str:
    """One step of Adam; the two losses go back one after the other, so that memory holds one batch's activations.

    Or one of the method's own; returns why there is none to take any more, which with Adam there always is.
    """
    if isinstance(method, SteppingMethod):
        return method.step(model)
    settings = method.settings
    optimizer.zero_grad(set_to_none=True)
    if settings.forget_weight:
        chosen = [texts.forget[i] for i in forget]
        answers = method.answers(chosen)
        if answers is None:
            losses = batch_losses(model.module, chosen, model.device, model.dtype)
            tokens = losses.new_tensor([example.tokens for example in chosen])
            loss = method.loss(ForgetBatch(losses, tokens, losses.new_tensor(reference[list(forget)])))
        else:
            loss = _mean_loss(model, answers)
        if loss is not None:
            (settings.forget_weight * loss).backward()  # type: ignore[no-untyped-call]
    if settings.retain_weight and texts.retain:
        kept = [texts.retain[i] for i in retain]
        rest = _mean_loss(model, kept) if as_it_was is None else _mean_distance(model, as_it_was, kept)
        (settings.retain_weight * rest).backward()  # type: ignore[no-untyped-call]
    method.limit(model)
    nn.utils.clip_grad_norm_(list(moving_parameters(model.module).values()), CLIP)
    optimizer.step()
    return ""


def _mean_loss(model: LoadedModel, examples: Sequence[Example]) -> torch.Tensor:
    losses = batch_losses(model.module, examples, model.device, model.dtype)
    return losses.sum() / sum(example.tokens for example in examples)


def _mean_distance(model: LoadedModel, as_it_was: LoadedModel, examples: Sequence[Example]) -> torch.Tensor:
    """KL(before || now) of the next-token probabilities, in nats per token."""
    own, _, scored = next_log_probabilities(model, examples)
    with torch.no_grad():
        other, _, _ = next_log_probabilities(as_it_was, examples)
    return ((other.exp() * (other - own)).sum(-1) * scored).sum() / scored.sum()


def _frozen(model: LoadedModel) -> LoadedModel:
    """The model as it is, for good."""
    return replace(model, module=deepcopy(model.module).requires_grad_(False))


def _reference(model: LoadedModel, examples: Sequence[Example]) -> np.ndarray:
    """The summed losses before any step: all that NPO needs of its reference model, so that none is held."""
    return example_losses(model.module, examples, model.device, model.facts.vocab_size, dtype=model.dtype)


def _how_often(
    model: LoadedModel, texts: UnlearningData, compensate: str, progress: Progress
) -> npt.NDArray[np.int64] | None:
    """How often each retained text stands in an epoch, where they do not all stand in it once."""
    if compensate == "none" or not texts.retain:
        return None
    progress.phase("hidden states of the forget set and of the retain set")
    return 1 + reverse_neighbours(model, texts.forget, texts.retain, progress)


def _batches(count: int, batch: int, seed: int, often: npt.NDArray[np.int64] | None = None) -> Iterator[list[int]]:
    """Batches without end, in a new order each epoch; empty ones where there is nothing.

    ``often``: how often each stands in an epoch, in the place of once.
    """
    if count == 0:
        while True:
            yield []
    every = np.arange(count) if often is None else np.repeat(np.arange(count), often)
    shuffle = np.random.default_rng(seed)
    held: list[int] = []
    while True:
        held += shuffle.permutation(every).tolist()
        while len(held) >= min(batch, len(every)):
            yield held[:batch]
            held = held[batch:]


def _copy(model: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in moving_parameters(model.module).items()}


@torch.no_grad()
def _put_back(model: LoadedModel, weights: dict[str, torch.Tensor]) -> None:
    for name, parameter in moving_parameters(model.module).items():
        parameter.copy_(weights[name])
