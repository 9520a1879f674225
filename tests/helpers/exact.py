"""Losses, gradients and Hessians worked out the slow way: an example at a time, in float64, from the model's logits."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrac_core.attribution.base import AttributionContext, ModelIdentity, make_method
from untrac_core.data.prompts import Item
from untrac_core.data.tokens import Example, Packed
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import batch_losses
from untrac_core.specs import method_spec
from untrac_core.stats.clusters import clusters_of

FOLDS = 8
SHARE = 0.5


@dataclass
class PartStudy(AttributionContext):
    """A study in which only parameters of these names move, so that a Hessian can be written down."""

    names: tuple[str, ...] = ()

    def set_trainable(self, trainable) -> None:
        if not self.names:
            return super().set_trainable(trainable)
        for name, parameter in self.model.module.named_parameters():
            parameter.requires_grad_(name.endswith(self.names))
        return None


def make_study(model: LoadedModel, subsets: dict, prompts: dict, seeds=(0, 1), **more) -> PartStudy:
    """A study of texts: subset to texts, and side to texts of the one prompt set ``talk``."""
    identity = ModelIdentity(model.digest, "cpu", "float32", "all")
    packed = {name: Packed(encode(model, texts), len(texts), len(texts), len(texts)) for name, texts in subsets.items()}
    asked = {"talk": {side: encode(model, texts, "They say:") for side, texts in prompts.items()}}
    return PartStudy(identity, lambda: model, {}, asked, {}, packed, list(seeds), **more)


def encode(model: LoadedModel, texts: Sequence[str], prompt: str = "") -> list[Example]:
    items = [Item(str(line), prompt, text, "", line) for line, text in enumerate(texts)]
    return model.encoder.items(items, context=32, where="")


def scores(study: AttributionContext, name: str, **settings) -> dict:
    """(Seed, subset, side) to the scores a token of a method's folds, and their tokens."""
    method = make_method(method_spec(name, **settings))
    return table(study, method)


def table(study: AttributionContext, method) -> dict:
    found = {}
    for cell in method.cells(study):
        frame = method.run(study, cell)
        assert isinstance(frame, pd.DataFrame)
        for (subset, side), part in frame.groupby(["subset", "side"], sort=False):
            assert list(part.example) == list(range(len(part)))
            assert set(part.prompt_set) == {"talk"}
            tokens = part.tokens.to_numpy()
            found[cell.seed, subset, side] = part.change.to_numpy() / tokens, tokens
    return found


def drawn(study: AttributionContext, seed: int, side: str) -> list[Example]:
    items = study.prompts["talk"][side]
    return [items[i] for i in clusters_of([""] * len(items)).draw(SHARE, seed)]


def folds_of(study: AttributionContext, subset: str) -> list[list[Example]]:
    blocks = study.subsets[subset].blocks
    dealt: list[list[Example]] = [[] for _ in range(min(FOLDS, len(blocks)))]
    for number, block in enumerate(blocks):
        dealt[number % FOLDS].append(block)
    return dealt


class Exact:
    """A model in float64, some of whose parameters, in their order in the module, are one long vector."""

    def __init__(self, module: nn.Module, names: tuple[str, ...] = ()) -> None:
        self.module = copy.deepcopy(module).double()
        self.module.requires_grad_(True)
        self.known: dict[int, tuple[Example, np.ndarray]] = {}
        chosen = [name for name, _ in module.named_parameters() if not names or name.endswith(names)]
        self.parameters = {name: dict(self.module.named_parameters())[name] for name in chosen}

    def loss(self, example: Example, values: dict | None = None) -> torch.Tensor:
        """Sum over the scored tokens of -log p."""
        ids = torch.from_numpy(example.ids)[None]
        with sdpa_kernel(SDPBackend.MATH):
            out = functional_call(self.module, values or {}, (), {"input_ids": ids, "use_cache": False})
        chances = torch.log_softmax(out.logits[0].double(), -1)
        positions = range(example.first, len(example.ids))
        return -sum(chances[position - 1, int(example.ids[position])] for position in positions)

    def gradient(self, examples: Sequence[Example]) -> np.ndarray:
        """Of the mean loss per token, example after example."""
        return sum(self._gradient(example) for example in examples) / sum(example.tokens for example in examples)

    def _gradient(self, example: Example) -> np.ndarray:
        known = id(example)
        if known not in self.known:
            parts = torch.autograd.grad(self.loss(example), list(self.parameters.values()))
            self.known[known] = example, torch.cat([part.reshape(-1) for part in parts]).numpy()
        return self.known[known][1]

    def hessian(self, examples: Sequence[Example]) -> np.ndarray:
        """Of the mean loss per token, as a matrix."""
        shapes = {name: parameter.shape for name, parameter in self.parameters.items()}
        start = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters.values()])

        def mean_loss(vector):
            pieces = torch.split(vector, [shape.numel() for shape in shapes.values()])
            values = {name: piece.view(shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}
            return sum(self.loss(example, values) for example in examples) / sum(e.tokens for e in examples)

        return torch.autograd.functional.hessian(mean_loss, start, vectorize=True).numpy()


def expect(study: AttributionContext, found: dict, score, relative: float = 1e-4) -> None:
    """Every fold's score is ``score(subset, fold, seed, side)``, to a share of the largest of its side."""
    for seed in study.seeds:
        for side in study.prompts["talk"]:
            wanted, got = [], []
            for subset in study.subsets:
                values, tokens = found[seed, subset, side]
                dealt = folds_of(study, subset)
                assert list(tokens) == [sum(block.tokens for block in fold) for fold in dealt]
                wanted += [score(subset, fold, seed, side) for fold in dealt]
                got += list(values)
            largest = np.abs(wanted).max()
            assert largest > 0
            np.testing.assert_allclose(got, wanted, rtol=relative, atol=relative * largest)


def mean_gradient(study, examples) -> torch.Tensor:
    """Gradient of the mean loss per token, by autograd, as one vector."""
    module = study.model.module
    loss = batch_losses(module, examples, study.model.device).sum() / sum(example.tokens for example in examples)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])
