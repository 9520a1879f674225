"""What the unlearning methods that move weights have in common: the loss of a step, and what they prepare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.specs.catalogue import UNLEARNING
from untrac_core.unlearning.settings import UnlearningConfig


@dataclass(frozen=True)
class UnlearningData:
    """The forget set and the retain set, as a method is given it.

    ``retrained``: the loss of the forget set, in nats per token, to a model that never saw it; ``None`` without one.
    """

    forget: Sequence[Example]
    retain: Sequence[Example]
    retrained: float | None = None


@dataclass(frozen=True)
class ForgetBatch:
    """The texts to forget of one step, as the model sees them now.

    ``losses``: summed negative log-likelihood of each, in nats, differentiable; ``tokens``: of each; ``reference``:
    ``losses`` of the model as it was before, constant. All of shape (texts,).
    """

    losses: torch.Tensor
    tokens: torch.Tensor
    reference: torch.Tensor


class UnlearningMethod:
    """A method that moves weights by steps of Adam on ``forget_weight`` x its loss + ``retain_weight`` x the rest's.

    A method is one file: a subclass that says its loss on the texts to forget and, where it needs to, prepares.
    """

    name: ClassVar[str]

    def __init__(self, settings: UnlearningConfig) -> None:
        self.settings = settings

    def prepare(self, model: LoadedModel, texts: UnlearningData, seed: int, tick: Callable[[int, int], None]) -> None:
        """Look at the texts before the first step; the model may be changed in place."""

    def loss(self, step: ForgetBatch) -> torch.Tensor | None:
        """The loss that makes texts be forgotten, a scalar, in nats; ``None`` for a control that forgets nothing."""
        raise NotImplementedError

    def answers(self, examples: Sequence[Example]) -> Sequence[Example] | None:
        """Texts that take the place of those to forget, and whose own mean loss is then the method's."""
        return None

    def limit(self, model: LoadedModel) -> None:
        """Take out of the gradients what must not move."""


class SteppingMethod(UnlearningMethod):
    """A method that takes steps of its own, without Adam, on all of the texts or on batches that it draws."""

    def loss(self, step: ForgetBatch) -> None:
        """None for Adam to descend."""

    def step(self, model: LoadedModel) -> str:
        """Take one step; where there is none to take, say why, in words, and leave the model as it is."""
        raise NotImplementedError

    def state(self) -> dict[str, torch.Tensor]:
        """What the next steps hang on, besides the weights and what is prepared."""
        return {}

    def resume(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state; ``KeyError`` where it is not one of this method."""


def make_unlearning_method(name: str, settings: UnlearningConfig) -> UnlearningMethod:
    """The unlearning method of that name, with settings that are settled."""
    made: UnlearningMethod = UNLEARNING[name].make()(settings)
    return made
