"""An unlearned model as plain weights, and how far it is from another in the space of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from untrac_core.models.loading import LoadedModel, load_model
from untrac_core.specs import ModelRef


@torch.no_grad()
def plain_module(model: LoadedModel, ref: ModelRef) -> nn.Module:
    """The model itself; one whose LoRA adapter moved, as a fresh copy with the adapter added to its weights."""
    if model.trainable != "lora":
        return model.module
    plain = load_model(ref.model_copy(update={"adapter": None, "adapter_revision": None}), model.device).module
    weights = dict(plain.named_parameters())
    for name, layer in model.module.named_modules():
        if hasattr(layer, "get_delta_weight"):
            for adapter in layer.active_adapters:
                weights[f"{name}.weight"].add_(layer.get_delta_weight(adapter))
    return plain


@torch.no_grad()
def weight_distance(model: LoadedModel, retrained: nn.Module, original: Mapping[str, torch.Tensor]) -> float:
    """||unlearned - retrained|| / ||original - retrained|| over all parameters; not a number where an adapter moved.

    Strong unlearning asks for it to be small, and it proves nothing: models of two seeds are as far apart (Thudi et
    al., USENIX Security 2022).
    """
    if model.trainable == "lora":
        return math.nan
    own, other = dict(model.module.named_parameters()), dict(retrained.named_parameters())
    above = sum(float((own[name] - other[name]).double().square().sum()) for name in other)
    below = sum(float((original[name] - other[name]).double().square().sum()) for name in other)
    return math.sqrt(above / below) if below else math.nan
