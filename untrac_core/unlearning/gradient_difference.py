"""Gradient difference, capped: climb the loss of what is to go and descend that of the rest (Liu et al., 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch

from untrac_core.models import LoadedModel
from untrac_core.unlearning.protocol import Forgotten, RemovalMethod, Texts


class GradientDifference(RemovalMethod):
    """L = max(- NLL(forget), - c) for each text, in nats per token: a text whose loss is c is left alone.

    Without the cap the loss has no lower bound and the model is lost. c: the setting, else the loss of a model that
    never saw the texts, else ln(vocabulary), the loss of a uniform guess.
    """

    name: ClassVar[str] = "grad-diff"
    _cap = math.inf

    def prepare(self, model: LoadedModel, texts: Texts, seed: int, tick: Callable[[int, int], None]) -> None:
        """Settle the cap."""
        self._cap = self.settings.cap or texts.gold or math.log(model.facts.vocabulary)

    def loss(self, step: Forgotten) -> torch.Tensor:
        """Mean over the batch's texts, each weighted by its tokens."""
        each = torch.clamp(-step.losses / step.tokens, min=-self._cap)
        return (each * step.tokens).sum() / step.tokens.sum()
