"""Retrains the demo's model on other mixes of its subsets, and measures the loss of every side; see README.md."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.what_if.mixes import Mix, in_words
from untrac_core.data.prompts import load_prompts
from untrac_core.data.tokens import Example
from untrac_core.demo.requests import RECIPE, demo_prompts
from untrac_core.models.losses import example_losses
from untrac_core.results.folders import write_json
from untrac_core.tasks.prepare import encode_prompts
from untrac_core.training.recipe import TrainingData, build_model, prepare, train_model

CPU = torch.device("cpu")
Place = tuple[str, str]


class Retrained:
    """Losses of models on mixes. Each is trained once and kept in ``work``: an interrupted benchmark goes on."""

    def __init__(self, work: Path) -> None:
        torch.set_num_threads(1)
        self.work = work

    def losses(self, mix: Mix, seed: int) -> dict[Place, float]:
        """The loss of every side, in nats per token, of a model trained on a mix: the same start, order and steps."""
        path = self.path(mix, seed)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            print(f"seed {seed}, {in_words(mix) or 'the own mix'}", flush=True)
            write_json([[*place, loss] for place, loss in self._train(mix, seed).items()], path)
        return {(name, side): loss for name, side, loss in json.loads(path.read_text(encoding="utf-8"))}

    def path(self, mix: Mix, seed: int) -> Path:
        """Where the losses of a mix are kept, once it is trained."""
        content = [RECIPE.model_dump(mode="json"), sorted(mix.items()), seed]
        return self.work / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}.json"

    def _train(self, mix: Mix, seed: int) -> dict[Place, float]:
        material = self._material
        model = build_model(RECIPE, material.vocab_size, seed)
        train_model(model, material.blocks, RECIPE, seed, CPU, times=mix)
        found = {}
        for place, items in self._items.items():
            losses = example_losses(model, items, CPU, material.vocab_size)
            found[place] = float(losses.sum()) / sum(item.tokens for item in items)
        return found

    @cached_property
    def _material(self) -> TrainingData:
        return prepare(RECIPE)

    @cached_property
    def _items(self) -> dict[Place, list[Example]]:
        data = {prompts.name: load_prompts(prompts) for prompts in demo_prompts()}
        encoded = encode_prompts(self._material.encoder, data, RECIPE.block_size)
        return {(name, side): items for name, sides in encoded.items() for side, items in sides.items()}
