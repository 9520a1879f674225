"""UnTrac that trains on what is left: a subset is unlearned, and the rest holds the model where it can.

Without subset k a training would have had the loss sum_(j != k) q_j L_j, with q_j = p_j / (1 - p_k) of the shares p.
The finished model theta_0 need not be at the optimum of the whole, so the loss is tilted to make it one (as in the
proximal Bregman response function; Bae et al., NeurIPS 2022): with g the gradient of the whole at theta_0,

    Phi_k(theta) = sum_(j != k) q_j L_j(theta) - g . (theta - theta_0),

whose gradient at theta_0 is -p_k / (1 - p_k) (g_k - g): the ascent on subset k, frozen. Steps follow

    theta <- theta - eta P { sum_j q_j [g_j(theta; B) - g_j(theta_0; B)] - p_k / (1 - p_k) (g_k - g) }

with P of :mod:`untrac_core.training.preconditioner`, Nesterov's momentum, and a fresh batch B, the same for every
subset. The ascent never feeds itself, and the difference in brackets has no noise at theta_0. The first step is, to
first order, the influence of :mod:`untrac_core.attribution.linear`, weighed as leaving the whole subset out. Influence
is the loss of a prompt set at theta less that at theta_0. All subsets go side by side, which shares the gradients at
theta_0, and end after the same number of steps, so that their numbers compare.

The step is 2 / lambda, with lambda the largest eigenvalue of P times the batch's Hessian: beyond it a quadratic valley
is left. A flow that begins to run away is seen on the fresh batch before it reaches the prompts: Phi turns, and rises.
Then the step is halved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from untrac_core.attribution.base import AttributionContext, Change, Method, cell_frame
from untrac_core.attribution.baselines.vectors import gradient_parts, trainable_only
from untrac_core.attribution.batches import check_batch, in_turn, shares
from untrac_core.attribution.settings import (
    FLOW_HELD,
    FLOW_ROWS,
    evaluation_steps,
    flow_settings,
)
from untrac_core.attribution.untrac import UnTrac
from untrac_core.cells import Cell
from untrac_core.errors import InputError
from untrac_core.models.loading import weights_restored
from untrac_core.models.losses import collapse_loss
from untrac_core.specs import MethodSpec
from untrac_core.specs.catalogue import BUDGET_MB
from untrac_core.text.numbers import PARTIAL_UNIT, count
from untrac_core.training.flow import Flow, Mix, largest_rate
from untrac_core.training.states import States
from untrac_core.training.vectors import Stack, rows_that_fit


class RestFlow:
    """One cell per seed, which draws its own part of every subset, and its own batches of them."""

    name: ClassVar[str] = "untrac"
    inverse: ClassVar[bool] = False
    unit: ClassVar[str] = PARTIAL_UNIT
    budget_mb: float = BUDGET_MB

    def __init__(self, spec: MethodSpec) -> None:
        """Raises :class:`InputError` for settings that it does not have."""
        self.settings = flow_settings(spec)
        self._limit: tuple[AttributionContext, float] | None = None

    @property
    def subsample(self) -> float:
        """The share of every subset's blocks that a seed draws."""
        return self.settings.subsample

    def cells(self, study: AttributionContext) -> list[Cell]:
        """One cell per seed."""
        sizes = None if study.sizes is None else {name: study.sizes[name] for name in study.subsets}
        parts = [*study.prompt_parts(), *study.subset_parts()]
        settings = asdict(self.settings)
        if settings["leave_out"] is None:
            del settings["leave_out"]
        self._asked(study)
        return [
            Cell(
                study.key(f"{self.name}, rest flow", settings, seed, parts, sizes, study.subset_parts()),
                f"unlearning each subset while training on the rest, seed {seed}",
                seed,
            )
            for seed in study.seeds
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """Every item's change of loss, for every subset and kept step; the weights come back as they were.

        Raises :class:`InputError` where a subset is nearly everything or too small for a batch, and for a model that
        computes in half precision.
        """
        before = study.before("prompt sets", study.all_items)
        tokens = sum(item.tokens for item in study.all_items)
        ceiling = collapse_loss(float(before.sum() / tokens), study.model.facts.vocab_size)
        changes: dict[str, list[Change]] = {name: [(0, 0.0, np.zeros_like(before))] for name in self._asked(study)}
        wanted = evaluation_steps(self.settings.steps, self.settings.eval_points)
        for step in (0, *wanted):
            study.on_evaluation(cell, "", step, before)
        ended, collapsed, halvings = f"all {self.settings.steps} steps", False, 0
        with self._flows(study, cell) as flows:
            for flow in flows:
                for subset in flow.names:
                    study.on_evaluation(cell, subset, 0, before)
                for step in wanted:
                    if not flow.go_to(step):
                        ended = f"stopped before step {flow.step + 1}: from there on it would run away"
                        wanted = [known for known in wanted if known <= flow.step]
                        break
                    for subset, own in flow.visit():
                        losses = study.losses(study.all_items)
                        study.on_evaluation(cell, subset, step, losses)
                        collapsed |= not losses.sum() / tokens < ceiling
                        changes[subset].append((step, own, losses - before))
                halvings = max(halvings, flow.halvings)
        if halvings:
            ended += f", the step halved {count(halvings, 'time')} on the way"
        if not wanted:
            ended, collapsed = f"{ended}, which is before the first look; UnTrac-Inv's product does not", True
        tables = []
        for subset, found in changes.items():
            kept = [change for change in found if change[0] in (0, *wanted)]
            parts = [replace(part, subset=subset) for part in study.prompt_parts()]
            tables.append(cell_frame(kept, before, parts, collapsed=collapsed, ended=ended))
        return pd.concat(tables, ignore_index=True)

    def _asked(self, study: AttributionContext) -> list[str]:
        return in_turn(self.settings.leave_out, study, f"method {self.name!r}")

    @contextmanager
    def visited(self, study: AttributionContext, cell: Cell, step: int) -> Iterator[Iterator[tuple[str, float]]]:
        """Each subset's name with its model in memory as it was after ``step``, and the rise of its own loss."""

        def visit(flows: Iterator[Flow]) -> Iterator[tuple[str, float]]:
            for flow in flows:
                flow.go_to(step)
                yield from flow.visit()

        with self._flows(study, cell) as flows:
            yield visit(flows)

    @contextmanager
    def _flows(self, study: AttributionContext, cell: Cell) -> Iterator[Iterator[Flow]]:
        """The flows of a seed: as many subsets at once as the budget has room for."""
        settings, where = self.settings, f"method {self.name!r}"
        if study.model.dtype != torch.float32:
            raise InputError(
                f"small changes of the weights are lost in {str(study.model.dtype).removeprefix('torch.')}",
                field=where,
                hint="set 'dtype: float32' ('trainable: last_layers' saves memory), or take 'untrac-inv'",
            )
        blocks = {}
        for name, packed in study.subsets.items():
            drawn = study.block_clusters[name].draw(settings.subsample, cell.seed)
            blocks[name] = [packed.blocks[i] for i in drawn]
        if settings.batch_size is not None:
            check_batch(blocks, settings.batch_size, where)
        sizes = {name: settings.batch_of(len(packed.blocks)) for name, packed in study.subsets.items()}
        mix = Mix(blocks, shares(study, where), sizes, cell.seed)
        preconditioner = study.preconditioner(settings.effective_trainable, settings.samples, settings.damping)
        with trainable_only(study, settings.effective_trainable), weights_restored(study.model.module):
            if self._limit is None or self._limit[0] is not study:
                whole = replace(mix, blocks={name: packed.blocks for name, packed in study.subsets.items()}, seed=0)
                self._limit = study, largest_rate(study.model, whole, preconditioner, study.progress)
            rate = settings.relative_step * self._limit[1]
            fitting = rows_that_fit(study.model.module, self.budget_mb, held=FLOW_HELD, each=FLOW_ROWS)
            names = self._asked(study)

            def flows() -> Iterator[Flow]:
                for start in range(0, len(names), fitting):
                    chunk = names[start : start + fitting]
                    ascent = self._ascent(study, mix, chunk)

                    def states(step: int, chunk: list[str] = chunk) -> States:
                        return States(study.cache, [f"{cell.key} {chunk} {number}" for number in range(1, step + 1)])

                    study.progress.phase(cell.label)
                    yield Flow(
                        study.model, mix, chunk, ascent, preconditioner, rate, settings.steps, states, study.progress
                    )

            yield flows()

    def _ascent(self, study: AttributionContext, mix: Mix, names: list[str]) -> torch.Tensor:
        """-p_k / (1 - p_k) (g_k - g) of each named subset, shape (subsets, numbers that move)."""
        study.progress.phase("gradients of the training subsets")
        stack = Stack(study.model.module, len(names) + 1)
        for done, (name, blocks) in enumerate(mix.blocks.items(), 1):
            for _ in gradient_parts(study, blocks):
                stack.add(len(names), mix.shares[name])
                if name in names:
                    stack.add(names.index(name))
            study.progress.tick(done, len(mix.blocks))
        ascent = stack.matrix[:-1]
        ascent -= stack.matrix[-1]
        for row, name in zip(ascent, names, strict=True):
            row *= -mix.shares[name] / (1 - mix.shares[name])
        return ascent


def untrac(spec: MethodSpec) -> Method:
    """UnTrac as a spec asks for it: with the rest holding the model, or by ascent alone."""
    return UnTrac(spec) if spec.takes_steps else RestFlow(spec)
