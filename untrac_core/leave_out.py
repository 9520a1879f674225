"""Leave-out: the ground truth. Train with and without each subset, and take the difference of the losses.

influence(Z, Q) = L(Q; trained without Z) - L(Q; trained with all), in nats per token: positive, Z makes Q more likely.
Both trainings have the same seed, the same start, the same order of what stays, and the same number of steps (Isonuma
and Titov, ACL 2024, section 2 and appendix A.1), so that a subset's size does not pass for influence. A model whose
training cannot be repeated is trained a little further with and without each subset instead (Wei et al., FiMODA,
NeurIPS 2025): that tells its sensitivity to more of the subset, not what its own training did.

A tokenizer that a recipe trains is trained once, on all subsets, and stays the same: a loss a token compares only so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model as save_weights
from torch import nn

from untrac_core.attribution.protocol import Part, examples_digest
from untrac_core.cells import Cell
from untrac_core.data.prompts import sample
from untrac_core.data.tokens import Packed
from untrac_core.losses import example_losses
from untrac_core.progress import Progress
from untrac_core.shares import allotted
from untrac_core.specs import Training
from untrac_core.training import Material, build_model, fit, rate_factor, save_tokenizer

NAME = "leave-out"
NUMERICS = 1
"""Goes up when the same inputs would give other numbers; cached cells of another number are not reused."""
CHECKPOINTS = 5
"""Kept of a full training, evenly spread, for methods that look at its course."""
COURSE = "course.json"
COLUMNS = ["prompt_set", "side", "example", "loss", "tokens", "train_loss"]


@dataclass(frozen=True)
class Start:
    """Where a training begins: a model that exists, by its content hash, and how to have it in memory."""

    digest: str
    load: Callable[[], nn.Module]
    tokenizer: Any
    """Of transformers, saved beside the weights."""


@dataclass
class LeaveOut:
    """Trains on all subsets but one, as often as asked, and measures the loss of every prompt set.

    ``start`` is ``None`` where models begin from nothing. ``work``: a folder for the full models, which methods look
    at.
    """

    training: Training
    material: Material
    start: Start | None
    watched: Sequence[Part]
    device: torch.device
    work: Path
    progress: Progress

    def cells(self, seeds: Sequence[int]) -> list[Cell]:
        """For each seed one training on everything, and one without each subset."""
        return [
            Cell(self._key(seed, without), self._label(seed, without), seed, subset=without or "", method=NAME)
            for seed in seeds
            for without in (None, *self.material.blocks)
        ]

    def run(self, cell: Cell) -> pd.DataFrame:
        """Losses of every watched item, summed over its tokens, in nats; ``train_loss``: of the last steps, a token."""
        without = cell.subset or None
        if without is None:
            self.full_model(cell.seed)
            module, train_loss = self._kept(cell.seed)
        else:
            module, curve = self._train(cell.seed, without)
            train_loss = float(np.mean(curve[-20:]))
        parts = []
        for part in self.watched:
            losses = example_losses(module, part.examples, self.device, self.material.vocabulary, self.progress)
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

    def identity(self, seed: int) -> str:
        """64 hexadecimal digits that stand for the full model of a seed, known before it is trained."""
        return hashlib.sha256(json.dumps(self._trained(seed, None), sort_keys=True).encode()).hexdigest()

    def full_model(self, seed: int) -> Path:
        """The folder of the model that is trained on everything, as ``save_pretrained`` writes it.

        It is trained where the folder does not have it yet; a folder appears whole or not at all. Beside the weights
        lie :data:`CHECKPOINTS` of the way, and the loss at the end in :data:`COURSE`.
        """
        folder = self.work / f"model-{self.identity(seed)[:16]}"
        if folder.is_dir():
            return folder
        for left in self.work.glob(f".{folder.name}.*.part"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial = self.work / f".{folder.name}.{os.getpid()}.part"
        partial.mkdir(parents=True)
        wanted = checkpoint_steps(self.training.steps)

        def keep(step: int) -> None:
            if step in wanted:
                save_weights(module, str(partial / checkpoint_name(step)))

        from transformers.utils import logging

        module = self._begin(seed)
        curve = self._fit(module, seed, None, keep)
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        module.save_pretrained(partial, safe_serialization=True)  # type: ignore[operator]
        if self.start is None:
            save_tokenizer(self.material, self.training, partial)
        else:
            self.start.tokenizer.save_pretrained(partial)
        (partial / COURSE).write_text(json.dumps({"train_loss": float(np.mean(curve[-20:]))}), encoding="utf-8")
        os.replace(partial, folder)
        return folder

    def forget(self, seed: int) -> None:
        """Remove a full model that nobody looks at any more: with its checkpoints it is six times its weights."""
        shutil.rmtree(self.work / f"model-{self.identity(seed)[:16]}", ignore_errors=True)

    def checkpoints(self) -> list[tuple[str, float]]:
        """The files in a full model's folder, in the order of the training, and their rates.

        A rate is the sum of the learning rates of the steps since the checkpoint before: TracIn's eta_t for a sum over
        few checkpoints in the place of all steps.
        """
        kept, before = [], 0
        for step in checkpoint_steps(self.training.steps):
            rates = [rate_factor(each, self.training) for each in range(before, step)]
            kept.append((checkpoint_name(step), self.training.learning_rate * sum(rates)))
            before = step
        return kept

    def looked_at(self, each: int) -> dict[str, Packed]:
        """What methods look at of every subset: a fixed random part of its trained blocks, ``each`` on average."""
        found = {}
        parts = allotted({name: len(blocks) for name, blocks in self.material.blocks.items()}, each)
        for name, blocks in self.material.blocks.items():
            kept = [blocks[i] for i in sample(list(range(len(blocks))), parts[name])]
            found[name] = Packed(kept, len(blocks), 0, 0)
        return found

    def _kept(self, seed: int) -> tuple[nn.Module, float]:
        """The full model's weights as they were at its last step, and its loss."""
        folder = self.full_model(seed)
        course = json.loads((folder / COURSE).read_text(encoding="utf-8"))
        module = self._begin(seed)
        load_weights(module, str(folder / checkpoint_name(self.training.steps)))
        return module.eval(), float(course["train_loss"])

    def _begin(self, seed: int) -> nn.Module:
        module = build_model(self.training, self.material.vocabulary, seed) if self.start is None else self.start.load()
        return module.to(self.device)

    def _train(self, seed: int, without: str) -> tuple[nn.Module, list[float]]:
        module = self._begin(seed)
        return module, self._fit(module, seed, without, None)

    def _fit(
        self, module: nn.Module, seed: int, without: str | None, after: Callable[[int], None] | None
    ) -> list[float]:
        self.progress.phase(self._label(seed, without))
        return fit(module, self.material.blocks, self.training, seed, self.device, self.progress, without, after)

    def _label(self, seed: int, without: str | None) -> str:
        word = "further training" if self.training.init == "further" else "training"
        return f"{word} {f'without {without}' if without else 'on everything'}, seed {seed}"

    def _key(self, seed: int, without: str | None) -> str:
        content = self._trained(seed, without) | {"watched": self._watched}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _trained(self, seed: int, without: str | None) -> dict[str, Any]:
        """All that a trained model depends on."""
        return {
            "leave-out": NUMERICS,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": self.device.type,
            "training": self.training.model_dump(mode="json"),
            "start": None if self.start is None else self.start.digest,
            "seed": seed,
            "without": without,
            "vocabulary": self.material.vocabulary,
            "blocks": self._digests,
        }

    @cached_property
    def _watched(self) -> list[list[str]]:
        return [[part.prompt_set, part.side, examples_digest(part.examples)] for part in self.watched]

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {name: examples_digest(blocks) for name, blocks in self.material.blocks.items()}


def checkpoint_steps(steps: int) -> list[int]:
    """The steps after which a full training is kept: evenly spread, the last step among them."""
    return sorted({round(steps * part / CHECKPOINTS) for part in range(1, CHECKPOINTS + 1)} - {0})


def checkpoint_name(step: int) -> str:
    """The file of the weights after a step."""
    return f"step-{step}.safetensors"


def truth_frame(cells: Sequence[Cell], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The table of ``truth.parquet``: subset, prompt_set, side (also ``contrast``), seed, influence."""
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
