"""Removals on the laboratory's model: what acceptance tests and tests of the loop share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.helpers import unlearning_lab as lab
from tests.helpers import unlearning_lab_texts as texts
from untrac_core.data.tokens import Example
from untrac_core.hub.locate import ModelInfo
from untrac_core.models.loading import LoadedModel
from untrac_core.specs import unlearning_method_spec
from untrac_core.specs.unlearn import StopRule
from untrac_core.training.recipe import END, build_model, train_model
from untrac_core.unlearning.loop import History, unlearn_model
from untrac_core.unlearning.methods.base import UnlearningData, UnlearningMethod, make_unlearning_method
from untrac_core.unlearning.settings import UnlearningConfig, settled, unlearning_config
from untrac_core.unlearning.stopping import EvalPoint, Stop

PARAMETERS = 111_000


def loaded(module: nn.Module) -> LoadedModel:
    """A laboratory model as a request loads it, its tokenizer as transformers saves it."""
    from transformers import PreTrainedTokenizerFast

    encoder = lab.encoder()
    size = sum(parameter.numel() for parameter in module.parameters())
    facts = ModelInfo(
        "lab", None, "gpt2", size, 4 * size, lab.RECIPE.block_size, lab.vocabulary(), lab.RECIPE.hidden_size
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=encoder.tokenizer, bos_token=END, eos_token=END)
    return LoadedModel(module, encoder, facts, "lab", lab.CPU, tokenizer=tokenizer)


def fresh(seed: int = 0) -> LoadedModel:
    """An untrained model: enough where only bits are compared."""
    return loaded(build_model(lab.RECIPE, lab.vocabulary(), seed).eval())


@cache
def _quick(seed: int) -> nn.Module:
    recipe = lab.RECIPE.model_copy(update={"steps": 80})
    module = build_model(recipe, lab.vocabulary(), seed)
    train_model(module, {name: lab.subset(name) for name in texts.SUBSETS}, recipe, seed, lab.CPU)
    module.zero_grad(set_to_none=True)
    return module.eval()


def quick(seed: int = 0) -> nn.Module:
    """A model trained for a second: it knows the sentences' frames, so that it has something to lose."""
    return deepcopy(_quick(seed))


def settings_of(forget: Sequence[Example], **spec: Any) -> UnlearningConfig:
    """The settings of a method, settled for the forget set."""
    mean = sum(example.tokens for example in forget) / len(forget)
    return settled(unlearning_config(unlearning_method_spec(**spec), PARAMETERS), mean)


def method_of(forget: Sequence[Example], **spec: Any) -> UnlearningMethod:
    """A method by its spec's fields."""
    return make_unlearning_method(spec["name"], settings_of(forget, **spec))


def looker(model: LoadedModel, forget: Sequence[Example], retain: Sequence[Example]) -> Callable[[int], EvalPoint]:
    """Looks at all texts."""
    return lambda step: EvalPoint(step, lab.loss(model.module, forget), lab.loss(model.module, retain))


@dataclass(frozen=True)
class Unlearned:
    """The model that an unlearning leaves, in a copy of its own, and how it went."""

    module: nn.Module
    history: History
    method: UnlearningMethod


def result(
    module: nn.Module,
    forget: Sequence[Example],
    retain: Sequence[Example],
    spec: dict[str, Any],
    *,
    rule: str = "fixed",
    steps: int = 100,
    eval_every: int = 50,
    level: float | None = None,
    retrained: float | None = None,
    seed: int = 0,
    max_retain_increase: float = 0.02,
    look: Callable[[LoadedModel], Callable[[int], EvalPoint]] | None = None,
    progress: Any = None,
    checkpoint: Path | None = None,
) -> Unlearned:
    """Unlearn in a copy of a model."""
    model = loaded(deepcopy(module))
    method = method_of(forget, **spec)
    stop = Stop(
        StopRule(rule=rule, steps=steps, eval_every=eval_every, max_retain_increase=max_retain_increase),
        level,
        lab.vocabulary(),
    )
    history = unlearn_model(
        model,
        UnlearningData(forget, retain, retrained),
        method,
        stop,
        look(model) if look else looker(model, forget, retain),
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
    )
    model.module.zero_grad(set_to_none=True)
    return Unlearned(model.module, history, method)


def unequal_weights(first: nn.Module, second: nn.Module) -> dict[str, torch.Tensor]:
    """By parameter which weights differ in a bit."""
    others = dict(second.named_parameters())
    bits = {torch.float32: torch.int32, torch.float64: torch.int64}
    return {
        name: parameter.detach().view(bits[parameter.dtype]) != others[name].detach().view(bits[parameter.dtype])
        for name, parameter in first.named_parameters()
    }


def steps_to_zero(steps: Sequence[int], exposures: Sequence[float]) -> int | None:
    """The first step at which the mean generalised exposure is 0 or less; ``None`` where it never is."""
    return next((step for step, mean in zip(steps, exposures, strict=True) if mean <= 0), None)
