"""The second stage of a trace: a few chosen texts, watched token by token.

Which texts are chosen hangs on the tables of the first stage: UnTrac-Inv looks at the training blocks at both ends of
every subset's order, UnTrac at the prompts' items that any subset moves most, the same for all subsets. A close look
at an unlearning goes to where the cell that it repeats went, so its numbers add up to that cell's; one at a product of
gradients takes the whole side, so its numbers add up to the influence of the text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from untrac_core.attribution.base import AttributionContext, Method
from untrac_core.attribution.linear import LinearInfluence
from untrac_core.attribution.outcome import MethodOutput, method_output
from untrac_core.attribution.rest_flow import RestFlow
from untrac_core.attribution.untrac import Unlearner
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example, ExampleSet
from untrac_core.models.losses import Losses
from untrac_core.specs.parts import CONTRAST
from untrac_core.tasks import selection as choices
from untrac_core.tasks.trace.ranking import final_changes, final_steps, places, watched_tokens

LAYOUT = 1
"""Goes up when a close look would choose otherwise or its table would be another."""
COLUMNS = ["subset", "prompt_set", "side", "example", "step", "loss_increase", "loss_before", "change"]
Place = tuple[str, str, str]
"""Subset, prompt set, side."""
Chosen = Mapping[Place, Sequence[int]]
"""The examples that are looked at, by where they stand among the part's."""


class TokenPass:
    """The cells of the second stage: one for each unlearning, or for each side of a product of gradients."""

    def __init__(self, study: AttributionContext, title: str, method: Method, cells: Sequence[Cell]) -> None:
        self.study, self.title = study, title
        self.method = method if isinstance(method, Unlearner | RestFlow | LinearInfluence) else None
        self.repeated = list(cells) if self.method else []
        """The cells of the first stage that are looked at again."""
        places = self.repeated
        if isinstance(method, LinearInfluence):
            places = [replace(cells[0], prompt_set=part.prompt_set, side=part.side) for part in study.prompt_parts()]
        self.cells = [self._look(cell) for cell in places]
        self._chosen: Chosen = {}
        self._steps: dict[str, int] = {}
        self._before: dict[str, Losses] = {}

    def _look(self, cell: Cell) -> Cell:
        """Its key holds those of all cells that its choice hangs on: of the prompt set, or of all subsets."""
        content = {
            "close look": LAYOUT,
            "at": cell.key,
            "side": [cell.prompt_set, cell.side],
            "chosen by": [other.key for other in self.repeated if other.prompt_set in ("", cell.prompt_set)],
            "choice": [choices.ENDS, choices.ROWS, _views(self.study)],
        }
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        what = cell.subset or (f"{cell.prompt_set}, {cell.side} side" if cell.prompt_set else "every subset")
        return replace(cell, key=key, label=f"token by token: {what}, seed {cell.seed}")

    def tell(self, frames: Sequence[pd.DataFrame]) -> None:
        """Choose what is looked at; ``frames``: the tables of the repeated cells, in their order."""
        if self.method is not None:
            outcome = method_output(self.study, self.method, self.title, self.repeated, frames)
            self._chosen = chosen(outcome)
            if not isinstance(self.method, LinearInfluence):
                self._steps = {cell.key: step for cell, step in zip(self.cells, final_steps(outcome), strict=True)}

    def run(self, look: Cell) -> pd.DataFrame:
        """One row per chosen example of the cell's parts, with :data:`COLUMNS`; none where the ranking was refused.

        ``loss_before`` and ``change`` are lists, one number per scored token, in nats; the change is that at the step
        which the ranking takes.
        """
        study, method = self.study, self.method
        if method is None:
            raise ValueError("a method that does not unlearn has no close looks")
        if isinstance(method, LinearInfluence):
            return self._products(method, look)
        if isinstance(method, RestFlow):
            return self._flow(method, look)
        eval_sets = [
            (part, i) for part in method.eval_sets(study, method.part_of(study, look)) for i in self._chosen_of(part)
        ]
        if not eval_sets:
            return pd.DataFrame([], columns=COLUMNS)
        seen = [part.examples[i] for part, i in eval_sets]
        if look.prompt_set not in self._before:  # both sides of a prompt set, and all subsets, look at the same ones
            self._before[look.prompt_set] = study.token_losses(seen)
        before = self._before[look.prompt_set]
        done = method.ascents(study, look, lambda: study.token_losses(seen), before, until=self._steps[look.key])
        step, loss_increase, change = done.changes()[-1]
        return _table(eval_sets, step, loss_increase, before, change)

    def _products(self, method: LinearInfluence, look: Cell) -> pd.DataFrame:
        """As :meth:`run`, of one side's direction."""
        study = self.study
        side = next(p for p in study.prompt_parts() if (p.prompt_set, p.side) == (look.prompt_set, look.side))
        parts = [replace(part, prompt_set=look.prompt_set, side=look.side) for part in study.subset_parts()]
        eval_sets = [(part, i) for part in parts for i in self._chosen_of(part)]
        if not eval_sets:
            return pd.DataFrame([], columns=COLUMNS)
        study.progress.phase(look.label)
        before, change = method.token_changes(study, side, [part.examples[i] for part, i in eval_sets])
        return _table(eval_sets, 1, 0.0, before, change)

    def _flow(self, method: RestFlow, look: Cell) -> pd.DataFrame:
        """As :meth:`run`, of every subset at the end of a seed's flow."""
        study, step = self.study, self._steps[look.key]
        one = next((subset for subset, _, _ in self._chosen), "")  # all look at the same items
        sides = [(part, i) for part in study.prompt_parts() for i in self._chosen_of(replace(part, subset=one))]
        if not sides:
            return pd.DataFrame([], columns=COLUMNS)
        seen = [part.examples[i] for part, i in sides]
        before = study.token_losses(seen)
        tables = []
        cell = next(cell for cell in self.repeated if cell.seed == look.seed)
        with method.visited(study, cell, step) as visits:
            for subset, own in visits:
                parts = [(replace(part, subset=subset), i) for part, i in sides]
                tables.append(_table(parts, step, own, before, study.token_losses(seen) - before))
        return pd.concat(tables, ignore_index=True)

    def _chosen_of(self, part: ExampleSet) -> Sequence[int]:
        return self._chosen.get((part.subset, part.prompt_set, part.side), ())


