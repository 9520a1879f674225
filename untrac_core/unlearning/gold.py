"""Exact retraining: a model of the same recipe that never saw what is to go. The gold that removals are held against.

Same start, same order of what stays, same number of steps as the model itself, by its seed; other seeds show how far
two such models differ anyway. A loader that never yields a left-out text is all there is to it, and a test spies on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from untrac_core.attribution.protocol import examples_digest
from untrac_core.data.tokens import Example
from untrac_core.errors import InputError
from untrac_core.leave_out import Start
from untrac_core.models import LoadedModel
from untrac_core.progress import Progress
from untrac_core.specs import Training
from untrac_core.training import build_model, fit

KEPT = 8
"""Trained models that stay, for other requests about the same target; one that is gone is trained again."""
NUMERICS = 1
"""Goes up when the same inputs would give other weights."""


@dataclass(frozen=True)
class Gold:
    """Trains models by a recipe with and without the target, and keeps them as folders of ``work``.

    ``target``: which blocks, with their subsets' names, are to go. ``start``: where training begins with a model that
    exists. ``model`` lends its tokenizer, its facts and its device.
    """

    training: Training
    blocks: Mapping[str, list[Example]]
    """Every subset's blocks as the recipe trains on them."""
    target: Callable[[str, Example], bool]
    start: Start | None
    model: LoadedModel
    work: Path
    progress: Progress

    def check(self) -> None:
        """See that the recipe makes models of the same shape; :class:`InputError` where it makes others."""
        if self.start is not None:
            return
        with torch.device("meta"):
            made = self.begin(0)
        shapes = {name: tuple(p.shape) for name, p in made.named_parameters()}
        own = {name: tuple(p.shape) for name, p in self.model.module.named_parameters() if "lora_" not in name}
        if sorted(shapes.values()) != sorted(own.values()):
            raise InputError(
                f"the recipe makes another model ({_size(shapes)} weights) than the one given ({_size(own)})",
                where="training",
                mend="write the architecture, sizes and block that the model was trained with",
            )

    def identity(self, seed: int, *, full: bool = False) -> str:
        """64 hexadecimal digits that stand for the weights, known before they are trained."""
        content = {
            "gold": NUMERICS,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": self.model.device.type,
            "training": self.training.model_dump(mode="json"),
            "start": None if self.start is None else self.start.digest,
            "seed": seed,
            "vocabulary": self.vocabulary,
            "blocks": {name: examples_digest(blocks) for name, blocks in self.blocks.items()},
            "without": [] if full else self.left_out(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def left_out(self) -> list[list[str]]:
        """The blocks that are to go, by subset and id."""
        every = ((name, block) for name, blocks in self.blocks.items() for block in blocks)
        return [[name, block.id] for name, block in every if self.target(name, block)]

    @property
    def vocabulary(self) -> int:
        """Rows of the model's embeddings: those of the model given."""
        return self.model.facts.vocabulary

    def folder(self, seed: int, *, full: bool = False) -> Path:
        """The folder of a trained model, trained where it is not there yet; it appears whole or not at all."""
        folder = self.work / f"gold-{self.identity(seed, full=full)[:16]}"
        if folder.is_dir():
            os.utime(folder)
            return folder
        for left in self.work.glob(f".{folder.name}.*.part"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        self.progress.phase(f"training {'on everything' if full else 'without what is to go'}, seed {seed}")
        module = self.begin(seed).to(self.model.device)
        without = None if full else self.target
        fit(module, self.blocks, self.training, seed, self.model.device, self.progress, without)
        partial = self.work / f".{folder.name}.{os.getpid()}.part"
        partial.mkdir(parents=True)
        save_model(module, self.model.tokenizer, partial)
        os.replace(partial, folder)
        self._make_room()
        return folder

    def trained(self, seed: int, *, full: bool = False) -> nn.Module:
        """A trained model in memory, in evaluation mode."""
        from safetensors.torch import load_model as load_weights

        folder = self.folder(seed, full=full)
        module = self.begin(seed)
        load_weights(module, folder / "model.safetensors", strict=False)
        return module.to(self.model.device).eval()

    def discard(self, *seeds: int) -> None:
        """Remove models that nobody looks at any more."""
        for seed in seeds:
            for full in (False, True):
                shutil.rmtree(self.work / f"gold-{self.identity(seed, full=full)[:16]}", ignore_errors=True)

    def _make_room(self) -> None:
        """Keep the models that were looked at last."""
        folders = sorted(self.work.glob("gold-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)

    def begin(self, seed: int) -> nn.Module:
        """A model as the recipe's training begins with it."""
        if self.start is not None:
            return self.start.load()
        return build_model(self.training, self.vocabulary, seed)


def save_model(module: nn.Module, tokenizer: Any, folder: Path) -> None:
    """A folder as transformers reads it: safetensors, config, tokenizer."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    saved: Any = module
    saved.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _size(shapes: dict[str, tuple[int, ...]]) -> str:
    total = sum(int(torch.Size(shape).numel()) for shape in shapes.values())
    return f"{total:,}"
