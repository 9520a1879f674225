"""Retraining: a model made again by its recipe, on everything or without some of its texts.

All trainings by one recipe have, by their seed, the same start, the same order of the retain set and the same number of
steps, so that two of them differ only in what one never saw. A loader that never yields a block that is left out is all
there is to it, and tests spy on it. A trained model is known by its identity, a hash of all that its weights depend on,
before it is trained; its folder has that name, and appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from safetensors.torch import save_model as save_weights
from torch import nn

from untrac_core.data.tokens import Example, examples_digest
from untrac_core.errors import InputError
from untrac_core.models.loading import LoadedModel, load_model
from untrac_core.progress import Progress
from untrac_core.specs import ModelRef, Training
from untrac_core.text.numbers import listed
from untrac_core.training.recipe import (
    Without,
    build_model,
    leaves_out,
    rate_factor,
    save_model,
    train_model,
)

KEPT = 8
"""Trained models that stay in a folder, for whoever asks again; one that is gone is trained again."""
NUMERICS = 1
"""Goes up when the same inputs would give other weights."""
CHECKPOINTS = 5
"""Kept of a training with a course, evenly spread."""
HISTORY = "history.json"


@dataclass(frozen=True)
class BaseModelStart:
    """Where a training begins: a model that exists, by its content hash, and how to have it in memory."""

    digest: str
    load: Callable[[], nn.Module]
    tokenizer: Any
    """Of transformers, saved beside the weights."""


@dataclass(frozen=True)
class Retraining:
    """Trains models by a recipe, one per seed, and keeps them as folders of ``work``.

    ``start`` is ``None`` where models begin from nothing, with ``vocab_size`` rows of embeddings. ``history``: beside
    the weights lie :data:`CHECKPOINTS` of the way, and the loss at the end in :data:`HISTORY`.
    """

    training: Training
    blocks: Mapping[str, list[Example]]
    """Every subset's, as the recipe trains on them."""
    vocab_size: int
    start: BaseModelStart | None
    tokenizer: Any
    """Of transformers, saved beside the weights."""
    device: torch.device
    work: Path
    progress: Progress
    without: Without = None
    called: str = "the forget set"
    """What the blocks that a test picks are called."""
    history: bool = False
    room: int = KEPT
    """Models that stay in ``work``."""
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Of each subset's blocks, once they are asked for; :meth:`leaving` hands them on."""

    def leaving(self, without: Without, called: str = "the forget set") -> Retraining:
        """The same recipe without a subset or several, by name, or without the blocks that a test picks."""
        return replace(self, without=without, called=called)

    @property
    def full(self) -> Retraining:
        """The same recipe on everything."""
        return self.leaving(None)

    def check(self, model: LoadedModel) -> None:
        """See that the recipe makes models of the shape of this one; :class:`InputError` where it makes others."""
        if self.start is not None:
            return
        with torch.device("meta"):
            made = self.begin(0)
        shapes = [tuple(p.shape) for p in made.parameters()]
        own = [tuple(p.shape) for name, p in model.module.named_parameters() if "lora_" not in name]
        if sorted(shapes) != sorted(own):
            raise InputError(
                f"the recipe makes another model ({_size(shapes)} weights) than the one given ({_size(own)})",
                field="training",
                hint="write the architecture, sizes and block that the model was trained with",
            )

    def label(self, seed: int) -> str:
        """A training in words."""
        word = "further training" if self.training.init == "continued" else "training"
        gone = self.called if callable(self.without) else self.without
        if isinstance(gone, frozenset):
            gone = listed(sorted(gone))
        return f"{word} {f'without {gone}' if gone else 'on everything'}, seed {seed}"

    def left_out(self) -> list[list[str]]:
        """The blocks that are never read, by subset and id."""
        if self.without is None:
            return []
        leaves = leaves_out(self.without)
        every = ((name, block) for name, blocks in self.blocks.items() for block in blocks)
        return [[name, block.id] for name, block in every if leaves(name, block)]

    def identity(self, seed: int) -> str:
        """64 hexadecimal digits that stand for the weights, known before they are trained."""
        if not self._digests:
            self._digests.update({name: examples_digest(blocks) for name, blocks in self.blocks.items()})
        content = {
            "retraining": NUMERICS,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": self.device.type,
            "training": self.training.model_dump(mode="json"),
            "start": None if self.start is None else self.start.digest,
            "seed": seed,
            "vocab_size": self.vocab_size,
            "blocks": self._digests,
            "without": self.left_out(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def begin(self, seed: int) -> nn.Module:
        """A model as the training begins with it."""
        if self.start is not None:
            return self.start.load()
        return build_model(self.training, self.vocab_size, seed)

    def train(self, seed: int, checkpoints: Path | None = None) -> tuple[nn.Module, float]:
        """A model that is trained now, in evaluation mode, and its mean loss per token over the last 20 steps.

        ``checkpoints``: a folder for those of the way, made where there is something to write.
        """
        module = self.begin(seed).to(self.device)
        wanted = checkpoint_steps(self.training.steps) if checkpoints else []

        def keep(step: int, optimizer: torch.optim.AdamW) -> None:
            if checkpoints and step in wanted:
                checkpoints.mkdir(parents=True, exist_ok=True)
                save_weights(module, str(checkpoints / checkpoint_name(step)))
                save_file(second_moments(module, optimizer), checkpoints / moments_name(step))

        self.progress.phase(self.label(seed))
        curve = train_model(module, self.blocks, self.training, seed, self.device, self.progress, self.without, keep)
        return module, float(np.mean(curve[-20:]))

    def folder(self, seed: int) -> Path:
        """The folder of a trained model, as ``save_pretrained`` writes it; trained where it is not there yet."""
        folder = self._place(seed)
        if folder.is_dir():
            os.utime(folder)
            return folder
        for left in self.work.glob(f".{folder.name}.*.part"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial = self.work / f".{folder.name}.{os.getpid()}.part"
        module, loss = self.train(seed, partial if self.history else None)
        partial.mkdir(parents=True, exist_ok=True)
        save_model(module, self.tokenizer, partial)
        (partial / HISTORY).write_text(json.dumps({"train_loss": loss}), encoding="utf-8")
        os.replace(partial, folder)
        self._make_room()
        return folder

    def trained(self, seed: int) -> nn.Module:
        """A trained model in memory, in evaluation mode, read from its folder."""
        return load_model(ModelRef(path=os.fspath(self.folder(seed))), self.device).module

    def end_loss(self, seed: int) -> float:
        """The loss at the end of a training with a course."""
        return float(json.loads((self.folder(seed) / HISTORY).read_text(encoding="utf-8"))["train_loss"])

    def checkpoints(self) -> list[tuple[str, str, float]]:
        """Of the way in a folder with a course, in the order of the training: weights, Adam's second moments, rate.

        A rate is the sum of the learning rates of the steps since the checkpoint before: TracIn's eta_t for a sum over
        few checkpoints in the place of all steps.
        """
        kept, before = [], 0
        for step in checkpoint_steps(self.training.steps):
            rates = [rate_factor(each, self.training) for each in range(before, step)]
            kept.append((checkpoint_name(step), moments_name(step), self.training.learning_rate * sum(rates)))
            before = step
        return kept

    def discard(self, *seeds: int) -> None:
        """Remove models that nobody looks at any more: one with a course is eleven times its weights."""
        for seed in seeds:
            shutil.rmtree(self._place(seed), ignore_errors=True)

    def _place(self, seed: int) -> Path:
        return self.work / f"model-{self.identity(seed)[:16]}"

    def _make_room(self) -> None:
        """Keep the models that were looked at last."""
        folders = sorted(self.work.glob("model-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[self.room :]:
            shutil.rmtree(folder, ignore_errors=True)


def checkpoint_steps(steps: int) -> list[int]:
    """The steps after which a training with a course is kept: evenly spread, the last step among them."""
    return sorted({round(steps * part / CHECKPOINTS) for part in range(1, CHECKPOINTS + 1)} - {0})


def checkpoint_name(step: int) -> str:
    """The file of the weights after a step."""
    return f"step-{step}.safetensors"


def moments_name(step: int) -> str:
    """The file of Adam's second moments after a step."""
    return f"moments-{step}.safetensors"


def second_moments(module: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """Adam's running mean of squared gradients by parameter, its start from zero corrected (Kingma and Ba, 2015)."""
    _, decay = optimizer.defaults["betas"]
    found = {}
    for name, parameter in module.named_parameters():
        state = optimizer.state.get(parameter)
        if state:  # a parameter that no loss depends on has none
            found[name] = state["exp_avg_sq"] / (1.0 - decay ** float(state["step"]))
    return found


def _size(shapes: list[tuple[int, ...]]) -> str:
    return f"{sum(int(torch.Size(shape).numel()) for shape in shapes):,}"
