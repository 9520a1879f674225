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

import hashlib
import json
import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from untrac_core.attribution.base import AttributionContext
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example
from untrac_core.errors import InputError
from untrac_core.models.loading import weights_restored
from untrac_core.models.losses import Losses, collapse_loss
from untrac_core.specs.methods import ContinuationSettings
from untrac_core.text.numbers import CONTINUED_UNIT
from untrac_core.training.factors import SAVE_SECONDS, keep
from untrac_core.training.preconditioner import mean_gradient

EVERY = 10
"""Steps between two evaluations; a fixed number, so that more steps keep the evaluations of fewer."""
CLIP = 1.0
"""Of the gradient's length, as in training."""
MOST = 0.9
"""A subset with a greater share leaves nothing to train on."""


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
            for subset in ("", *study.subsets)
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """``loss``: of every item, summed over its tokens, in nats; the weights come back as they were.

        Raises :class:`InputError` where a subset is nearly everything, or has too few blocks for a batch.
        """
        shares = self._shares(study, cell.subset)
        before = study.before("prompt sets", study.all_items)  # by the untouched model, so first of all
        study.progress.phase(cell.label)
        study.set_trainable(self.settings.trainable)
        with weights_restored(study.model.module):
            losses, last = self._train(study, cell, shares)
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

    def _shares(self, study: AttributionContext, without: str) -> dict[str, float]:
        """How much of every loss each subset has: its part of all text where that is known, else an equal one."""
        sizes = study.sizes or dict.fromkeys(study.subsets, 1.0)
        total = sum(sizes[name] for name in study.subsets)
        rest = {name: sizes[name] / total for name in study.subsets if name != without}
        where = f"method {self.name!r}"
        for name, size in sizes.items():
            if size > MOST * total:
                raise InputError(
                    f"subset {name!r} is {size / total:.0%} of the training: without it there is nothing to train on",
                    field=where,
                    hint="split it into several subsets",
                )
        for name in rest:
            if len(study.subsets[name].blocks) < self.settings.batch_size:
                raise InputError(
                    f"subset {name!r} has {len(study.subsets[name].blocks)} blocks, too few for a batch of "
                    f"{self.settings.batch_size} without repeats",
                    field=where,
                    hint="take a smaller 'batch_size', or more blocks per subset",
                )
        whole = sum(rest.values())
        return {name: share / whole for name, share in rest.items()}

    def _train(self, study: AttributionContext, cell: Cell, shares: dict[str, float]) -> tuple[Losses, float]:
        """Every item's loss, the mean of the last half of the evaluations; and the last sum over all items."""
        settings, model = self.settings, study.model
        moving = {name: parameter for name, parameter in model.module.named_parameters() if parameter.requires_grad}
        optimizer = torch.optim.AdamW(moving.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        states = _States(study.cache, [self._key(study, cell.seed, cell.subset, step) for step in self._stops()])
        evaluations = states.load(moving, optimizer)
        for step in range(len(evaluations) * EVERY, settings.steps):
            examples, weights = self._batch(study, cell.seed, step, shares)
            mean_gradient(model, examples, per_example=weights)
            nn.utils.clip_grad_norm_(list(moving.values()), CLIP)
            optimizer.step()
            study.progress.tick(step + 1, settings.steps)
            if (step + 1) % EVERY == 0:
                evaluations.append(study.losses(study.all_items))
                states.save(moving, optimizer, evaluations, last=step + 1 == settings.steps)
        kept = np.array(evaluations[len(evaluations) // 2 :])
        return kept.mean(0), float(kept[-1].sum())

    def _stops(self) -> range:
        """Steps after which a training may have been kept, the last first."""
        return range(self.settings.steps, 0, -EVERY)

    def _batch(
        self, study: AttributionContext, seed: int, step: int, shares: dict[str, float]
    ) -> tuple[list[Example], list[float]]:
        """The blocks of a step, the same whatever is left out, and what each one's summed loss counts."""
        examples: list[Example] = []
        weights: list[float] = []
        for name, share in shares.items():
            blocks, size = study.subsets[name].blocks, self.settings.batch_size
            # An epoch ends where what is left of it is no batch: no block stands twice in one.
            epoch, place = divmod(step, len(blocks) // size)
            order = np.random.default_rng([seed, zlib.crc32(name.encode()), epoch]).permutation(len(blocks))
            chosen = [blocks[i] for i in order[place * size : (place + 1) * size]]
            examples += chosen
            weights += [share / sum(block.tokens for block in chosen)] * size
        return examples, weights

    def _key(self, study: AttributionContext, seed: int, subset: str, steps: int) -> str:
        settings = self.settings.settings() | {"steps": steps}
        sizes = None if study.sizes is None else {name: study.sizes[name] for name in study.subsets}
        parts = [*study.prompt_parts(), *study.subset_parts()]
        return study.key(self.name, settings, seed, parts, [subset, sizes])


class _States:
    """Where a training is kept between processes: weights, moments and evaluations; without a folder, nowhere."""

    def __init__(self, folder: Path | None, keys: Sequence[str]) -> None:
        self._paths = [] if folder is None else [self._path(folder, key) for key in keys]
        self._saved = time.monotonic()

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / f"{hashlib.sha256(json.dumps(['state', key]).encode()).hexdigest()}.safetensors"

    def load(self, moving: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> list[Losses]:
        """Put the furthest state into the model and the optimiser; returns its evaluations, none where it begins."""
        for path in self._paths:
            if not path.is_file():
                continue
            try:
                with safe_open(path, framework="pt") as kept:
                    found = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
                evaluations = found.pop("evaluations")
                with torch.no_grad():
                    for name, parameter in moving.items():
                        parameter.copy_(found[f"weight {name}"])
                        optimizer.state[parameter] = {
                            "step": torch.tensor(float(len(evaluations) * EVERY)),
                            "exp_avg": found[f"mean {name}"].to(parameter),
                            "exp_avg_sq": found[f"square {name}"].to(parameter),
                        }
            except (SafetensorError, OSError, KeyError, RuntimeError):
                continue
            os.utime(path)
            return [row.numpy() for row in evaluations]
        return []

    def save(
        self,
        moving: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        evaluations: Sequence[Losses],
        *,
        last: bool,
    ) -> None:
        """Keep the state at the end, or when the last saving is long ago; whole or not at all."""
        if not self._paths or not (last or time.monotonic() - self._saved > SAVE_SECONDS):
            return
        path = self._paths[len(self._paths) - len(evaluations)]
        tensors = {"evaluations": torch.from_numpy(np.array(evaluations))}
        for name, parameter in moving.items():
            state = optimizer.state[parameter]
            tensors[f"weight {name}"] = parameter.detach().cpu().contiguous()
            tensors[f"mean {name}"], tensors[f"square {name}"] = (
                state[key].cpu().contiguous() for key in ("exp_avg", "exp_avg_sq")
            )
        if keep(tensors, path):
            self._saved = time.monotonic()
