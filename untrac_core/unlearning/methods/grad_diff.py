"""Gradient difference, capped: climb the loss of the forget set and descend that of the rest (Liu et al., 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch

from untrac_core.models.loading import LoadedModel
from untrac_core.unlearning.methods.base import ForgetBatch, UnlearningData, UnlearningMethod


class GradientDifference(UnlearningMethod):
    """L = max(- NLL(forget), - c) for each text, in nats per token: a text whose loss is c is left alone.

    Without the cap the loss has no lower bound and the model is lost. c: the setting, else the loss of a model that
    never saw the texts, else ln(vocabulary), the loss of a uniform guess.
    """

    name: ClassVar[str] = "grad-diff"
    _cap = math.inf

    def prepare(self, model: LoadedModel, texts: UnlearningData, seed: int, tick: Callable[[int, int], None]) -> None:
        """Settle the cap."""
        self._cap = self.settings.max_forget_loss or texts.retrained or math.log(model.facts.vocab_size)

    def loss(self, step: ForgetBatch) -> torch.Tensor:
        """Mean over the batch's texts, each weighted by its tokens."""
        each = torch.clamp(-step.losses / step.tokens, min=-self._cap)
        return (each * step.tokens).sum() / step.tokens.sum()