def _table(
    eval_sets: Sequence[tuple[ExampleSet, int]], step: int, loss_increase: float, before: Losses, change: Losses
) -> pd.DataFrame:
    """A row per example; ``before`` and ``change``: of all their scored tokens, one example after the other."""
    ends = np.cumsum([part.examples[i].tokens for part, i in eval_sets])[:-1]
    rows = [
        (part.subset, part.prompt_set, part.side, i, step, loss_increase, of_before, of_change)
        for (part, i), of_before, of_change in zip(
            eval_sets, np.split(before, ends), np.split(change, ends), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def chosen(outcome: MethodOutput) -> Chosen:
    """The examples of every part that are looked at closely, in their order; none of a side whose model collapsed."""
    tokens = watched_tokens(outcome)
    scores = {place: changes.mean(0) / tokens[place] for place, changes in final_changes(outcome).items()}
    open_places = [place for place in places(outcome.study) if not outcome.collapsed(*place)]
    found = _blocks(outcome.study, scores, open_places) if outcome.inverse else _items(outcome, scores, open_places)
    return {place: sorted(indices) for place, indices in found.items()}


def _blocks(
    study: AttributionContext, scores: Mapping[Place, Losses], open_places: Sequence[tuple[str, str]]
) -> dict[Place, set[int]]:
    """The ends of every subset's blocks on any side of a prompt set; all of its sides look at the same ones."""
    each = choices.blocks_each(
        sum(_mean_size(packed.blocks) for packed in study.subsets.values()),
        _views(study),
    )
    found: dict[Place, set[int]] = {}
    for prompt_set, sides in study.prompts.items():
        views = [side for name, side in open_places if name == prompt_set]
        for subset in study.subsets:
            by_side = {side: scores[subset, prompt_set, side] for side in sides}
            if CONTRAST in views:
                by_side[CONTRAST] = by_side["harmful"] - by_side["harmless"]
            union: set[int] = set().union(*(choices.ends(by_side[side], by_side[side], each) for side in views))
            found |= {(subset, prompt_set, side): union for side in sides if side in views}
    return found


def _items(
    outcome: MethodOutput, scores: Mapping[Place, Losses], open_places: Sequence[tuple[str, str]]
) -> dict[Place, set[int]]:
    """The items of each side that any subset moves most up or down; every subset looks at the same ones."""
    study, subsets = outcome.study, outcome.subsets
    sides = [(name, side) for name, side in open_places if side != CONTRAST]
    size = sum(_mean_size(study.prompts[name][side]) for name, side in sides)
    each = choices.items_each(size, len(subsets))
    found: dict[Place, set[int]] = {}
    for name, side in sides:
        of_all = np.stack([scores[subset, name, side] for subset in subsets])
        union = choices.ends(of_all.min(0), of_all.max(0), each)
        found |= {(subset, name, side): union for subset in subsets}
    return found


def _mean_size(examples: Sequence[Example]) -> float:
    return sum(example.size for example in examples) / len(examples)


def _views(study: AttributionContext) -> list[int]:
    return [choices.VIEWS[len(sides)] for sides in study.prompts.values()]
