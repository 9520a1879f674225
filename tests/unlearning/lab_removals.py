"""Removals on the laboratory's model: what acceptance tests and tests of the loop share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import unlearning_lab as lab
import unlearning_lab_texts as texts
from torch import nn

from untrac_core.data.tokens import Example
from untrac_core.model_files import ModelFacts
from untrac_core.models import LoadedModel
from untrac_core.training import END, build_model, fit
from untrac_core.unlearn_spec import RemovalSpec, StopRule
from untrac_core.unlearning.protocol import RemovalMethod, Texts
from untrac_core.unlearning.registry import METHODS
from untrac_core.unlearning.removing import Course, remove
from untrac_core.unlearning.settings import RemovalSettings, removal_settings, settled
from untrac_core.unlearning.stopping import Look, Stop

PARAMETERS = 111_000


def loaded(module: nn.Module) -> LoadedModel:
    """A laboratory model as a request loads it, its tokenizer as transformers saves it."""
    from transformers import PreTrainedTokenizerFast

    encoder = lab.encoder()
    size = sum(parameter.numel() for parameter in module.parameters())
    facts = ModelFacts("lab", None, "gpt2", size, 4 * size, lab.RECIPE.block, lab.vocabulary(), lab.RECIPE.hidden)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=encoder.tokenizer, bos_token=END, eos_token=END)
    return LoadedModel(module, encoder, facts, "lab", lab.CPU, tokenizer=tokenizer)


def fresh(seed: int = 0) -> LoadedModel:
    """An untrained model: enough where only bits are compared."""
    return loaded(build_model(lab.RECIPE, lab.vocabulary(), seed).eval())


@cache
def _quick(seed: int) -> nn.Module:
    recipe = lab.RECIPE.model_copy(update={"steps": 80})
    module = build_model(recipe, lab.vocabulary(), seed)
    fit(module, {name: lab.subset(name) for name in texts.SUBSETS}, recipe, seed, lab.CPU)
    module.zero_grad(set_to_none=True)
    return module.eval()


def quick(seed: int = 0) -> nn.Module:
    """A model trained for a second: it knows the sentences' frames, so that it has something to lose."""
    return deepcopy(_quick(seed))


def settings_of(forget: Sequence[Example], **spec: Any) -> RemovalSettings:
    """The settings of a method, settled for the texts that are to go."""
    mean = sum(example.tokens for example in forget) / len(forget)
    return settled(removal_settings(RemovalSpec(**spec), PARAMETERS), mean)


def method_of(forget: Sequence[Example], **spec: Any) -> RemovalMethod:
    """A method by its spec's fields."""
    return METHODS[spec["name"]](settings_of(forget, **spec))


def looker(model: LoadedModel, forget: Sequence[Example], retain: Sequence[Example]) -> Callable[[int], Look]:
    """Looks at all texts."""
    return lambda step: Look(step, lab.loss(model.module, forget), lab.loss(model.module, retain))


@dataclass(frozen=True)
class Removed:
    """The model that a removal leaves, in a copy of its own, and how it went."""

    module: nn.Module
    course: Course
    method: RemovalMethod


def removed(
    module: nn.Module,
    forget: Sequence[Example],
    retain: Sequence[Example],
    spec: dict[str, Any],
    *,
    rule: str = "steps",
    steps: int = 100,
    every: int = 50,
    level: float | None = None,
    gold: float | None = None,
    seed: int = 0,
    budget: float = 0.02,
    look: Callable[[LoadedModel], Callable[[int], Look]] | None = None,
    progress: Any = None,
    checkpoint: Path | None = None,
) -> Removed:
    """Unlearn in a copy of a model."""
    model = loaded(deepcopy(module))
    method = method_of(forget, **spec)
    stop = Stop(StopRule(rule=rule, steps=steps, every=every, budget=budget), level, lab.vocabulary())
    course = remove(
        model,
        Texts(forget, retain, gold),
        method,
        stop,
        look(model) if look else looker(model, forget, retain),
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
    )
    model.module.zero_grad(set_to_none=True)
    return Removed(model.module, course, method)


def unequal_weights(first: nn.Module, second: nn.Module) -> dict[str, torch.Tensor]:
    """By parameter which weights differ in a bit."""
    others = dict(second.named_parameters())
    return {
        name: parameter.detach().view(torch.int32) != others[name].detach().view(torch.int32)
        for name, parameter in first.named_parameters()
    }
