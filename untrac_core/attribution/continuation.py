"""Continuation: train the finished model a little further with everything and without one subset, and compare.

I(Z, Q) = L(Q; trained on without Z) - L(Q; trained on with all), in nats per token; positive: Z makes Q more likely.
Both start at the finished model and see the same batches: a batch has as many blocks of every subset, weighted by its
share; without Z, the others fill its place. What is common to both, most of the noise, so cancels in the difference.
It is what retraining asks (:mod:`untrac_core.training.leave_one_out`), for a fraction of its price and of its size: the
difference grows with the steps, so compare its order and proportions.

A loss is the mean over the evaluations of the last half of the steps: a single one is mostly noise. A training that
stops, or that is asked for more steps later, goes on from its last state where that is kept, with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.batches import check_batch, in_turn, shares
from untrac_core.cells import Cell
from untrac_core.models.loading import weights_restored
from untrac_core.models.losses import Losses, collapse_loss
from untrac_core.specs.methods import ContinuationSettings
from untrac_core.text.numbers import CONTINUED_UNIT
from untrac_core.training.batches import batch_rule, draw_batch, weighted, without
from untrac_core.training.preconditioner import mean_gradient
from untrac_core.training.states import States, Tensors

EVERY = 10
"""Steps between two evaluations; a fixed number, so that more steps keep the evaluations of fewer."""
CLIP = 1.0
"""Of the gradient's length, as in training."""


class Continuation:
    """One cell per seed and subset, and one per seed with everything; a seed draws its own batches."""

    name: ClassVar[str] = "continuation"
    inverse: ClassVar[bool] = False
    unit: ClassVar[str] = CONTINUED_UNIT
    subsample: ClassVar[float] = 1.0

    def __init__(self, spec: ContinuationSettings) -> None:
        self.settings = spec

    def cells(self, study: AttributionContext) -> list[Cell]:
        """For each seed the training with everything, then one without each subset."""
        return [
            Cell(
                self._key(study, seed, subset, self.settings.steps),
                f"training on {f'without {subset}' if subset else 'with everything'}, seed {seed}",
                seed,
                subset,
            )
            for seed in study.seeds
            for subset in ("", *in_turn(self.settings.leave_out, study, f"method {self.name!r}"))
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """``loss``: of every item, summed over its tokens, in nats; the weights come back as they were.

        Raises :class:`InputError` where a subset is nearly everything, or has too few blocks for a batch.
        """
        rest = without(shares(study, f"method {self.name!r}"), cell.subset)
        before = study.before("prompt sets", study.all_items)  # by the untouched model, so first of all
        study.on_evaluation(cell, cell.subset, 0, before)
        study.progress.phase(cell.label)
        study.set_trainable(self.settings.trainable)
        with weights_restored(study.model.module):
            losses, last = self._train(study, cell, rest)
        tokens = sum(item.tokens for item in study.all_items)
        ceiling = collapse_loss(float(before.sum() / tokens), study.model.facts.vocab_size)
        collapsed = not (np.isfinite(losses).all() and last / tokens < ceiling)
        tables = []
        start = 0
        for part in study.prompt_parts():
            stop = start + len(part.examples)
            tables.append(
                pd.DataFrame(
                    {
                        "subset": cell.subset,
                        "prompt_set": part.prompt_set,
                        "side": part.side,
                        "example": range(len(part.examples)),
                        "loss": losses[start:stop],
                        "tokens": [item.tokens for item in part.examples],
                    }
                )
            )
            start = stop
        ended = "collapsed: its loss came near that of a uniform guess" if collapsed else "all steps"
        frame = pd.concat(tables, ignore_index=True)
        return frame.assign(step=self.settings.steps, loss_increase=0.0, collapsed=collapsed, ended=ended)

    def _train(self, study: AttributionContext, cell: Cell, rest: dict[str, float]) -> tuple[Losses, float]:
        """Every item's loss, the mean of the last half of the evaluations; and the last sum over all items."""
        settings, model = self.settings, study.model
        blocks = {name: packed.blocks for name, packed in study.subsets.items() if name in rest}
        if settings.batch_size is not None:
            check_batch(blocks, settings.batch_size, f"method {self.name!r}")
        sizes = {name: settings.batch_size or batch_rule(len(own)) for name, own in blocks.items()}
        moving = {name: parameter for name, parameter in model.module.named_parameters() if parameter.requires_grad}
        optimizer = torch.optim.AdamW(moving.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        evaluations: list[Losses] = []
        stops = range(EVERY, settings.steps + 1, EVERY)
        states = States(study.cache, [self._key(study, cell.seed, cell.subset, step) for step in stops])
        states.load(lambda found: _put(found, moving, optimizer, evaluations))
        for number, losses in enumerate(evaluations, 1):
            study.on_evaluation(cell, cell.subset, number * EVERY, losses)
        for step in range(len(evaluations) * EVERY, settings.steps):
            batch = draw_batch(blocks, sizes, cell.seed, step)
            examples, weights = weighted(batch, rest)
            mean_gradient(model, examples, per_example=weights)
            nn.utils.clip_grad_norm_(list(moving.values()), CLIP)
            optimizer.step()
            study.progress.tick(step + 1, settings.steps)
            if (step + 1) % EVERY == 0:
                evaluations.append(study.losses(study.all_items))
                study.on_evaluation(cell, cell.subset, step + 1, evaluations[-1])
                states.save(
                    len(evaluations),
                    lambda: _tensors(moving, optimizer, evaluations),
                    always=step + 1 == settings.steps,
                )
        kept = np.array(evaluations[len(evaluations) // 2 :])
        return kept.mean(0), float(kept[-1].sum())

    def _key(self, study: AttributionContext, seed: int, subset: str, steps: int) -> str:
        settings = self.settings.settings() | {"steps": steps}
        del settings["leave_out"]  # a training without one subset is the same, whichever others are asked for
        sizes = None if study.sizes is None else {name: study.sizes[name] for name in study.subsets}
        parts = [*study.prompt_parts(), *study.subset_parts()]
        return study.key(self.name, settings, seed, parts, [subset, sizes])


def _tensors(
    moving: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, evaluations: Sequence[Losses]
) -> Tensors:
    """Weights, moments and evaluations, on the CPU."""
    tensors = {"evaluations": torch.from_numpy(np.array(evaluations))}
    for name, parameter in moving.items():
        state = optimizer.state[parameter]
        tensors[f"weight {name}"] = parameter.detach().cpu().contiguous()
        tensors[f"mean {name}"], tensors[f"square {name}"] = (
            state[key].cpu().contiguous() for key in ("exp_avg", "exp_avg_sq")
        )
    return tensors


def _put(
    found: Tensors, moving: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, evaluations: list[Losses]
) -> None:
    """A kept state into the model, its optimiser and the list of evaluations."""
    done = found["evaluations"].numpy()
    with torch.no_grad():
        for name, parameter in moving.items():
            parameter.copy_(found[f"weight {name}"])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(len(done) * EVERY)),
                "exp_avg": found[f"mean {name}"].to(parameter),
                "exp_avg_sq": found[f"square {name}"].to(parameter),
            }
    evaluations[:] = list(done)
