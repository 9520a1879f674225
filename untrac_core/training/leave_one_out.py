"""Leave-one-out: the ground truth. Train with and without each subset, and take the difference of the losses.

influence(Z, Q) = L(Q; trained without Z) - L(Q; trained with all), in nats per token: positive, Z makes Q more likely.
Both trainings have the same seed, the same start, the same order of what stays, and the same number of steps
(Isonuma and Titov, ACL 2024, section 2 and appendix A.1), so that a subset's size does not pass for influence. A model
whose training cannot be repeated is trained a little further with and without each subset instead (Wei et al., FiMODA,
NeurIPS 2025): that tells its sensitivity to more of the subset, not what its own training did.

A tokenizer that a recipe trains is trained once, on all subsets, and stays the same: a loss per token compares only so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from untrac_core.cells import Cell
from untrac_core.data.prompts import sample
from untrac_core.data.tokens import Example, ExampleSet, Packed, examples_digest
from untrac_core.models.losses import example_losses
from untrac_core.progress import Progress
from untrac_core.specs import Training
from untrac_core.stats.mixture import allocate_samples
from untrac_core.training.recipe import TrainingData, Without, recipe_tokenizer
from untrac_core.training.retraining import BaseModelStart, Retraining

NAME = "leave-out"
NUMERICS = 1
"""Goes up when the same models would give other numbers; cached cells of another number are not reused."""
COLUMNS = ["prompt_set", "side", "example", "loss", "tokens", "train_loss"]


@dataclass
class LeaveOneOut:
    """Trains on all subsets but one, as often as asked, and measures the loss of every prompt set.

    ``start`` is ``None`` where models begin from nothing. ``work``: a folder for the full models, which methods look
    at.
    """

    training: Training
    material: TrainingData
    start: BaseModelStart | None
    eval_sets: Sequence[ExampleSet]
    device: torch.device
    work: Path
    progress: Progress
    keep: int | None = None
    """A seed whose models without one subset lie in ``work`` as well, as something looks at them later."""
    _sets: dict[str, Retraining] = field(default_factory=dict, repr=False)
    """The trainings of :meth:`set_cells` and :meth:`part_cells`, by key."""

    @cached_property
    def full(self) -> Retraining:
        """The training on everything; its models are kept, with checkpoints for methods that look at its course."""
        material, start = self.material, self.start
        tokenizer = recipe_tokenizer(material, self.training) if start is None else start.tokenizer
        return Retraining(
            self.training, material.blocks, material.vocab_size, start, tokenizer, self.device, self.work,
            self.progress, history=True,
        )  # fmt: skip

    def cells(self, seeds: Sequence[int]) -> list[Cell]:
        """For each seed one training on everything, and one without each subset."""
        return [
            Cell(self._key(seed, without), self.full.leaving(without).label(seed), seed, without or "", method=NAME)
            for seed in seeds
            for without in (None, *self.material.blocks)
        ]

    def set_cells(self, seed: int, sets: Sequence[frozenset[str]]) -> list[Cell]:
        """One training by a seed without each of some sets of subsets, in their order."""
        cells = []
        for without in sets:
            key = self._key(seed, without)
            self._sets[key] = self.full.leaving(without)
            cells.append(Cell(key, self._sets[key].label(seed), seed, " + ".join(sorted(without)), method=NAME))
        return cells

    def part_cells(self, seed: int, parts: Mapping[str, Mapping[str, Sequence[Example]]]) -> list[Cell]:
        """One training by a seed without each of some parts: by its name, the blocks of each subset that it has."""
        cells = []
        for name, blocks in parts.items():
            gone = {(subset, block.id) for subset, of in blocks.items() for block in of}
            training = self.full.leaving(lambda subset, block, gone=gone: (subset, block.id) in gone, called=name)  # type: ignore[misc]
            content = [NAME, NUMERICS, training.identity(seed), name, self._watched]
            key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
            self._sets[key] = training
            cells.append(Cell(key, training.label(seed), seed, name, method=NAME))
        return cells

    def kept(self, subset: str) -> Retraining:
        """The training without a subset, or on everything, whose models stay in ``work``."""
        room = len(self.material.blocks) + 2
        return (
            replace(self.full, room=room)
            if not subset
            else replace(self.full.leaving(subset), room=room, history=False)
        )

    def run(self, cell: Cell) -> pd.DataFrame:
        """Losses of every watched item, summed over its tokens, in nats; ``train_loss``: of the last steps, a token."""
        if cell.subset:
            training = self._sets.get(cell.key) or self.full.leaving(cell.subset)
            if cell.seed == self.keep and cell.key not in self._sets:
                training = self.kept(cell.subset)
                module, train_loss = training.trained(cell.seed), training.end_loss(cell.seed)
            else:
                module, train_loss = training.train(cell.seed)
        else:
            module, train_loss = self.full.trained(cell.seed), self.full.end_loss(cell.seed)
        parts = []
        for part in self.eval_sets:
            losses = example_losses(module, part.examples, self.device, self.material.vocab_size, self.progress)
            parts.append(
                pd.DataFrame(
                    {
                        "prompt_set": part.prompt_set,
                        "side": part.side,
                        "example": range(len(part.examples)),
                        "loss": losses,
                        "tokens": [example.tokens for example in part.examples],
                    }
                )
            )
        return pd.concat(parts, ignore_index=True).assign(train_loss=train_loss)[COLUMNS]

    def looked_at(self, each: int) -> dict[str, Packed]:
        """What methods look at of every subset: a fixed random part of its trained blocks, ``each`` on average."""
        found = {}
        parts = allocate_samples({name: len(blocks) for name, blocks in self.material.blocks.items()}, each)
        for name, blocks in self.material.blocks.items():
            kept = [blocks[i] for i in sample(list(range(len(blocks))), parts[name])]
            found[name] = Packed(kept, len(blocks), 0, 0)
        return found

    def _key(self, seed: int, without: Without) -> str:
        named = sorted(without) if isinstance(without, frozenset) else without if isinstance(without, str) else None
        content = [NAME, NUMERICS, self.full.leaving(without).identity(seed), named, self._watched]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def _watched(self) -> list[list[str]]:
        return [[part.prompt_set, part.side, examples_digest(part.examples)] for part in self.eval_sets]


def truth_frame(cells: Sequence[Cell], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The table of ``ground_truth.parquet``: subset, prompt_set, side (also ``contrast``), seed, influence."""
    rows = []
    for prompt_set, (changes, tokens, subsets, seeds) in measured(cells, frames).items():
        values = {side: change.sum(2) / tokens[side].sum() for side, change in changes.items()}
        if len(values) == 2:
            values["contrast"] = values["harmful"] - values["harmless"]
        rows += [
            {"subset": subset, "prompt_set": prompt_set, "side": side, "seed": seed, "influence": float(value[s, z])}
            for side, value in values.items()
            for s, seed in enumerate(seeds)
            for z, subset in enumerate(subsets)
        ]
    return pd.DataFrame(rows, columns=["subset", "prompt_set", "side", "seed", "influence"])


Measured = tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str], list[int]]


def measured(cells: Sequence[Cell], frames: Sequence[pd.DataFrame]) -> dict[str, Measured]:
    """By prompt set: each side's changes, of shape (seeds, subsets, items), its items' tokens, subsets and seeds.

    A change is the loss of the model without the subset minus that of the full one of the same seed, in nats.
    """
    tables = {(cell.seed, cell.subset): frame for cell, frame in zip(cells, frames, strict=True)}
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    subsets = [name for name in dict.fromkeys(cell.subset for cell in cells) if name]
    first = frames[0]
    found: dict[str, Measured] = {}
    for prompt_set, part in first.groupby("prompt_set", sort=False):
        changes, tokens = {}, {}
        for side in dict.fromkeys(part["side"]):
            here = ((first["prompt_set"] == prompt_set) & (first["side"] == side)).to_numpy()
            losses = {place: table["loss"].to_numpy()[here] for place, table in tables.items()}
            changes[side] = np.stack(
                [np.stack([losses[seed, subset] - losses[seed, ""] for subset in subsets]) for seed in seeds]
            )
            tokens[side] = first["tokens"].to_numpy(dtype=np.float64)[here]
        found[str(prompt_set)] = (changes, tokens, subsets, seeds)
    return found
