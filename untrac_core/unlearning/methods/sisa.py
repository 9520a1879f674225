"""SISA: sharded, isolated, sliced, aggregated training (Bourtoule et al., IEEE S&P 2021).

Texts are dealt into shards; each shard has a model of its own, trained slice by slice, and what it was before each
slice is kept. To remove texts, only the shards that hold them are trained again, from the first slice that has one of
them. The prediction is the mean of the models' next-token probabilities. Exact for every shard, but another product:
several small models in the place of one, each of which saw a part of the texts.

The steps of a recipe are dealt out over shards and slices, so that training all shards takes as many steps as
training one model: with S shards and R slices, a slice has steps / (S R) of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from untrac_core.data.tokens import Example
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import Training
from untrac_core.training.recipe import train_model

Weights = dict[str, torch.Tensor]
Named = tuple[str, Example]


class Ensemble(nn.Module):
    """Models that speak as one: next-token probabilities are the mean of theirs."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, **given: Any) -> Any:
        """``logits``: the log of the mean probability, which is its own log-softmax."""
        each = torch.stack([functional.log_softmax(m(**given).logits.float(), -1) for m in self.members])
        return SimpleNamespace(logits=torch.logsumexp(each, 0) - float(np.log(len(self.members))))


@dataclass
class Sharded:
    """An ensemble in training: shards of slices of texts, the models, and what each was before each of its slices.

    ``begin`` makes a model by a seed. ``steps_taken`` counts, so that the cost of an unlearning is known.
    """

    begin: Callable[[int], nn.Module]
    training: Training
    device: torch.device
    progress: Progress
    seed: int = 0
    shards: list[list[list[Named]]] = field(default_factory=list)
    models: list[nn.Module] = field(default_factory=list)
    before: list[list[Weights]] = field(default_factory=list)
    steps_taken: int = 0

    def train(self, blocks: Mapping[str, Sequence[Example]], shards: int, slices: int) -> None:
        """Deal out the texts at random and train every shard."""
        every = [(name, block) for name in sorted(blocks) for block in blocks[name]]
        if len(every) < shards * slices:
            raise InputError(
                f"{len(every)} blocks of text are too few for {shards} shards of {slices} slices",
                field="method 'sisa'",
                hint="name fewer shards or slices",
            )
        order = np.random.default_rng(self.seed).permutation(len(every)).tolist()
        dealt = [order[shard::shards] for shard in range(shards)]
        self.shards = [[[every[i] for i in part[cut::slices]] for cut in range(slices)] for part in dealt]
        self.before = [[{} for _ in range(slices)] for _ in range(shards)]
        self.models = []
        for shard in range(shards):
            self.models.append(self.begin(self.seed + shard).to(self.device))
            self._train(shard, 0)

    def remove(self, target: Callable[[str, Example], bool]) -> list[int]:
        """Take texts out; the shards that hold one go back to before the first slice that does, and are returned."""
        touched = []
        for shard, parts in enumerate(self.shards):
            kept = [[named for named in part if not target(*named)] for part in parts]
            first = next((cut for cut, part in enumerate(parts) if len(kept[cut]) < len(part)), None)
            if first is None:
                continue
            self.shards[shard] = kept
            self.models[shard].load_state_dict(self.before[shard][first])
            self._train(shard, first)
            touched.append(shard)
        return touched

    def ensemble(self) -> Ensemble:
        """The models as they are now, copied."""
        return Ensemble([deepcopy(model) for model in self.models]).eval()

    def _train(self, shard: int, first: int) -> None:
        """Train a shard from a slice on: each slice with all those before it, for its share of the steps."""
        parts, model = self.shards[shard], self.models[shard]
        steps = max(1, round(self.training.steps / (len(self.shards) * len(parts))))
        for cut in range(first, len(parts)):
            self.before[shard][cut] = {name: value.detach().clone() for name, value in model.state_dict().items()}
            seen: dict[str, list[Example]] = {}
            for name, block in (named for part in parts[: cut + 1] for named in part):
                seen.setdefault(name, []).append(block)
            if not seen:
                continue
            recipe = self.training.model_copy(
                update={"steps": steps, "warmup_steps": min(self.training.warmup_steps, steps // 4)}
            )
            self.progress.phase(f"training shard {shard + 1} of {len(self.shards)}, slice {cut + 1} of {len(parts)}")
            train_model(model, seen, recipe, self.seed + 1000 * shard + cut, self.device, self.progress)
            self.steps_taken += steps
