"""GRIN: choose the weights that hold the forget set, shake them, and train them alone (Anjarlekar and Pombra, 2025)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch

from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.models.trainable import moving_parameters
from untrac_core.training.preconditioner import mean_gradient
from untrac_core.unlearning.methods.base import ForgetBatch, UnlearningData, UnlearningMethod
from untrac_core.unlearning.methods.grad_diff import GradientDifference
from untrac_core.unlearning.methods.masks import masks
from untrac_core.unlearning.methods.npo import NegativePreference
from untrac_core.unlearning.settings import UnlearningConfig

OBJECTIVES: dict[str, type[UnlearningMethod]] = {"npo": NegativePreference, "grad-diff": GradientDifference}


class GradientRatioNoise(UnlearningMethod):
    """Scores from the mean gradients of both texts, one mask, noise on it, then fine-tuning of the masked weights.

    With ``mask`` ``gradient`` (as SalUn) or ``random`` it is its own control. The reference that NPO compares with is
    the model before the noise. Weights outside the mask keep every bit.
    """

    name: ClassVar[str] = "grin"

    def __init__(self, settings: UnlearningConfig) -> None:
        super().__init__(settings)
        # With `po` the refusals are the loss, so no objective looks at the texts themselves.
        self._objective = OBJECTIVES.get(settings.objective, NegativePreference)(settings)
        self._answer: np.ndarray | None = None
        self.masks: dict[str, torch.Tensor] = {}

    def prepare(self, model: LoadedModel, texts: UnlearningData, seed: int, tick: Callable[[int, int], None]) -> None:
        """Gradients of both texts, the mask, and the noise."""
        settings = self.settings
        self._objective.prepare(model, texts, seed, tick)
        if settings.refusal is not None:
            ids = model.encoder.tokenizer.encode(settings.refusal, add_special_tokens=False).ids
            end = [] if model.encoder.end is None else [model.encoder.end]
            self._answer = np.array(ids + end, dtype=np.int64)
        forget = _gradients(model, texts.forget)
        tick(1, 2)
        retain = _gradients(model, texts.retain)
        tick(2, 2)
        self.masks = masks(settings.mask, forget, retain, settings.mask_fraction, seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in moving_parameters(model.module).items():
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype).to(parameter.device)
                size = settings.noise * (float(parameter.std(correction=0)) if settings.noise_is_relative else 1.0)
                # Added where the mask is, and nowhere else: adding zero would turn -0.0 into 0.0.
                parameter[self.masks[name]] += size * noise[self.masks[name]]

    def loss(self, step: ForgetBatch) -> torch.Tensor | None:
        """That of the objective."""
        return self._objective.loss(step)

    def answers(self, examples: Sequence[Example]) -> Sequence[Example] | None:
        """With ``po``: each text's given part, then the refusal; of a block without one its first half is given."""
        if self._answer is None:
            return None
        return [_refused(example, self._answer) for example in examples]

    def limit(self, model: LoadedModel) -> None:
        """No gradient outside the mask; Adam without weight decay then leaves those weights as they are."""
        for name, parameter in moving_parameters(model.module).items():
            if parameter.grad is not None:
                parameter.grad.mul_(self.masks[name])


def _gradients(model: LoadedModel, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Of the mean loss per token of all examples."""
    mean_gradient(model, examples)
    found = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach().clone()
        for name, parameter in moving_parameters(model.module).items()
    }
    model.module.zero_grad(set_to_none=True)
    return found


def _refused(example: Example, answer: np.ndarray) -> Example:
    if example.source is not None:
        begin = example.ids[:1]
        return Example(example.id, np.concatenate([begin, answer]), 1, source=example.source)
    given = example.first if example.first > 1 else max(1, len(example.ids) // 2)
    # A refusal takes no more room than what it stands for, so that it fits the context.
    room = len(example.ids) - given
    return Example(example.id, np.concatenate([example.ids[:given], answer[:room]]), given)
